"""Files whose content counts as it is now: secrets and keys that are exchanged without a restart."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import anyio
from anyio import to_thread

from wigwag.errors import SettingsError

logger: logging.Logger = logging.getLogger("wigwag.tokens")

T = TypeVar("T")

#: How often they are looked at.
LOOK_S: Final = 5.0
MAX_FILE_BYTES: Final = 256 * 1024


class WatchedFile(Generic[T]):
    """A file, and what was last read in it that could be used.

    A mounted secret (Kubernetes) is exchanged by a new link, so that it is the path that is looked at, each time.
    """

    def __init__(self, path: str, parse: Callable[[bytes], T], variable: str) -> None:
        """``parse`` raises ValueError, with words that hold no secret; ``variable`` names the setting.

        Raises:
            SettingsError: it can't be read, or not be used.
        """
        self._path = Path(path)
        self._parse = parse
        self._variable = variable
        self._failed: str | None = None
        try:
            self._content: bytes | None = _read(self._path)
            self.value: T = parse(self._content)
        except (OSError, ValueError) as exc:
            raise SettingsError(f"{variable}={path}: {_words(exc)}", variable=variable) from None

    async def look(self) -> None:
        """Take over what it has now; if that can't be used, say so once, and keep what was there before."""
        try:
            content = await to_thread.run_sync(_read, self._path, abandon_on_cancel=True)
            if content == self._content:
                self._failed = None
                return
            self.value = self._parse(content)
        except (OSError, ValueError) as exc:
            words = _words(exc)
            if words != self._failed:
                logger.error("%s=%s: %s; what it had before still counts", self._variable, self._path, words)
            self._failed = words
            return
        self._content = content
        self._failed = None
        logger.info("%s=%s has changed, and counts as it is now", self._variable, self._path)


async def watch(files: Sequence[WatchedFile[Any]]) -> None:
    """Look at the files again and again, until cancelled."""
    while files:
        await anyio.sleep(LOOK_S)
        for file in files:
            await file.look()


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content


def _words(exc: Exception) -> str:
    return (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else str(exc)
