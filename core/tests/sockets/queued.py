"""A send queue, and frames for it, as its tests name them."""

from __future__ import annotations

import json
from typing import Any, Literal

from wigwag import Limits
from wigwag.frames import Frame
from wigwag.sockets.queue import SendQueue

Policy = Literal["close", "drop", "latest"]


def queue(slow: Policy, messages: int = 3, bytes: int = 100) -> SendQueue:
    return SendQueue(Limits(slow=slow, send_messages=messages, send_bytes=bytes))


def event(text: str, topic: str = "t") -> Frame:
    return Frame.of(text, topic)


def reply(text: str) -> Frame:
    return Frame.of(text)


def taken(queue: SendQueue) -> list[Any]:
    """All that the client gets now; a notice as its count."""
    return [shown(frame) for frame in iter(queue.pop, None)]


def shown(frame: Frame) -> Any:
    if frame.text.startswith('{"name":"wigwag.dropped"'):
        return json.loads(frame.text)["data"]["count"]
    return frame.text


def push(queue: SendQueue, *frames: Frame) -> list[tuple[bool, int]]:
    return [queue.push(frame) for frame in frames]
