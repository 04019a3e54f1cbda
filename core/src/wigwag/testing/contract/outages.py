"""Outages under a real provider: nothing is lost in silence, delivered twice, or out of order."""

# ruff: noqa: D102 - a test's name is what it says

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from wigwag.broker import Broker
from wigwag.errors import NotAccepted, PublishError, SubscribeError
from wigwag.provider.provider import Provider
from wigwag.provider.settings import ProviderSettings
from wigwag.testing.contract.checks import check, comes_true, raise_first, together, until
from wigwag.testing.contract.fates import Fates
from wigwag.testing.contract.hooks import needs
from wigwag.testing.contract.remains import expect_nothing_new, running
from wigwag.testing.contract.session import CLOSE_S
from wigwag.testing.contract.theme import Theme, fresh
from wigwag.testing.contract.watch import UNHEEDED_S, forced
from wigwag.testing.socket import FakeSocket

#: Core's own times, shortened: what takes seconds in production takes tenths here.
SETTINGS = ProviderSettings(
    linger_s=0.05,
    subscribe_timeout_s=2.0,
    publish_timeout_s=1.0,
    probe_interval_s=0.1,
    probe_timeout_s=0.5,
    session_timeout_s=2.0,
    backoff_base_s=0.05,
    backoff_cap_s=0.3,
    stop_timeout_s=1.0,
)
#: What stopping may take: its own steps, the broker's close(), and a bit.
STOP_S = 2 * SETTINGS.stop_timeout_s + CLOSE_S + UNHEEDED_S
_TOPICS = 6
_NOTHING = "two providers over this broker are up, and what the one publishes does not arrive at the other"
_NOT_BACK = (
    "the server serves, and the session is not back: run() must connect anew each time it is called, and close() must "
    "leave nothing that stands in the way"
)


