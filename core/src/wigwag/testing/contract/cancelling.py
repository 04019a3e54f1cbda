"""Every method can be cancelled at every await, and the next session works."""

# ruff: noqa: D102 - a test's name is what it says

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from wigwag.broker import Broker
from wigwag.testing.contract.checks import check
from wigwag.testing.contract.inbox import RecordingInbox
from wigwag.testing.contract.remains import expect_nothing_new, running
from wigwag.testing.contract.session import ContractSession, close
from wigwag.testing.contract.theme import Theme, fresh
from wigwag.testing.contract.watch import watched

#: More awaits than anybody cancels at: none is reached, and they are counted.
_NEVER = 1_000_000


class CancellingTests(Theme):
    """Race rows 8 and 15.  The awaits are counted first; then each of them, or a spread of them, is cancelled."""

    async def test_run_can_be_cancelled_at_every_await(self) -> None:
        broker = self.make_broker()
        before = running()
        awaits = await self._cancel_run(broker, _NEVER)
        for at in self._spread(awaits):
            await self._cancel_run(broker, at)
            await expect_nothing_new(
                before, f"after run() was cancelled while it connected, at its await {at},"
            )
        await self.works(broker)

    async def _cancel_run(self, broker: Broker, at: int) -> int:
        """Cancel at this await, or once it is ready; how many awaits there were until then."""
        awaits = 0
        with anyio.CancelScope(deadline=anyio.current_time() + self.patience_s) as scope:
            # It may be ready within a callback, and await nothing afterwards.
            inbox = RecordingInbox(on_ready=scope.cancel)

            def count(number: int) -> None:
                nonlocal awaits
                awaits = number
                if number >= at:
                    scope.cancel()

            try:
                await watched(broker.run(inbox), "run()", scope, count)
            finally:
                await close(broker)
        check(
            scope.cancelled_caught,
            f"run() returned when it was cancelled at its await number {awaits}: let it out",
        )
        return awaits

    async def test_subscribe_can_be_cancelled_at_every_await(self) -> None:
        topics = [fresh("cancel") for _ in range(3)]
        await self._cancel_calls("subscribe()", lambda session: session.broker.subscribe(topics))

    async def test_unsubscribe_can_be_cancelled_at_every_await(self) -> None:
        topics = [fresh("cancel") for _ in range(3)]
        await self._cancel_calls("unsubscribe()", lambda session: session.broker.unsubscribe(topics), topics)

    async def test_publish_can_be_cancelled_at_every_await(self) -> None:
        topic = fresh("cancel")
        messages = [(topic, b"1"), (topic, b"2")]
        await self._cancel_calls("publish()", lambda session: session.broker.publish(messages), [topic])

    async def test_check_can_be_cancelled_at_every_await(self) -> None:
        await self._cancel_calls("check()", lambda session: session.broker.check())

    async def _cancel_calls(
        self,
        name: str,
        call: Callable[[ContractSession], Coroutine[Any, Any, None]],
        topics: list[str] | None = None,
    ) -> None:
        broker = self.make_broker()
        before = running()
        awaits = await self._cancel_call(broker, name, call, topics, _NEVER)
        for at in self._spread(awaits):
            await self._cancel_call(broker, name, call, topics, at)
            await expect_nothing_new(before, f"after {name} was cancelled at its await number {at}")
        await self.works(broker)

    async def _cancel_call(
        self,
        broker: Broker,
        name: str,
        call: Callable[[ContractSession], Coroutine[Any, Any, None]],
        topics: list[str] | None,
        at: int,
    ) -> int:
        """In a session of its own: core cancels a call only when the session ends with it."""
        awaits = 0
        async with self.session(broker) as session:
            if topics:
                await session.subscribe(*topics)
            with anyio.CancelScope(deadline=anyio.current_time() + self.patience_s) as scope:

                def count(number: int) -> None:
                    nonlocal awaits
                    awaits = number
                    if number == at:
                        scope.cancel()

                await watched(call(session), name, scope, count)
        return awaits

    def _spread(self, awaits: int) -> list[int]:
        """At most ``cancel_count`` numbers from the first to the last."""
        if awaits <= self.cancel_count:
            return list(range(1, awaits + 1))
        step = (awaits - 1) / (self.cancel_count - 1)
        return [1 + round(number * step) for number in range(self.cancel_count)]
