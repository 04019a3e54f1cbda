"""The NATS broker: one connection, one subject a topic, and confirmations that NATS itself does not give.

A server does what a connection asks in the order in which it was asked, and what it has to say comes back in
that order too.  So a token, published to a subject of our own right after some commands and received back,
says that they were done, and that every error they caused has been read.  It confirms subscribes and
publishes alike.  (``PING`` and ``PONG`` would do as well; but ``PONG`` carries no name of its question.)

The servers of a cluster learn of a subscription a moment later than the one it was made on, and none of them
says when: there, a subscription is given time.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
from collections.abc import Sequence
from typing import ClassVar, Final

from wigwag.broker import Broker, BrokerLost, Capabilities, Inbox, Refused
from wigwag_nats.link import Link, connect, plain
from wigwag_nats.parser import Parser, ProtocolError
from wigwag_nats.settings import NatsSettings, check_settings

#: More than asyncio reads at once: all that is there.
_READ_BYTES: Final = 1024 * 1024
_find_violation = re.compile(r'Permissions Violation for (Publish|Subscription) to "([^"]*)"').match
#: The token by which a session begins; the others are numbers.
_FIRST: Final = b"first"
_TOO_MANY: Final = "maximum subscriptions exceeded"
#: On three servers of one machine 2 ms were enough for 300 of 300; with 10 ms between them, 20 ms for 99 of 100.
_CLUSTER_SETTLE_S: Final = 0.1


class NatsBroker(Broker):
    """Delivers through NATS, to all nodes that use the same servers and prefix.

    Topic ``a.b`` is subject ``ws.t.a/b``: one token, since a subject's tokens can't be empty, as ``a..b`` would
    make them.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(scope="fleet", order="session")

    def __init__(self, settings: NatsSettings) -> None:
        """Raises SettingsError where the settings do not fit together."""
        check_settings(settings)
        self._settings = settings
        self._topics = f"{settings.prefix}.t.".encode()
        self._link: Link | None = None
        self._begin()

    def _begin(self) -> None:
        """Forget the session before."""
        self._sync = f"{self._settings.prefix}._sync.{secrets.token_hex(12)}"
        self._numbers = itertools.count(1)
        self._waiters: dict[bytes, asyncio.Future[None]] = {}
        self._sids: dict[str, int] = {}  # the server's names of our subscriptions, by topic
        self._live: dict[bytes, str] = {}  # topics by subject
        self._joining: dict[str, str] = {}  # topics by subject, while they are being subscribed
        self._unjoined: dict[str, str] = {}  # topics of them that were refused, and why
        self._unsent: dict[str, str] = {}  # subjects that may not be published to, and why
        self._is_full = False

    @property
    def link(self) -> Link | None:
        """The connection, while there is a session."""
        return self._link

    async def run(self, inbox: Inbox) -> None:
        self._begin()
        link = self._link = await connect(self._settings)
        topics, sync, skip = self._topics, self._sync.encode(), len(self._topics)
        deliver = inbox.deliver

        live, loop = self._live.get, asyncio.get_running_loop()

        def on_message(subject: bytes, payload: bytes) -> None:
            topic = live(subject)
            if topic is not None:
                deliver(topic, payload)
            elif subject.startswith(topics):
                deliver(subject[skip:].decode("utf-8", "replace").replace("/", "."), payload)
            elif subject == sync and payload == _FIRST:
                # A server that has just started takes what the others want a moment after it takes clients.
                timers.append(loop.call_later(self._settle_s, ready))
            elif subject == sync:
                self._confirm(payload)

        timers: list[asyncio.TimerHandle] = []

        def ready() -> None:
            inbox.ready(max_payload_bytes=link.info.get("max_payload"))

        parser = Parser(on_message, self._on_line)
        link.writer.write(b"SUB %b sync\r\n%b" % (sync, self._token(_FIRST)))
        try:
            while data := await link.reader.read(_READ_BYTES):
                parser.feed(data)
        except (OSError, ProtocolError) as exc:
            raise BrokerLost(f"the link to {link.server} was lost: {str(exc) or type(exc).__name__}") from exc
        finally:
            for timer in timers:
                timer.cancel()
        raise BrokerLost(f"{link.server} closed the link: it stops, or this node read too slowly for it")

    def _on_line(self, line: bytes) -> None:
        """Take what is no message: PING, an error; INFO and PONG say nothing that counts here."""
        if line.startswith(b"PING"):
            if self._link is not None:
                self._link.writer.write(b"PONG\r\n")
        elif line.startswith(b"-ERR"):
            self._on_error(line[4:].decode("utf-8", "replace").strip().strip("'"))
        elif not line.startswith((b"INFO ", b"PONG", b"+OK")):
            raise ProtocolError(f"it sent {line[:20]!r}, which is not NATS")

    def _on_error(self, text: str) -> None:
        """Keep an error for the call that caused it; one that no call did ends the session."""
        found = _find_violation(text)
        what, subject = found.groups() if found else ("", "")
        if subject == self._sync:
            raise BrokerLost(
                f"the login may not do what wigwag needs ({plain(text)}): allow it to publish and to subscribe on "
                f"{self._settings.prefix}.>"
            )
        if what == "Publish":
            self._unsent[subject] = plain(text)
        elif subject in self._joining:
            self._unjoined[self._joining[subject]] = plain(text)
        elif text == _TOO_MANY and self._joining:
            self._is_full = True
        else:  # also when a live topic is forbidden: the next session finds out which
            raise BrokerLost(f"the NATS server ended the session: {plain(text)}")

    async def subscribe(self, topics: Sequence[str]) -> None:
        new = {self._subject(topic).decode(): topic for topic in topics if topic not in self._sids}
        self._joining, self._unjoined, self._is_full = new, {}, False
        for topic in new.values():
            self._sids[topic] = next(self._numbers)
            self._live[self._subject(topic)] = topic
        try:
            await self._do([b"SUB %b %d\r\n" % (self._subject(t), self._sids[t]) for t in new.values()])
        finally:
            self._joining = {}
        if self._is_full:  # some are live, and the server does not say which
            await self.unsubscribe(list(new.values()))
            raise Refused({topics[0]: _TOO_MANY} if len(topics) == 1 else None)
        await asyncio.sleep(self._settle_s)
        if self._unjoined:
            for topic in self._unjoined:
                del self._sids[topic]
                del self._live[self._subject(topic)]
            raise Refused(self._unjoined)

    @property
    def _settle_s(self) -> float:
        if self._settings.settle_s is not None:
            return self._settings.settle_s
        is_cluster = self._link is not None and "cluster" in self._link.info
        return _CLUSTER_SETTLE_S if is_cluster else 0.0

    async def unsubscribe(self, topics: Sequence[str]) -> None:
        for topic in topics:
            self._live.pop(self._subject(topic), None)
        sids = [self._sids.pop(topic) for topic in topics if topic in self._sids]
        await self._do([b"UNSUB %d\r\n" % sid for sid in sids])

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        prefix = self._topics
        self._unsent = {}
        await self._do(
            [
                b"PUB %b%b %d\r\n%b\r\n" % (prefix, topic.replace(".", "/").encode(), len(payload), payload)
                for topic, payload in messages
            ]
        )
        if self._unsent:
            reasons = [self._unsent.get(self._subject(topic).decode()) for topic, _ in messages]
            raise Refused({index: reason for index, reason in enumerate(reasons) if reason is not None})

    async def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    def _subject(self, topic: str) -> bytes:
        return self._topics + topic.replace(".", "/").encode()

    def _token(self, token: bytes) -> bytes:
        return b"PUB %b %d\r\n%b\r\n" % (self._sync.encode(), len(token), token)

    async def _do(self, commands: list[bytes]) -> None:
        """Send commands in one write, and return when the server has done them all.

        What waits to be written is bounded by this: core makes one call of a kind at a time.
        """
        if self._link is None:
            raise BrokerLost("there is no session")
        token = b"%d" % next(self._numbers)
        waiter = self._waiters[token] = asyncio.get_running_loop().create_future()
        commands.append(self._token(token))
        self._link.writer.write(b"".join(commands))
        try:
            await waiter
        finally:
            self._waiters.pop(token, None)

    def _confirm(self, token: bytes) -> None:
        waiter = self._waiters.get(token)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