class OutageTests(Theme):
    """Race rows 4 to 7, 10, 12 and 13."""

    @needs("pause_server")
    async def test_close_does_not_wait_for_a_server_that_is_stopped(self) -> None:
        topic, broker = fresh("stopped"), self.make_broker()
        before = running()
        try:
            async with self.session(broker) as session:
                await session.subscribe(topic)
                await session.publish((topic, b"x"))
                await session.hear(topic, b"x")
                await self.pause_server()
        finally:
            await self.resume_server()
        await expect_nothing_new(before, "after a session with a server that was stopped")

    @needs("pause_server")
    async def test_a_stopped_server_is_given_up_and_found_again(self) -> None:
        """What is in flight then is in doubt, and must not come out twice or out of order afterwards."""
        await self._endure(self._stop_for_a_while)

    @needs("restart_server")
    async def test_publishes_in_flight_survive_a_restart_or_fail_truthfully(self) -> None:
        await self._endure(lambda _: self.restart_server())

    @needs("cut_link")
    async def test_publishes_in_flight_survive_a_cut_of_their_link_or_fail_truthfully(self) -> None:
        """The subscriber's link holds: whatever publish() said was taken must be there."""
        await self._endure(lambda stage: self._cut(stage.publisher, stage))

    @needs("cut_link")
    async def test_what_is_missed_while_a_link_is_cut_is_told(self) -> None:
        await self._endure(lambda stage: self._cut(stage.subscriber, stage))

    @needs("cut_link")
    async def test_a_link_cut_during_subscribes_leaves_exactly_the_wanted_topics_live(self) -> None:
        dice = random.Random(4)
        async with self._node() as publisher, self._node() as node:
            for number in range(5):
                prefix, socket = fresh(f"cut.{number}"), node.new_socket()
                topics, sessions = [f"{prefix}:{n}" for n in range(200)], node.sessions
                errors = await together(
                    *(node.provider.subscribe(socket.id, *topics[n : n + 10]) for n in range(0, 200, 10)),
                    self._later(dice.randrange(12), lambda: self.cut_link(node.broker)),
                )
                raise_first(error for error in errors if not isinstance(error, SubscribeError))
                await self._new_session(node, sessions)
                await self._subscribed(node, socket, topics)
                await self._expect_all_live(publisher.provider, socket, topics)
                node.provider.detach(socket.id)

    async def _expect_all_live(self, publisher: Provider, socket: FakeSocket, topics: list[str]) -> None:
        # The publisher's link may be cut too: what was in doubt would come twice.
        await self._repeat(lambda: self._is_taken(publisher, fresh("cut")), _NOT_BACK)
        for topic in topics:
            await publisher.publish(topic, topic)
        await until(
            lambda: len(set(socket.messages)) == len(topics),
            self.patience_s,
            lambda: (
                f"a link was cut while {len(topics)} topics were being subscribed; then all were live, and "
                f"{len(topics) - len(set(socket.messages))} of them are dead: a subscribe() of the new session was "
                "confirmed by a reply of the old one, or by nothing"
            ),
        )
        check(
            len(socket.messages) == len(topics),
            "after a link was cut during subscribe() messages arrive more than once: the old session's connection "
            "still reads",
        )

    # The ways to break it

    async def _stop_for_a_while(self, stage: Stage) -> None:
        began = anyio.current_time()
        await self.pause_server()
        try:
            for node in (stage.publisher, stage.subscriber):
                await self._given_up(node, began)
        finally:
            await self.resume_server()

    async def _given_up(self, node: OneNode, began: float) -> None:
        await until(
            lambda: not node.is_up,
            SETTINGS.probe_interval_s + SETTINGS.probe_timeout_s + self.patience_s,
            lambda: (
                f"the server was stopped (SIGSTOP) {anyio.current_time() - began:.1f} s ago, the probe's deadline is "
                f"{SETTINGS.probe_timeout_s} s, and the session is still held to be up: run() or a call does not let "
                "its cancellation out, or close() waits for the server"
            ),
        )

    async def _cut(self, node: OneNode, stage: Stage) -> None:
        for _ in range(3):
            await self._cut_once(node, stage.socket)
            await self._subscribed(stage.subscriber, stage.socket, stage.topics)

    async def _cut_once(self, node: OneNode, socket: FakeSocket) -> None:
        """When a message has just arrived: its confirmation may be on its way."""
        sessions, heard = node.sessions, len(socket.frames)
        await until(lambda: len(socket.frames) > heard, self.patience_s, _NOTHING)
        await self.cut_link(node.broker)
        await self._new_session(node, sessions)

    async def _new_session(self, node: OneNode, sessions: int) -> None:
        """Until the node knows that the link was cut, it holds its topics to be live."""
        await until(lambda: node.sessions > sessions, self.patience_s, _NOT_BACK)
        await self._up(node)

    async def _up(self, node: OneNode) -> None:
        await until(lambda: node.is_up, self.patience_s, _NOT_BACK)

    async def _later(self, turns: int, act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        await act()

    # Publishing all the while, and looking at what became of each message

    async def _endure(self, fault: Callable[[Stage], Awaitable[None]]) -> None:
        before = running()
        async with self._node(self.make_slow_broker()) as publisher, self._node() as subscriber:
            stage = Stage(
                publisher, subscriber, subscriber.new_socket(), [fresh("fate") for _ in range(_TOPICS)]
            )
            await self._subscribed(subscriber, stage.socket, stage.topics)
            fates = Fates(stage.topics, subscriber.broker.capabilities)
            over = anyio.Event()
            publishing = (
                self._publish_until(over, publisher.provider, topic, fates) for topic in stage.topics
            )
            raise_first(await together(self._break(fault, stage, over), *publishing))
            socket = stage.socket
            await self._conclude(publisher.provider, socket, fates)
            await comes_true(lambda: not fates.untold(socket), self.patience_s)
            subscriber.provider.detach(socket.id)
            fates.judge(socket)
        await expect_nothing_new(before, "after a provider's outage")

    async def _break(
        self, fault: Callable[[Stage], Awaitable[None]], stage: Stage, over: anyio.Event
    ) -> None:
        try:
            await until(lambda: len(stage.socket.frames) > 5 * _TOPICS, self.patience_s, _NOTHING)
            await fault(stage)
            for node in (stage.publisher, stage.subscriber):
                await self._up(node)
            await self._subscribed(stage.subscriber, stage.socket, stage.topics)
        finally:
            over.set()

    async def _publish_until(self, over: anyio.Event, provider: Provider, topic: str, fates: Fates) -> None:
        while not over.is_set():
            await self._publish_next(provider, topic, fates)
            await anyio.sleep(0.001)

    async def _conclude(self, provider: Provider, socket: FakeSocket, fates: Fates) -> None:
        """Publish on each topic until it is heard: all before it has arrived then, or never will."""
        deadline = anyio.current_time() + self.patience_s
        while dead := fates.dead(socket):
            check(anyio.current_time() < deadline, fates.not_ended(socket))
            for topic in dead:
                await self._publish_next(provider, topic, fates)
                fates.ends_here(topic)
            await comes_true(lambda: not fates.dead(socket), self.patience_s / 5)

    async def _publish_next(self, provider: Provider, topic: str, fates: Fates) -> None:
        number = fates.begin(topic)
        try:
            await provider.publish(topic, f"{topic} {number}")
            fates.took(topic, number)
        except NotAccepted:
            fates.refused(topic, number)
        except PublishError:
            pass  # in doubt

    async def _is_taken(self, provider: Provider, topic: str) -> bool:
        try:
            await provider.publish(topic, "x")
        except PublishError:
            return False
        return True

    async def _subscribed(self, node: OneNode, socket: FakeSocket, topics: list[str]) -> None:
        async def subscribe() -> bool:
            try:
                await node.provider.subscribe(socket.id, *topics)
            except SubscribeError:
                return False
            return True

        await self._repeat(subscribe, f"topics do not come alive: {_NOT_BACK}")

    async def _repeat(self, act: Callable[[], Awaitable[bool]], message: str) -> None:
        deadline = anyio.current_time() + self.patience_s
        while not await act():
            check(anyio.current_time() < deadline, message)

    @asynccontextmanager
    async def _node(self, broker: Broker | None = None) -> AsyncIterator[OneNode]:
        node = OneNode(broker or self.make_broker())
        before = frozenset(running())
        await node.provider.start()
        try:
            await until(lambda: node.is_up, self.patience_s, "a provider over this broker does not come up")
            yield node
        finally:
            with anyio.CancelScope(shield=True), forced(before, STOP_S):
                await node.provider.stop()


class OneNode:
    """A provider with short times, and its broker."""

    def __init__(self, broker: Broker) -> None:
        self.broker: Broker = broker
        self.provider: Provider = Provider(broker, settings=SETTINGS)

    @property
    def is_up(self) -> bool:
        """Whether its session is ready, and has heard itself."""
        return self.provider.node is not None and self.provider.node.is_up

    @property
    def sessions(self) -> int:
        """How many there have been."""
        return self.provider.counters.sessions

    def new_socket(self) -> FakeSocket:
        """A socket that is attached to it."""
        socket = FakeSocket(self.provider.new_socket_id())
        self.provider.attach(socket)
        return socket


@dataclass(frozen=True)
class Stage:
    """Who takes part in an outage."""

    publisher: OneNode
    subscriber: OneNode
    socket: FakeSocket
    topics: list[str]
