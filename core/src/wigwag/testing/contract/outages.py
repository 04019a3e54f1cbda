"""Outages under a real provider: nothing is lost in silence, delivered twice, or out of order."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel

from wigwag.broker import Broker
from wigwag.errors import NotAccepted, PublishError, SubscribeError
from wigwag.provider.provider import Provider
from wigwag.provider.settings import ProviderSettings
from wigwag.testing.contract.fates import Fates
from wigwag.testing.contract.hooks import needs
from wigwag.testing.contract.remains import expect_nothing_new, running
from wigwag.testing.contract.session import check, comes_true, raise_first, together, until
from wigwag.testing.contract.theme import Theme, fresh
from wigwag.testing.socket import FakeSocket

_PROBE_S = 0.5
#: Core's own times, shortened: what takes seconds in production takes tenths here.
SETTINGS = ProviderSettings(
    linger_s=0.05,
    subscribe_timeout_s=2.0,
    publish_timeout_s=1.0,
    probe_interval_s=0.1,
    probe_timeout_s=_PROBE_S,
    session_timeout_s=2.0,
    backoff_base_s=0.05,
    backoff_cap_s=0.3,
    stop_timeout_s=1.0,
)
_TOPICS = 6


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
        await self._endure(lambda *_: self.restart_server())

    @needs("cut_link")
    async def test_publishes_in_flight_survive_a_cut_link_or_fail_truthfully(self) -> None:
        """Twice the subscriber's link, twice the publisher's."""
        await self._endure(self._cut_each_twice)

    @needs("cut_link")
    async def test_a_link_cut_during_subscribes_leaves_exactly_the_wanted_topics_live(self) -> None:
        dice = random.Random(4)
        async with self._provider() as (publisher, _), self._provider() as (node, broker):
            for round in range(5):
                prefix = fresh(f"cut.{round}")
                topics = [f"{prefix}:{number}" for number in range(200)]
                socket = FakeSocket(node.new_socket_id())
                node.attach(socket)
                errors = await together(
                    *(node.subscribe(socket.id, *topics[n : n + 10]) for n in range(0, 200, 10)),
                    self._later(dice.randrange(12), lambda: self.cut_link(broker)),
                )
                raise_first(error for error in errors if not isinstance(error, SubscribeError))
                await self._subscribed(node, socket, topics)
                await self._publish_surely(publisher, topics)
                await until(
                    lambda socket=socket, topics=topics: len(set(socket.messages)) == len(topics),  # type: ignore[misc]
                    self.patience_s,
                    lambda socket=socket: (  # type: ignore[misc]
                        f"a link was cut while 200 topics were being subscribed; then all were live, and "
                        f"{200 - len(set(socket.messages))} of them are dead: a subscribe() of the new session was "
                        "confirmed by a reply of the old one, or confirmed nothing"
                    ),
                )
                check(
                    len(socket.messages) == len(topics),
                    "after a link was cut during subscribe() messages arrive more than once: the old session's "
                    "connection still reads",
                )
                node.detach(socket.id)

    # The ways to break it

    async def _stop_for_a_while(
        self, publisher: tuple[Provider, Broker], node: tuple[Provider, Broker]
    ) -> None:
        began = anyio.current_time()
        await self.pause_server()
        try:
            for provider, _ in (publisher, node):
                await until(
                    lambda provider=provider: not _is_up(provider),  # type: ignore[misc]
                    self.patience_s,
                    lambda: (
                        f"the server was stopped (SIGSTOP) {anyio.current_time() - began:.1f} s ago, the probe's deadline "
                        f"is {_PROBE_S} s, and the session is still held to be up: run() or a call does not let its "
                        "cancellation out, or close() waits for the server"
                    ),
                )
        finally:
            await self.resume_server()

    async def _cut_each_twice(
        self, publisher: tuple[Provider, Broker], node: tuple[Provider, Broker]
    ) -> None:
        for provider, broker in (node, publisher) * 2:
            await self.cut_link(broker)
            await until(lambda provider=provider: _is_up(provider), self.patience_s, _NOT_BACK)  # type: ignore[misc]

    async def _later(self, turns: int, act: Callable[[], Awaitable[None]]) -> None:
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        await act()

    # Publishing all the while, and looking at what became of each message

    async def _endure(
        self, fault: Callable[[tuple[Provider, Broker], tuple[Provider, Broker]], Awaitable[None]]
    ) -> None:
        topics = [fresh("fate") for _ in range(_TOPICS)]
        before = running()
        async with self._provider() as publisher, self._provider() as node:
            socket = FakeSocket(node[0].new_socket_id())
            node[0].attach(socket)
            await self._subscribed(node[0], socket, topics)
            fates = Fates(topics, node[1].capabilities)
            over = anyio.Event()

            async def break_it() -> None:
                try:
                    await until(
                        lambda: len(socket.messages) > 5 * _TOPICS, self.patience_s, "nothing arrives"
                    )
                    await fault(publisher, node)
                    for provider, _ in (publisher, node):
                        await until(lambda provider=provider: _is_up(provider), self.patience_s, _NOT_BACK)  # type: ignore[misc]
                    await self._subscribed(node[0], socket, topics)
                finally:
                    over.set()

            errors = await together(
                break_it(), *(self._publish_until(over, publisher[0], topic, fates) for topic in topics)
            )
            raise_first(errors)
            await self._publish_last(publisher[0], fates)
            await until(lambda: fates.have_ended(socket), self.patience_s, lambda: fates.not_ended(socket))
            await comes_true(lambda: not fates.untold(socket), self.patience_s if fates.untold(socket) else 0)
            fates.judge(socket)
        await expect_nothing_new(before, "after a provider's outage")

    async def _publish_until(self, over: anyio.Event, provider: Provider, topic: str, fates: Fates) -> None:
        while not over.is_set():
            number = fates.begin(topic)
            try:
                await provider.publish(topic, f"{topic} {number}")
                fates.took(topic, number)
            except NotAccepted:
                fates.refused(topic, number)
            except PublishError:
                pass  # in doubt
            await anyio.sleep(0.001)

    async def _publish_last(self, provider: Provider, fates: Fates) -> None:
        """What shows that all before it has arrived or never will."""
        for topic in fates.topics:
            last = fates.begin(topic)
            await self._publish_surely(provider, [topic], f" {last}")
            fates.took(topic, last)
            fates.last[topic] = last

    async def _publish_surely(self, provider: Provider, topics: list[str], suffix: str = "") -> None:
        for topic in topics:

            async def publish(topic: str = topic) -> bool:
                try:
                    await provider.publish(topic, f"{topic}{suffix}")
                except NotAccepted:
                    return False
                return True

            await self._repeat(publish, "the link is up again, and a publish is not accepted")

    async def _subscribed(self, provider: Provider, socket: FakeSocket, topics: list[str]) -> None:
        async def subscribe() -> bool:
            try:
                await provider.subscribe(socket.id, *topics)
            except SubscribeError:
                return False
            return True

        await self._repeat(subscribe, f"topics do not come alive: {_NOT_BACK}")

    async def _repeat(self, act: Callable[[], Awaitable[bool]], message: str) -> None:
        deadline = anyio.current_time() + self.patience_s
        while not await act():
            check(anyio.current_time() < deadline, message)

    @asynccontextmanager
    async def _provider(self) -> AsyncIterator[tuple[Provider, Broker]]:
        broker = self.make_broker()
        async with Provider(broker, settings=SETTINGS) as provider:
            await until(
                lambda: _is_up(provider), self.patience_s, "a provider over this broker does not come up"
            )
            yield provider, broker


_NOT_BACK = (
    "the server serves again, and the session is not back: run() must connect anew each time it is called, and close() "
    "must leave nothing that stands in the way"
)


def _is_up(provider: Provider) -> bool:
    return provider.node is not None and provider.node.is_up
