"""A server that stops: its clients are told, close handlers run, nothing is left, within its limits."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import anyio
import pytest

from e2e.servers import SERVERS, serving
from e2e.wire import connecting, raw_client
from e2e.world import World
from wigwag import Limits, NotRunning

#: Several times what all limits together come to: no more than that it ends.
ENDS_WITHIN_S = 15.0


@pytest.mark.parametrize("name", SERVERS)
def test_clients_are_told_1012_and_close_handlers_run(name: str) -> None:
    world = World(limits=Limits(close_timeout_s=1))
    users = {f"user-{number}" for number in range(5)}
    with serving(name, world.app) as server, ExitStack() as stack:
        clients = [stack.enter_context(connecting(f"{server.ws}/ws?user={user}")) for user in users]
        for client in clients:
            client.ask("join", "room")
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        codes = [client.closed()[0] for client in clients]
        stopping.join(ENDS_WITHIN_S)
        assert not stopping.is_alive()
        assert codes == [1012] * 5
    assert {(user, topics) for user, _, topics in world.closed} == {
        (user, frozenset({"room"})) for user in users
    }
    assert world.provider.connection_count() == 0
    assert not world.provider.is_running


@pytest.mark.parametrize("name", SERVERS)
def test_a_handler_that_hangs_does_not_hold_the_server(name: str) -> None:
    world = World(limits=Limits(close_timeout_s=0.3))
    with serving(name, world.app) as server, connecting(f"{server.ws}/ws?user=busy") as client:
        client.say("slow", correlationId=1)
        assert world.busy.wait(10)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < ENDS_WITHIN_S
    assert [user for user, _, _ in world.closed] == ["busy"]
    assert not world.sockets._app.sessions


@pytest.mark.parametrize("name", SERVERS)
def test_a_close_handler_that_hangs_does_not_hold_the_server(name: str) -> None:
    world = World(limits=Limits(close_timeout_s=0.3))
    world.hangs_on_close = True
    with serving(name, world.app) as server, connecting(f"{server.ws}/ws?user=hanging") as client:
        client.ask("echo", 1)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < ENDS_WITHIN_S
    assert [user for user, _, _ in world.closed] == ["hanging"]
    assert world.provider.connection_count() == 0


@pytest.mark.parametrize("name", SERVERS)
def test_an_upgrade_that_hangs_does_not_hold_the_server(name: str) -> None:
    world = World(limits=Limits(upgrade_timeout_s=60))
    option = {"timeout_graceful_shutdown": 1} if name.startswith("uvicorn") else {}
    with serving(name, world.app, **option) as server, raw_client(server.address) as raw:
        raw.ask_to_upgrade("/ws?user=late")
        assert world.upgrading.wait(10)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < ENDS_WITHIN_S
    assert not world.opened


def test_a_server_that_has_stopped_can_be_started_again_empty() -> None:
    world = World()
    for turn in range(2):
        with serving("uvicorn-sansio", world.app) as server, connecting(f"{server.ws}/ws") as client:
            client.ask("join", f"turn:{turn}")
            assert world.provider.connection_count() == 1
            assert world.provider.topic_subscriber_count(f"turn:{1 - turn}") == 0
    with pytest.raises(NotRunning, match="turn:1"):
        anyio.run(world.publish, "turn:1", "hello")
