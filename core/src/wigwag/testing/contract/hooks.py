"""What a plugin's author gives to the conformance suite."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeVar

import pytest

from wigwag.broker import Broker

F = TypeVar("F", bound=Callable[..., Any])

#: The hooks that an author may leave out, and what to do to have their tests run.
OPTIONAL: Final = {
    "make_stranger": "def make_stranger(self) -> Broker: a broker of the same server and another prefix",
    "cut_link": "async def cut_link(self, broker): break the broker's link from outside, as a network does "
    "(a TCP proxy that aborts it, or the server's own command for it)",
    "pause_server": "async def pause_server(self): stop the server with SIGSTOP; resume_server(): with SIGCONT",
    "restart_server": "async def restart_server(self): kill the server, start it again, return when it serves",
    # No hooks: what every broker is taken to have unless `without` says otherwise.
    "filters": "",
    "nodes": "",
}


def needs(*hooks: str) -> Callable[[F], F]:
    """Mark a test as one that needs these hooks."""

    def mark(test: F) -> F:
        test.contract_needs = hooks  # type: ignore[attr-defined]
        return test

    return mark


class Hooks:
    """The author's side.  :meth:`make_broker` must be given; a hook that isn't skips its tests.

    Servers and proxies come from fixtures of the author's: an ``autouse`` one, which may be async, puts them
    on ``self``.  Every hook may be called many times in a test.
    """

    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.anyio

    #: Hooks whose tests have no meaning for this broker: they are not collected, instead of skipped.
    #: Two are no hooks: ``"filters"`` is named for a broker that reads everything and delivers what nobody asked
    #: for; ``"nodes"`` for one within a single process.
    without: ClassVar[tuple[str, ...]] = ()
    #: How long anything may take, in seconds; it only decides how long a failure takes.
    patience_s: ClassVar[float] = 10.0
    #: How often a subscribe is raced by a publish.
    race_count: ClassVar[int] = 1000
    #: Messages a topic in the tests of order.
    order_count: ClassVar[int] = 300
    #: Topics in the largest test, in batches of 500.
    topic_count: ClassVar[int] = 5000
    #: Sessions one after another on one broker, to see what they leave behind.
    session_count: ClassVar[int] = 20
    #: At how many of its awaits a method is cancelled: evenly spread over all of them.
    cancel_count: ClassVar[int] = 8
    #: The largest payload that is tried, if the broker takes so much.
    largest_payload_bytes: ClassVar[int] = 1024 * 1024

    @pytest.fixture
    def anyio_backend(self) -> Any:
        """The event loop: most brokers' clients are asyncio only."""
        return "asyncio"

    # Hooks

    def make_broker(self) -> Broker:
        """Make a new broker each time, not connected: two of them are two nodes on one server and prefix."""
        raise NotImplementedError("a subclass of BrokerContract gives make_broker(self) -> Broker")

    def make_slow_broker(self) -> Broker:
        """The same over a link with latency, say 5 ms each way through a TCP proxy.

        On a loopback without it, a ``subscribe()`` that returns too early passes 50 times out of 50.
        """
        return self.make_broker()

    def make_stranger(self) -> Broker:
        """Make a broker on the same server with another prefix: it must never be heard."""
        raise NotImplementedError

    async def cut_link(self, broker: Broker) -> None:
        """Break the link of this broker (those of others may break too); new ones are accepted at once."""
        raise NotImplementedError

    async def pause_server(self) -> None:
        """Stop the server with SIGSTOP: links stay, nothing answers."""
        raise NotImplementedError

    async def resume_server(self) -> None:
        """Let it go on (SIGCONT)."""
        raise NotImplementedError

    async def restart_server(self) -> None:
        """Kill the server and start it again on the same port with the same data; return when it serves.

        Where that blocks, do it in a thread (``anyio.to_thread.run_sync``): the nodes live meanwhile.
        """
        raise NotImplementedError


def adapt(cls: type[Hooks], contract: type[Hooks]) -> None:
    """Take the tests without meaning out of a subclass, and have it skip those whose hook isn't given."""
    unknown = [hook for hook in cls.without if hook not in OPTIONAL]
    if unknown:
        raise TypeError(f"{cls.__name__}.without names {unknown}; known are {list(OPTIONAL)}")
    missing = {
        hook
        for hook, how in OPTIONAL.items()
        if how and inspect.getattr_static(cls, hook) is inspect.getattr_static(contract, hook)
    }
    for name in dir(contract):
        test = inspect.getattr_static(contract, name)
        needed: tuple[str, ...] = getattr(test, "contract_needs", ())
        here = inspect.getattr_static(cls, name)
        if not needed or not (here is test or here is None or hasattr(here, "contract_skips")):
            continue
        if set(needed) & set(cls.without):
            setattr(cls, name, None)
        else:
            lacking = [hook for hook in needed if hook in missing]
            setattr(cls, name, _skipping(test, lacking) if lacking else test)


def _skipping(test: Any, hooks: list[str]) -> Any:
    reason = "to have this test run, give your subclass of BrokerContract " + "; and ".join(
        OPTIONAL[hook] for hook in hooks
    )

    def skips(self: Hooks) -> None:
        pytest.skip(reason)

    skips.__name__, skips.__doc__ = test.__name__, test.__doc__
    skips.contract_skips = True  # type: ignore[attr-defined]
    return skips
