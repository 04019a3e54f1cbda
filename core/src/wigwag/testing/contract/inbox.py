"""An inbox that records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wigwag.broker import Position


class RecordingInbox:
    """An :class:`~wigwag.broker.Inbox` that keeps all that it is given, in order.

    ``got``: each message with its topic and position; ``readies``: what each ``ready()`` said;
    ``gaps``: the topics of each ``gap()``; ``late``: the calls made after the session was closed;
    ``on_ready``, if given, is called when ``ready()`` is.
    """

    def __init__(self, on_ready: Callable[[], object] | None = None) -> None:
        self._on_ready = on_ready
        self.got: list[tuple[str, bytes, Position | None]] = []
        self.readies: list[tuple[int | None, bool]] = []
        self.gaps: list[Sequence[str] | None] = []
        self.late: list[str] = []
        self.is_over = False
        self.is_closed = False
        self._of: dict[str, list[bytes]] = {}

    def ready(self, *, max_payload_bytes: int | None = None, kept: bool = False) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._is_open("ready()"):
            self.readies.append((max_payload_bytes, kept))
            if self._on_ready is not None:
                self._on_ready()

    def deliver(self, topic: str, payload: bytes, position: Position | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._is_open(f"deliver({topic!r})"):
            self.got.append((topic, payload, position))
            self._of.setdefault(topic, []).append(payload)

    def gap(self, topics: Sequence[str] | None = None) -> None:
        """See :class:`~wigwag.broker.Inbox`."""
        if self._is_open("gap()"):
            self.gaps.append(topics)

    def _is_open(self, call: str) -> bool:
        if self.is_closed:
            self.late.append(call)
        return not self.is_over

    def of(self, topic: str) -> list[bytes]:
        """The payloads that came on a topic, in order."""
        return self._of.get(topic, [])

    def forget(self) -> None:
        """Forget the messages."""
        self.got.clear()
        self._of.clear()
