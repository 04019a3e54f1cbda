"""How many examples Hypothesis tries: as many as each test says, unless the environment says otherwise.

``WIGWAG_EXAMPLES=20000`` looks longer, and not always at the same.  ``BRIEF_TESTS=1`` tries a fifth: for the other
Pythons and the oldest dependencies, where the same examples have been tried on this one and only the ground differs.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import settings

_LONGER: Final = int(os.environ.get("WIGWAG_EXAMPLES", "0"))
_IS_BRIEF: Final = bool(os.environ.get("BRIEF_TESTS"))
_USUAL: Final = 100  # Hypothesis's own

#: Whether the same examples are tried each time.
ALWAYS_THE_SAME: Final = not _LONGER


def examples(usual: int) -> int:
    """How many to try where it is ``usual`` many."""
    return _LONGER or (max(1, usual // 5) if _IS_BRIEF else usual)


def set_usual() -> None:
    """Have the tests that say nothing keep to it, too."""
    if _IS_BRIEF:
        settings.register_profile("brief", max_examples=examples(_USUAL))
        settings.load_profile("brief")
