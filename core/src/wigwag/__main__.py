"""``python -m wigwag``: the command."""

from wigwag.cli import main

main()
