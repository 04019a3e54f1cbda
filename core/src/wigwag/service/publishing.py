"""From prepared messages to the providers, and from what went wrong to an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from wigwag.errors import NotAccepted, NotRunning, Uncertain
from wigwag.provider import Provider
from wigwag.service.messages import Content

#: How many messages of one request are on their way to the broker at once.
_AT_ONCE = 256

NO_PROVIDER = "the application has started no provider: there is nothing to publish through"


class Answer(NamedTuple):
    """A status code and what goes with it."""

    status: int
    content: dict[str, Any]


def running(providers: Sequence[Provider]) -> list[Provider]:
    """Those that have sockets, or may: not the stopped, nor those that only publish."""
    return [p for p in providers if p.node is not None and p.node.probe_channel is not None]


def distinct(providers: Sequence[Provider]) -> list[Provider]:
    """One of each identity: what one publishes, all of them deliver."""
    chosen: list[Provider] = []
    for provider in providers:
        if all(provider.identity != other.identity for other in chosen):
            chosen.append(provider)
    return chosen


async def publish_all(
    messages: Sequence[tuple[Content, str | bytes]], providers: Sequence[Provider]
) -> Answer:
    """Publish in order, through each provider that speaks through channels of its own.

    Of what fails, the answer names the index and why; what comes after the first failures is not tried.
    """
    providers = distinct(running(providers))
    if not providers:
        return Answer(503, {"error": NO_PROVIDER})
    done = 0
    for start in range(0, len(messages), _AT_ONCE):
        part = messages[start : start + _AT_ONCE]
        failures = await _publish_part(part, providers)
        done += len(part) - len(failures)
        if failures:
            return _failed(failures, start, done, len(messages))
    return Answer(202, {"accepted": done})


async def _publish_part(
    part: Sequence[tuple[Content, str | bytes]], providers: Sequence[Provider]
) -> dict[int, Exception]:
    """Those of the part that failed, by index.

    At once, for a broker takes them in batches; each task queues its message in its first step, and asyncio
    takes first steps in order.
    """
    failures: dict[int, Exception] = {}

    async def publish(index: int, message: Content, payload: str | bytes) -> None:
        tried = 0
        try:
            for provider in providers:
                await message.deliver(provider, payload)
                tried += 1
        except (NotAccepted, Uncertain, NotRunning) as exc:
            # Through one and not through the other is in doubt, as a whole.
            failures[index] = Uncertain("some providers took it") if tried else exc

    if len(part) == 1 or all(provider.in_process for provider in providers):
        for index, (message, payload) in enumerate(part):
            await publish(index, message, payload)
    else:
        # Not anyio's group, which the server does not need: it makes each message cost more than twice as much.
        await asyncio.gather(
            *[publish(index, message, payload) for index, (message, payload) in enumerate(part)]
        )
    return failures


def _failed(failures: dict[int, Exception], start: int, done: int, total: int) -> Answer:
    in_doubt = any(isinstance(exc, Uncertain) for exc in failures.values())
    if total == 1:
        return refusal(failures[0])
    details = [
        {"path": f"$.messages[{start + index}]", "message": refusal(exc).content["error"]}
        for index, exc in sorted(failures.items())
    ]
    tried = start + _AT_ONCE
    if tried < total:
        rest = f"this one and those after it, to {total - 1}, were not tried"
        details.append({"path": f"$.messages[{tried}]", "message": rest})
    error = f"{done} of {total} messages were accepted; details say which were not"
    return Answer(504 if in_doubt else 503, {"error": error, "accepted": done, "details": details})


def refusal(exc: Exception) -> Answer:
    """The answer to what a provider raised.  Our own errors, whose text holds nothing secret."""
    if isinstance(exc, Uncertain):
        return Answer(504, {"error": f"in doubt, it may have been delivered: {exc}"})
    return Answer(503, {"error": f"not accepted, nothing was sent: {exc}"})
