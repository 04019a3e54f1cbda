"""One session of a broker, opened and closed as core does it."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wigwag.broker import Broker, BrokerLost
from wigwag.testing.contract.checks import until
from wigwag.testing.contract.inbox import RecordingInbox
from wigwag.testing.contract.watch import watched

#: What core gives a broker to close.
CLOSE_S = 2.0


class ContractSession:
    """Core's side of a session: at most one subscribe or unsubscribe, and per lane one publish, at a time.

    What a call is doing when ``run()`` ends is cancelled, and the call raises what ended the session.
    """

    def __init__(self, broker: Broker, patience_s: float) -> None:
        self.broker: Broker = broker
        self.inbox: RecordingInbox = RecordingInbox()
        self.patience_s = patience_s
        #: What ended ``run()``, None while it runs and when it was cancelled.
        self.cause: BaseException | None = None
        self._over = anyio.Event()
        self._scopes: set[anyio.CancelScope] = set()
        self._reconciling = anyio.Lock()
        self._publishing: dict[Hashable, anyio.Lock] = {}

    @property
    def is_over(self) -> bool:
        """Whether ``run()`` has ended."""
        return self._over.is_set()

    @property
    def max_payload_bytes(self) -> int | None:
        """What ``ready()`` said."""
        return self.inbox.readies[0][0]

    async def subscribe(self, *topics: str) -> None:
        """Call the broker's, within the limit."""
        async with self._reconciling:
            await self._call("subscribe()", lambda: self.broker.subscribe(list(topics)))

    async def unsubscribe(self, *topics: str) -> None:
        """Call the broker's, within the limit."""
        async with self._reconciling:
            await self._call("unsubscribe()", lambda: self.broker.unsubscribe(list(topics)))

    async def publish(self, *messages: tuple[str, bytes]) -> None:
        """Call the broker's, once for each lane, within the limit."""
        lanes: dict[Hashable, list[tuple[str, bytes]]] = {}
        for topic, payload in messages:
            lanes.setdefault(self.broker.lane(topic), []).append((topic, payload))
        for lane, batch in lanes.items():
            async with self._publishing.setdefault(lane, anyio.Lock()):
                await self._call("publish()", lambda batch=batch: self.broker.publish(batch))  # type: ignore[misc]

    async def check(self) -> None:
        """Call the broker's, within the limit."""
        await self._call("check()", self.broker.check)

    async def hear(self, topic: str, payload: bytes) -> None:
        """Wait for a message."""
        __tracebackhide__ = True
        await until(
            lambda: payload in self.inbox.of(topic),
            self.patience_s,
            lambda: (
                f"{_short(payload)}, published on {topic!r} after subscribe() had returned, did not arrive within "
                f"{self.patience_s:g} s; what did arrive on it: {_list(self.inbox.of(topic))}"
            ),
        )

    def has_heard(self, payload: bytes, topics: Iterable[str]) -> bool:
        """Whether it has arrived on all of them."""
        return all(payload in self.inbox.of(topic) for topic in topics)

    async def end(self) -> BaseException | None:
        """Wait for the end of ``run()``; what ended it."""
        __tracebackhide__ = True
        await until(
            self._over.is_set,
            self.patience_s,
            f"run() did not end within {self.patience_s:g} s of the link's loss: raise BrokerLost from it as soon as "
            "the connection is closed, reset, or the client library says so (its own reconnect must be off)",
        )
        return self.cause

    async def _call(self, name: str, call: Callable[[], Coroutine[Any, Any, None]] | Any) -> None:
        __tracebackhide__ = True
        if self.is_over:
            raise self.cause or BrokerLost("the session was closed")
        with anyio.CancelScope(deadline=anyio.current_time() + self.patience_s) as scope:
            self._scopes.add(scope)
            try:
                await watched(call(), name, scope)
                return
            finally:
                self._scopes.discard(scope)
        if self.is_over:
            raise self.cause or BrokerLost("the session was closed")
        pytest.fail(f"{name} did not return within {self.patience_s:g} s, though the link is up")

    async def receive(self, scope: anyio.CancelScope) -> None:
        """The task of ``run()``."""
        with scope:
            try:
                await watched(self.broker.run(self.inbox), "run()", scope)
                self.cause = RuntimeError("run() returned: let it raise BrokerLost('one line that says why')")
            except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001 - looked at by whom it concerns
                self.cause = exc
        self.finish()

    def finish(self) -> None:
        """No call may begin from here on, and those in progress are cancelled."""
        self.inbox.is_over = True
        self._over.set()
        for scope in list(self._scopes):
            scope.cancel()


@asynccontextmanager
async def open_session(broker: Broker, *, patience_s: float = 10.0) -> AsyncIterator[ContractSession]:
    """Run a broker's session: ``run()`` in a task, in the body when it is ready, in the end cancelled and closed.

    Closing has 2 s, shielded from cancellation, as in core.
    """
    session = ContractSession(broker, patience_s)
    error: BaseException | None = None
    receiving = anyio.CancelScope()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.receive, receiving)
            try:
                await _readiness(session)
                yield session
            except (Exception, pytest.fail.Exception) as exc:  # noqa: BLE001
                error = exc  # raised outside of the group, which would wrap it
            receiving.cancel()
    finally:
        session.finish()
        await close(broker)
        session.inbox.is_closed = True
    if error is not None:
        raise error from (None if error is session.cause else session.cause)
    if isinstance(session.cause, pytest.fail.Exception):
        raise session.cause


async def _readiness(session: ContractSession) -> None:
    __tracebackhide__ = True
    await until(
        lambda: session.inbox.readies or session.is_over,
        session.patience_s,
        f"run() did not call inbox.ready() within {session.patience_s:g} s: call it as soon as the link is up",
    )
    if session.cause is not None:
        how = "".join(traceback.format_exception(session.cause))
        pytest.fail(f"run() ended before it was ready, or at once after:\n{how}")


async def close(broker: Broker) -> None:
    """Close a broker's session as core does; fail if it takes longer than it may."""
    __tracebackhide__ = True
    with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLOSE_S) as scope:
        await watched(broker.close(), "close()", scope)
        return
    pytest.fail(
        f"close() did not return within {CLOSE_S:g} s: abort the connection (transport.abort()) and never wait for "
        "the peer, which may be stopped or gone"
    )


def _short(payload: bytes) -> str:
    return repr(payload) if len(payload) <= 40 else f"a message of {len(payload)} bytes"


def _list(payloads: list[bytes]) -> str:
    return ", ".join(map(_short, payloads[-5:])) or "nothing"
