"""What can be set of the provider ``local``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from wigwag.errors import SettingsError
from wigwag.settings.fields import setting

PREFIX: Final = "WIGWAG_LOCAL_"
#: ``sun_path`` of ``sockaddr_un``, its NUL taken off: 104 bytes on macOS, 108 on Linux.
_MAX_PATH_BYTES: Final = 103


@dataclass(frozen=True, kw_only=True)
class LocalSettings:
    """Each is ``WIGWAG_LOCAL_`` and its name."""

    path: Path = field(
        metadata={
            "help": "Where the hub listens: a Unix socket, which only this user may open. `wigwag serve --workers` "
            "starts a hub, and makes a path of its own unless one is set; `wigwag hub` starts one alone."
        }
    )
    buffer_bytes: int = setting(
        32 * 1024 * 1024,
        "How much may wait in the hub for a process that reads too slowly; then its link is cut, and its sockets "
        "are told that they missed something.",
        at_least=1024 * 1024,
    )


def check_settings(settings: LocalSettings) -> None:
    """Return if a Unix socket can have the path.

    Raises:
        SettingsError: one line, with the variable to change.
    """
    size = len(os.fsencode(settings.path))
    if size > _MAX_PATH_BYTES:
        raise SettingsError(
            f"{PREFIX}PATH has {size} bytes, and the path of a Unix socket has at most {_MAX_PATH_BYTES}: "
            "choose a shorter one",
            variable=f"{PREFIX}PATH",
        )
