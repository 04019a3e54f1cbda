"""A socket without a wire."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wigwag.frames import Frame


class FakeSocket:
    """A socket that records: a :class:`~wigwag.interfaces.LocalSocket`.

    ``frames``: what was written, in order; ``closes``: each close, as code and reason; ``on_write`` and
    ``on_close`` are called on each, and may raise.
    """

    def __init__(self, id: str, user_id: str | None = None) -> None:
        self.id = id
        self.user_id = user_id
        self.frames: list[Frame] = []
        self.closes: list[tuple[int, str]] = []
        self.on_write: Callable[[Frame], object] | None = None
        self.on_close: Callable[[], object] | None = None

    def write(self, frame: Frame) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        self.frames.append(frame)
        if self.on_write is not None:
            self.on_write(frame)

    def close(self, code: int, reason: str) -> None:
        """See :class:`~wigwag.interfaces.LocalSocket`."""
        self.closes.append((code, reason))
        if self.on_close is not None:
            self.on_close()

    @property
    def messages(self) -> list[str | bytes]:
        """What a client would have received, text as str, without wigwag's own events."""
        return [f.text if f.is_text else f.payload for f in self.frames if not _is_own(f)]

    @property
    def resyncs(self) -> list[list[str]]:
        """The topics of each ``wigwag.resync``."""
        return [msgspec.json.decode(f.payload)["data"]["topics"] for f in self.frames if _is_own(f)]


def _is_own(frame: Frame) -> bool:
    return frame.is_text and frame.payload.startswith(b'{"name":"wigwag.resync"')
