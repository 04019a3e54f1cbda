"""The stock service and the internal API: what ``wigwag serve`` runs."""
