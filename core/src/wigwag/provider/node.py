"""One run of a provider, from start to stop: its sockets, what they want, and its broker sessions."""

from __future__ import annotations

import itertools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence

import anyio
import anyio.lowlevel
import msgspec

from wigwag.broker import Broker, Position
from wigwag.errors import (
    NotAccepted,
    NotConnected,
    NotLive,
    PayloadTooLarge,
    SubscribeError,
    TopicRefused,
    Unsubscribed,
)
from wigwag.frames import Frame
from wigwag.interfaces import BatchingSocket, LocalSocket
from wigwag.logs import current_node
from wigwag.messages import encode_named
from wigwag.node import BROADCAST_CHANNEL, new_node_tag, node_channel
from wigwag.provider.channels import Channels
from wigwag.provider.commands import Commands, Load, NodeCount
from wigwag.provider.counters import Counters
from wigwag.provider.fanout import Fanout
from wigwag.provider.lag import Lags
from wigwag.provider.link import Link
from wigwag.provider.outbox import Outbox
from wigwag.provider.resync import Ledger
from wigwag.provider.session import Session
from wigwag.provider.settings import ProviderSettings
from wigwag.provider.signal import Signal, now
from wigwag.provider.waits import Wait, Waits
from wigwag.tracing import current_trace, delivery
from wigwag.wire.envelope import (
    BINARY,
    COMMAND,
    PROBE,
    TEXT,
    Envelope,
    ForeignEnvelope,
    decode_envelope,
    encode_envelope,
)

logger: logging.Logger = logging.getLogger("wigwag.provider")

#: In-process publishing lets others run after so much: nothing else would make it yield.
_GIVE_WAY_MESSAGES = 64
_GIVE_WAY_BYTES = 256 * 1024
#: Clients are asked to spread their refetching so that about a thousand a second come, at most over 30 s.
_SPREAD_MS_PER_SOCKET = 1
_MAX_SPREAD_MS = 30_000
_TELL_AT_ONCE = 200
#: How many names are tried to find a channel in a given lane, and in how many lanes in vain.
_LANE_TRIES = 16_384
_LANES_IN_VAIN = 16
_WARN_AGAIN_S = 30.0


