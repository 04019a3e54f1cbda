"""A provider over NATS while its server is killed, stopped or cut off."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread
import pytest

from servers.nats import NatsServer
from servers.proxy import TcpProxy
from wigwag.provider import Provider, ProviderSettings
from wigwag.testing import FakeSocket
from wigwag_nats import NatsBroker, NatsSettings, ServerUrl

pytestmark = [pytest.mark.anyio, pytest.mark.needs("nats-server")]

QUICK = ProviderSettings(
    probe_interval_s=0.1,
    probe_timeout_s=0.5,
    backoff_base_s=0.02,
    backoff_cap_s=0.2,
    session_timeout_s=3.0,
    stop_timeout_s=0.1,
)


def provider_on(*ports: int) -> Provider:
    servers = tuple(ServerUrl("127.0.0.1", port) for port in ports)
    return Provider(NatsBroker(NatsSettings(servers=servers, connect_timeout=1)), settings=QUICK)


def attached(provider: Provider) -> FakeSocket:
    socket = FakeSocket(provider.new_socket_id())
    provider.attach(socket)
    return socket


def is_up(provider: Provider) -> bool:
    return provider.node is not None and provider.node.is_up


async def until(holds: Callable[[], object], limit_s: float = 15) -> None:
    with anyio.fail_after(limit_s):
        while not holds():  # noqa: ASYNC110 - of what is not ours to signal
            await anyio.sleep(0.005)


async def test_after_a_restart_every_topic_is_back_and_the_socket_was_told() -> None:
    topics = [f"room:{number}" for number in range(2000)]
    with NatsServer() as server:
        async with provider_on(server.port) as a, provider_on(server.port) as b:
            socket = attached(b)
            await b.subscribe(socket.id, *topics)
            for provider in (a, b):
                await until(lambda provider=provider: provider.counters.sessions == 1)  # type: ignore[misc]
            await anyio.to_thread.run_sync(server.restart)
            await until(lambda: b.counters.sessions == 2 and any(socket.resyncs))
            assert sorted(topic for told in socket.resyncs for topic in told) == sorted(topics)
            await until(lambda: a.counters.sessions == 2)
            async with anyio.create_task_group() as tasks:
                for topic in topics:
                    tasks.start_soon(a.publish, topic, topic)
            await until(lambda: len(socket.messages) == len(topics))
            assert sorted(map(str, socket.messages)) == sorted(topics)


async def test_a_server_that_was_down_at_first_is_found() -> None:
    with NatsServer() as server:
        server.kill()
        async with provider_on(server.port) as provider:
            socket = attached(provider)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(provider.subscribe, socket.id, "t")
                await anyio.to_thread.run_sync(server.start)
            await provider.publish("t", "hello")
            await until(lambda: socket.messages == ["hello"])


async def test_a_stopped_server_is_left_for_another() -> None:
    """Its connections stay open, and it takes new ones; the probe finds out, and the next server is tried."""
    with NatsServer() as first, NatsServer() as second:
        async with TcpProxy(first.port) as front, provider_on(front.port, second.port) as provider:
            socket = attached(provider)
            await provider.subscribe(socket.id, "t")
            (first if front.links else second).pause()
            await until(lambda: provider.counters.sessions == 2 and any(socket.resyncs))
            await provider.publish("t", "hello")
            await until(lambda: socket.messages == ["hello"])


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_a_link_that_carries_bytes_one_way_only_is_found(direction: str) -> None:
    with NatsServer() as server:
        async with TcpProxy(server.port) as proxy, provider_on(proxy.port) as provider:
            socket = attached(provider)
            await provider.subscribe(socket.id, "t")
            await until(lambda: is_up(provider))
            proxy.drop("up" if direction == "up" else "down")
            sessions = provider.counters.sessions
            await until(lambda: not is_up(provider))
            proxy.cut()
            proxy.resume()
            await until(lambda: provider.counters.sessions > sessions and socket.resyncs)
            await provider.publish("t", "hello")
            await until(lambda: socket.messages == ["hello"])


async def test_a_node_that_reads_too_slowly_is_cut_off_by_the_server_and_its_sockets_are_told() -> None:
    with NatsServer("max_payload: 65536\nmax_pending: 131072\nwrite_deadline: 100ms") as server:
        async with (
            TcpProxy(server.port) as proxy,
            provider_on(server.port) as a,
            provider_on(proxy.port) as b,
        ):
            socket = attached(b)
            await b.subscribe(socket.id, "t")
            told, before = len(socket.resyncs), b.counters.sessions
            proxy.stall()  # what comes fills the buffers on the way, then the server's own
            while "Slow Consumer" not in server.log.read_text():
                await a.publish("t", "x" * 60_000)
            proxy.resume()
            await until(lambda: b.counters.sessions > before and len(socket.resyncs) > told)
            assert "t" in {topic for topics in socket.resyncs[told:] for topic in topics}
