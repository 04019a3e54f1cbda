"""``wigwag serve --workers``, with real processes."""