class Node:
    """What is made anew at each start, so that a stopped provider starts again empty."""

    def __init__(
        self,
        broker: Broker,
        settings: ProviderSettings,
        counters: Counters,
        *,
        subscribes: bool,
    ) -> None:
        self._broker = broker
        self._settings = settings
        self.counters = counters
        self._note_lag = Lags(counters.lag_s).arrived
        self.tag: str = new_node_tag()
        self.fanout: Fanout = Fanout(counters)
        self.fanout.context.run(current_node.set, self.tag)
        self._interest = self.fanout.interest
        self.direct: bool = broker.in_process
        #: The channel on which the node hears itself, or None for one that only publishes.
        self.probe_channel: str | None = node_channel(self.tag) if subscribes else None
        self._own = self._own_channels()
        self._changed = Signal()
        self._channels = Channels(self._is_wanted, linger_s=settings.linger_s)
        self._channels.restart(self._own)
        self._waits: Waits[BatchingSocket] = Waits()
        self._ledger: Ledger[BatchingSocket] = Ledger()
        self._outbox = Outbox(
            broker,
            max_messages=settings.outbox_messages,
            max_bytes=settings.outbox_bytes,
            timeout_s=settings.publish_timeout_s,
            why_down=self._describe_link,
            counters=counters,
        )
        self._commands = Commands(self.tag, self.fanout, self._post_command)
        self.link: Link = Link(self._new_session, self._lost, settings)
        self._probes = itertools.count(1)
        self._lanes_in_vain = 0
        self._warned_at = -math.inf
        self._given = 0
        self._given_bytes = 0
        self._foreign_seen: set[str] = set()

    # Sockets and what they want

    def attach(self, socket: LocalSocket) -> None:
        attached = self.fanout.attach(socket)
        self.counters.opened += 1
        if not self.direct and self._own and not self._hears_everybody:
            # Until the node's own channels are live, broadcasts pass it by.
            self._ledger.everybody((attached,), always=True)

    @property
    def _hears_everybody(self) -> bool:
        return self._channels.is_live(BROADCAST_CHANNEL)

    def detach(self, socket_id: str) -> bool:
        socket = self.fanout.detach(socket_id)
        if socket is None:
            return False
        for topic in list(self._interest.topics_of(socket)):
            self._drop(topic, socket, NotConnected(topic, f"the socket {socket_id} has gone"))
        self._ledger.forget(socket)
        self._changed.set()
        return True

    async def subscribe(self, socket_id: str, topics: Sequence[str]) -> None:
        socket = self.fanout.sockets.get(socket_id)
        if socket is None:
            raise NotConnected(topics[0], f"the socket {socket_id} is not connected to this node")
        pending: list[str] = []
        for topic in topics:
            first = self.fanout.join(topic, socket)
            if self.direct:
                continue
            if first and self._channels.want(topic):
                self._changed.set()
            if not self._channels.is_live(topic):
                if first is not None:
                    self._ledger.came(topic, socket)
                pending.append(topic)
        if pending:
            await self._wait_until_live(socket, pending)

    async def _wait_until_live(self, socket: BatchingSocket, topics: list[str]) -> None:
        waits: list[tuple[str, Wait]] = []
        error: SubscribeError | None = None
        for topic in topics:
            reason = self._channels.why_refused(topic)
            if reason is None:
                waits.append((topic, self._waits.join(topic, socket)))
            else:
                self._ledger.gave_up(topic, socket)
                error = error or _refusal(topic, reason)
        timeout_s = self._settings.subscribe_timeout_s
        try:
            with anyio.move_on_after(timeout_s):
                for _, wait in waits:
                    await wait.settled.wait()
        finally:
            for topic, wait in waits:
                self._waits.leave(topic, socket, wait)
                if wait.error is not None:
                    error = error or wait.error
                elif not wait.settled.is_set():
                    self._ledger.gave_up(topic, socket)
                    error = error or NotLive(
                        topic,
                        f"topic {topic!r} was not live within {timeout_s:g} s; {self.link.describe()}. "
                        "The wish stands, and the socket is told by wigwag.resync when it is",
                    )
        if error is not None:
            raise error

    def unsubscribe(self, socket_id: str, topics: Sequence[str]) -> None:
        socket = self.fanout.sockets.get(socket_id)
        if socket is None:
            return
        for topic in topics:
            self._drop(topic, socket, Unsubscribed(topic, f"unsubscribed from {topic!r} meanwhile"))
        self._changed.set()

    def _drop(self, topic: str, socket: BatchingSocket, why: SubscribeError) -> None:
        last = self.fanout.leave(topic, socket)
        if last is None or self.direct:
            return
        self._waits.fail(topic, socket, why)
        self._ledger.left(topic, socket, last=last)
        if last:
            self._channels.unwant(topic, now())

    def _is_wanted(self, topic: str) -> bool:
        return topic in self._interest or topic in self._own

    def _wanted(self) -> Iterator[str]:
        yield from self._own
        yield from self._interest

    # Publishing

    def publish(self, topic: str, frame: Frame, exclude: str | None = None) -> Awaitable[None]:
        """Deliver to the sockets of a topic, or to all if it is the broadcast channel.

        To be awaited at once. No coroutine, since one more costs each publish.
        """
        self.counters.published += 1
        if self.direct:
            if topic == BROADCAST_CHANNEL:
                self.fanout.to_all(frame, exclude)
            else:
                self.fanout.to_topic(frame, topic, exclude)
            return self._give_way(len(frame.payload))
        envelope = encode_envelope(
            TEXT if frame.is_text else BINARY,
            topic,
            frame.payload,
            exclude=exclude,
            sent_at=time.time(),
            trace=current_trace(),
            format=self._broker.envelope,
        )
        return self._to_broker(topic, envelope)

    async def send(self, node_tag: str, socket_id: str, frame: Frame) -> None:
        """Deliver to one socket: directly if it is here, else through its node's channel."""
        self.counters.published += 1
        if self.direct or node_tag == self.tag:
            self.fanout.to_one(frame, socket_id)
            await self._give_way(len(frame.payload))
        else:
            channel = node_channel(node_tag)
            envelope = encode_envelope(
                TEXT if frame.is_text else BINARY,
                channel,
                frame.payload,
                to=socket_id,
                sent_at=time.time(),
                trace=current_trace(),
            )
            await self._to_broker(channel, envelope)

    async def disconnect(self, node_tag: str, socket_id: str, code: int, reason: str) -> None:
        if self.direct or node_tag == self.tag:
            socket = self.fanout.sockets.get(socket_id)
            self.fanout.close(() if socket is None else (socket,), code, reason)
        else:
            await self._command(
                node_channel(node_tag),
                self._commands.close_socket(node_tag, socket_id, code, reason),
            )

    async def disconnect_user(self, user_id: str, code: int, reason: str) -> None:
        # Here at once, whatever the link does.
        self.fanout.close(self.fanout.of_user(user_id), code, reason)
        if not self.direct:
            await self._command(BROADCAST_CHANNEL, self._commands.close_user(user_id, code, reason))

    async def count(self, topic: str, timeout_s: float) -> dict[str, int]:
        """How many sockets want the topic, by the tag of the node that said so."""
        if self.direct:
            return {self.tag: len(self._interest.sockets(topic))}
        return await self._commands.count(topic, timeout_s)

    async def look(self, timeout_s: float) -> dict[str, NodeCount]:
        """How many sockets each node has, by the tag of the node that said so."""
        if self.direct:
            return {self.tag: self._commands.own_count()}
        return await self._commands.look(timeout_s)

    def on_load(self, listener: Callable[[Load], object]) -> None:
        """Tell it what each node, this one included, says of its sockets."""
        self._commands.on_load = listener

    def tell_load(self) -> None:
        """Say to all how many sockets this node has, and whether it is about to end."""
        self._commands.tell_load()

    def leave(self) -> None:
        """The process is about to end: other nodes are told so when they look."""
        self._commands.is_leaving = True

    async def _command(self, channel: str, command: bytes) -> None:
        await self._to_broker(channel, encode_envelope(COMMAND, channel, command))

    def _post_command(self, channel: str, command: bytes) -> None:
        try:
            self._outbox.post(channel, encode_envelope(COMMAND, channel, command))
        except NotAccepted as exc:
            if now() - self._warned_at >= _WARN_AGAIN_S:
                self._warned_at = now()
                logger.warning("a command to another node was not sent: %s", exc)

    def _to_broker(self, topic: str, envelope: bytes) -> Awaitable[None]:
        limit = self._outbox.max_payload_bytes
        if limit is not None and len(envelope) > limit:
            raise PayloadTooLarge(topic, len(envelope), limit)
        return self._outbox.publish(topic, envelope)

    async def _give_way(self, size: int) -> None:
        """Let the sockets' writers run now and then: a publisher that never yields would fill the
        buffers of sockets that are not slow at all."""
        self._given += 1
        self._given_bytes += size
        if self._given >= _GIVE_WAY_MESSAGES or self._given_bytes >= _GIVE_WAY_BYTES:
            await anyio.lowlevel.checkpoint()
            self._given = 0
            self._given_bytes = 0

    # What a session tells its node

    def session_ready(self, *, kept: bool) -> None:
        self.counters.sessions += 1
        self.link.down_since = None
        self._ledger.begin(kept=kept)
        logger.info("broker session %d is ready", self.counters.sessions)

    def live(self, topics: Sequence[str]) -> None:
        for topic in self._channels.joined(topics, anyio.current_time()):
            self._ledger.back(topic, self._interest.sockets(topic))
            self._waits.settle(topic)
            if topic == BROADCAST_CHANNEL:
                self._ledger.everybody(self.fanout.sockets.values())

    def refused(self, topic: str, reason: str) -> None:
        logger.warning("the broker refuses topic %r: %s; it is tried again in 30 s", topic, reason)
        self._channels.refuse(topic, reason, anyio.current_time())
        self._ledger.refused(topic, self._interest.sockets(topic))
        for socket in self._waits.waiting(topic):
            self._ledger.gave_up(topic, socket)
            self._waits.fail(topic, socket, _refusal(topic, reason))

    def arrived(self, topic: str, payload: bytes, position: Position | None) -> None:
        if not self._is_wanted(topic):
            return
        try:
            envelope = decode_envelope(topic, payload)
            kind = envelope.kind
            if kind is PROBE:
                if self.link.session is not None:
                    number = msgspec.json.decode(envelope.payload, type=int)
                    self.link.session.prober.echo(topic, number)
                return
            if kind is COMMAND:
                if topic in self._own:
                    self._commands.do(envelope.payload)
                return
        except ForeignEnvelope as exc:
            self._foreign(topic, exc.cause)
            return
        except (ValueError, RecursionError):
            self._foreign(topic, "command")
            return
        sent_at = envelope.sent_at
        if sent_at is not None:
            self._note_lag(sent_at)
        if envelope.trace is None:
            self._deliver(topic, envelope, kind is TEXT)
        else:
            with delivery(envelope.trace, topic, len(envelope.payload), self.tag):
                logger.debug("a message of %d bytes on %r", len(envelope.payload), topic)
                self._deliver(topic, envelope, kind is TEXT)

    def _deliver(self, topic: str, envelope: Envelope, is_text: bool) -> None:
        if envelope.to is not None:
            self.fanout.to_one(Frame(envelope.payload, is_text), envelope.to)
            return
        frame = Frame(envelope.payload, is_text, topic)
        if topic == BROADCAST_CHANNEL:
            self.fanout.to_all(frame, envelope.exclude)
        else:
            self.fanout.to_topic(frame, topic, envelope.exclude)

    def _foreign(self, topic: str, cause: str) -> None:
        self.counters.foreign[cause] += 1
        if cause not in self._foreign_seen:
            self._foreign_seen.add(cause)
            logger.warning(
                "a message on %r is not wigwag's (%s) and was skipped; more are counted, not logged",
                topic,
                cause,
            )

    def gap(self, topics: Sequence[str] | None) -> None:
        for topic in list(self._interest) if topics is None else topics:
            self._ledger.gap(topic, self._interest.sockets(topic), is_live=self._channels.is_live(topic))
        # What the other channels of its own carry is probes.
        if topics is None or not self._own_channels().keys().isdisjoint(topics):
            self._ledger.everybody(self.fanout.sockets.values(), always=True)
        self._changed.set()

    def probe_channel_in(self, lane: Hashable) -> str | None:
        """A channel of this node's in that lane, which is subscribed from now on, for this session.

        None if there is none, or none was found: what decides on a lane is the broker's own affair, so that names
        are tried.
        """
        home = self.probe_channel
        if home is None or self._lanes_in_vain >= _LANES_IN_VAIN:
            return None
        names = itertools.chain([home], (f"{home}:{n}" for n in range(_LANE_TRIES)))
        channel = next((name for name in names if self._broker.lane(name) == lane), None)
        if channel is None:
            self._lanes_in_vain += 1
            logger.warning("the lane %r of the broker is not probed: no channel's name was found in it", lane)
        elif channel not in self._own:
            self._own[channel] = None
            if self._channels.want(channel):
                self._changed.set()
        return channel

    def new_probe(self, channel: str) -> tuple[int, bytes]:
        """A probe's number, which no other session has used, and its envelope."""
        number = next(self._probes)
        return number, encode_envelope(PROBE, channel, b"%d" % number)

    async def tell(self) -> None:
        """Tell the sockets that are owed a word of what they may have missed."""
        spread_ms = min(_MAX_SPREAD_MS, self._ledger.owed_count * _SPREAD_MS_PER_SOCKET)
        told = 0
        while self._ledger.is_due:
            socket, topics, is_word = self._ledger.pop()
            wanted = [topic for topic in topics if self._interest.wants(socket, topic)]
            if not wanted and not is_word:
                continue
            data = msgspec.json.encode({"topics": wanted, "spreadMs": spread_ms})
            event = encode_named("wigwag.resync", data)
            self.fanout.to_one(Frame(event, is_text=True), socket.id)
            self.counters.resyncs += 1
            told += 1
            if told % _TELL_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        self._ledger.rest()

    # The link

    async def run(self) -> None:
        """Keep a session with the broker, for ever; in a task of its own."""
        current_node.set(self.tag)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._outbox.expire)
            await self.link.run()

    def _new_session(self) -> Session:
        return Session(self._broker, self, self._channels, self._outbox, self._changed, self._settings)

    def _lost(self, session: Session) -> None:
        own, self._own = self._own, self._own_channels()
        lost = self._channels.restart(self._wanted()) - own.keys()
        self._ledger.lose(lost, was_ready=session.is_ready)

    def _own_channels(self) -> dict[str, None]:
        return {} if self.probe_channel is None else {self.probe_channel: None, BROADCAST_CHANNEL: None}

    @property
    def is_up(self) -> bool:
        """Whether a broker session is ready, and hears itself where it should."""
        needs_proof = not self.direct and self.probe_channel is not None
        return self.link.is_proved if needs_proof else self.link.is_ready

    @property
    def up_until(self) -> float | None:
        """When it last was up, in anyio's clock, if it is not: a session that is ready but deaf, one after the other,
        leaves this as it is.  None where it never was."""
        return self.link.proved_until

    @property
    def queued_messages(self) -> int:
        """How many messages wait for the broker, or for its answer."""
        return len(self._outbox)

    @property
    def live_topics(self) -> int:
        """How many channels are live on the broker."""
        return self._channels.live_count

    def _describe_link(self) -> str:
        return self.link.describe()

    async def flush(self) -> None:
        """Return when all that was published has been answered for, if the link is up."""
        if self.is_up:
            await self._outbox.flush()

    def abandon(self) -> None:
        """Fail what is still queued."""
        self._outbox.abandon()


def _refusal(topic: str, reason: str) -> TopicRefused:
    return TopicRefused(topic, f"the broker refuses topic {topic!r}: {reason}; it is tried again every 30 s")
