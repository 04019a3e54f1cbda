"""A client that does what the wire protocol's page says a client does, and costs little: a thousand are one process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from rolling.account import Listener, Stay

#: docs/wire-protocol.md, "Connecting again".
BASE_S, CAP_S, LASTED_S = 0.5, 20.0, 5.0
#: … and "Heartbeats".
QUIET_S, SILENT_S = 25.0, 5.0
HANDSHAKE_S = 5.0
ABNORMAL = 1006


@dataclass
class Fortunes:
    """What all clients together have met."""

    #: By close code.
    closed: Counter[int] = field(default_factory=Counter)
    #: Attempts to connect that failed, by why.
    failed: Counter[str] = field(default_factory=Counter)
    #: How long each was away, from the end of a connection until its topics were live on the next.
    away_s: list[float] = field(default_factory=list)
    #: Joins that the server refused for now.
    joins_refused: int = 0


class Client:
    """One client, with its topics; ``url`` is asked for before each attempt."""

    def __init__(self, url: str, topics: tuple[str, ...], fortunes: Fortunes, rng: random.Random) -> None:
        self.uri = parse_uri(url)
        self.listener = Listener(topics)
        self.fortunes = fortunes
        self.is_joined = False
        self._rng = rng
        self._ended_s: float | None = None

    async def run(self) -> None:
        """Be connected, until cancelled."""
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            link = _Link(self)
            began_s = loop.time()
            try:
                async with asyncio.timeout(HANDSHAKE_S):
                    await loop.create_connection(lambda link=link: link, self.uri.host, self.uri.port)  # type: ignore[misc]
                    await link.opened
                await link.ended
                self.fortunes.closed[link.code] += 1
            except TimeoutError:
                self.fortunes.failed["no answer"] += 1
            except OSError as exc:
                self.fortunes.failed[str(exc) if isinstance(exc, NotOpened) else type(exc).__name__] += 1
            finally:
                link.abort()
            self.is_joined = False
            if loop.time() - began_s >= LASTED_S:
                attempt = 0
            await asyncio.sleep(min(CAP_S, BASE_S + self._rng.random() * BASE_S * 2**attempt))
            attempt += 1

    @property
    def has_left(self) -> bool:
        """Whether it went away for good."""
        return self.listener.left_s < math.inf

    def leave(self) -> None:
        """It goes away for good; its task is to be cancelled."""
        self.listener.left_s = asyncio.get_running_loop().time()

    def joined(self) -> None:
        """All its topics are live."""
        self.is_joined = True
        if self._ended_s is not None:
            self.fortunes.away_s.append(asyncio.get_running_loop().time() - self._ended_s)
            self._ended_s = None

    def left(self, stay: Stay) -> None:
        """A connection ended."""
        stay.ended_s = asyncio.get_running_loop().time()
        if self._ended_s is None:
            self._ended_s = stay.ended_s


class NotOpened(OSError):
    """The handshake came to nothing."""


class _Link(asyncio.Protocol):
    """One connection: frames are ``websockets``' business, the times are ours."""

    def __init__(self, client: Client) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._client = client
        self._wire = ClientProtocol(client.uri, max_size=None)
        self._transport: asyncio.Transport | None = None
        self._stay = Stay()
        self._heard_s = loop.time()
        self._is_asked = False
        self._watch: asyncio.TimerHandle | None = None

    @property
    def code(self) -> int:
        """The close code, once it has ended."""
        code = self._wire.close_code
        return ABNORMAL if code is None else code

    def abort(self) -> None:
        """Be rid of it."""
        if self._watch is not None:
            self._watch.cancel()
        if self._transport is not None:
            self._transport.abort()

    # asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._wire.send_request(self._wire.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        self._is_asked = False
        self._wire.receive_data(data)
        self._take_events()

    def eof_received(self) -> None:
        self._wire.receive_eof()
        self._take_events()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(NotOpened("reset" if exc else "closed"))
        with contextlib.suppress(asyncio.InvalidStateError):
            self.ended.set_result(None)
        self._leave()

    # The protocol's

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._wire.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _take_events(self) -> None:
        for event in self._wire.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self._text(bytes(event.data))
                elif event.opcode is Opcode.CLOSE:
                    self._leave()
        self._flush()

    def _answered(self, response: Response) -> None:
        if response.status_code != 101 or self.opened.done():
            if not self.opened.done():
                self.opened.set_exception(NotOpened(str(response.status_code)))
            return
        self.opened.set_result(None)
        self._client.listener.stays.append(self._stay)
        for topic in self._client.listener.topics:
            self._ask(topic)
        self._look()

    def _ask(self, topic: str) -> None:
        self._say({"type": "room.join", "data": {"room": topic}, "correlationId": topic})

    def _say(self, content: object) -> None:
        if self._transport is not None and not self._transport.is_closing() and not self.ended.done():
            self._wire.send_text(json.dumps(content).encode())
            self._flush()

    def _text(self, text: bytes) -> None:
        now_s = asyncio.get_running_loop().time()
        if text.isdigit():
            if text == b"3":  # the answer to a heartbeat; messages have more digits
                return
            number = int(text) - FIRST
            if number in self._stay.got:
                self._client.listener.repeated += 1
            self._stay.got[number] = now_s
            return
        content: dict[str, Any] = json.loads(text)
        if content.get("type") == "room.join":
            self._join_answered(content, now_s)
        elif content.get("name") == "wigwag.resync":
            self._stay.told.append((now_s, frozenset(content["data"]["topics"])))
        elif content.get("name") == "wigwag.dropped":
            self._stay.told.append((now_s, None))
        else:
            raise AssertionError(f"nobody sent {content}")

    def _join_answered(self, content: dict[str, Any], now_s: float) -> None:
        topic = content["correlationId"]
        if "error" in content:  # for now: the same again, on this connection
            self._client.fortunes.joins_refused += 1
            asyncio.get_running_loop().call_later(random.uniform(1, 2), self._ask, topic)
            return
        self._stay.joined_s[topic] = now_s
        if len(self._stay.joined_s) == len(self._client.listener.topics):
            self._client.joined()

    def _look(self) -> None:
        """Ask a server that is quiet whether it is there, and give up one that does not answer."""
        loop = asyncio.get_running_loop()
        quiet_s = loop.time() - self._heard_s
        if self._is_asked:
            if quiet_s >= SILENT_S:
                self.abort()
                return
        elif quiet_s >= QUIET_S:
            self._is_asked = True
            self._wire.send_text(b"2")
            self._flush()
        self._watch = loop.call_later(SILENT_S, self._look)

    def _leave(self) -> None:
        if self.opened.done() and self._stay.ended_s == math.inf:
            self._client.is_joined = False
            self._client.left(self._stay)


#: The number of the first message: its text is longer than a heartbeat's.
FIRST = 1_000_000
