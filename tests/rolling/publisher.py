"""Backends that publish numbered messages over HTTP, and believe the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import httpx

from rolling.account import Fate, Message
from rolling.client import FIRST

LIMIT_S = 30.0
#: Before a publish that was not accepted is tried again.
AGAIN_S = 0.1


@dataclass
class Publishing:
    """What was published through an address, and what came of it."""

    api: str
    topics: tuple[str, ...]
    key: str | None = None
    messages: list[Message] = field(default_factory=list)
    #: Attempts that certainly came to nothing, and were made again, by why.
    again: Counter[str] = field(default_factory=Counter)
    #: How long those took that were taken, in seconds.
    took_s: list[float] = field(default_factory=list)
    is_over: bool = False

    async def run(self, every_s: float) -> None:
        """Be one publisher, which publishes every so many seconds, until told that it is over."""
        loop = asyncio.get_running_loop()
        headers = {} if self.key is None else {"authorization": f"Bearer {self.key}"}
        async with httpx.AsyncClient(timeout=LIMIT_S, headers=headers, trust_env=False) as http:
            due_s = loop.time()
            while not self.is_over:
                await self._publish(http)
                due_s = max(due_s + every_s, loop.time())
                await asyncio.sleep(due_s - loop.time())

    async def _publish(self, http: httpx.AsyncClient) -> None:
        loop = asyncio.get_running_loop()
        number = len(self.messages)
        message = Message(self.topics[number % len(self.topics)], loop.time())
        self.messages.append(message)
        content = {"topic": message.topic, "text": str(FIRST + number)}
        while True:
            message.begun_s = loop.time()
            try:
                answer = await http.post(f"{self.api}/api/publish", json=content)
            except httpx.ConnectError:  # nobody has heard of it
                self.again["not connected"] += 1
            except httpx.HTTPError as exc:  # it was sent, and no answer came
                self.again[f"in doubt: {type(exc).__name__}"] += 1
                message.fate = Fate.DOUBT
                return
            else:
                if answer.status_code == 202:
                    message.taken_s = loop.time()
                    message.fate = Fate.TAKEN
                    self.took_s.append(message.taken_s - message.begun_s)
                    return
                if answer.status_code == 504:
                    message.fate = Fate.DOUBT
                    self.again["in doubt: 504"] += 1
                    return
                if answer.status_code != 503:
                    raise AssertionError(f"{answer.status_code}: {answer.text}")
                self.again["503"] += 1
            await asyncio.sleep(AGAIN_S)
