"""A process's drain, over a clock that jumps and sockets that a test plays."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest

from clocks import backend
from wigwag.errors import SettingsError
from wigwag.provider import ProviderSettings
from wigwag.service.draining import Drain, stop_limit_s
from wigwag.service.internal import create_internal_app
from wigwag.settings import ServiceSettings
from wigwag.uvicorn import WebSocketProtocol
from wigwag.uvicorn.http import Gate


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return backend("asyncio")


class Socket(WebSocketProtocol):
    """One that notes when it is closed, and is gone so much later."""

    __slots__ = ("closed_at", "lasts_s", "opens_at")

    def __init__(self, lasts_s: float = 0.0, opens_at: float = 0.0) -> None:
        self.lasts_s = lasts_s
        self.opens_at = opens_at
        self.closed_at: float | None = None

    @property
    def is_open(self) -> bool:
        return self.closed_at is None and anyio.current_time() >= self.opens_at

    def shutdown(self) -> None:
        self.closed_at = anyio.current_time()


class Server:
    """Sockets of a server, and what counts them."""

    def __init__(self, count: int = 0, **settings: Any) -> None:
        self.sockets: list[Socket] = [Socket() for _ in range(count)]
        self.gate = Gate()
        self.gate._connections = self  # type: ignore[assignment]
        self.drain = Drain(ServiceSettings(**settings), self.gate)

    def __iter__(self) -> Any:
        return iter([object(), *self._left()])  # and a connection that is no WebSocket

    def __len__(self) -> int:
        return len(self._left())

    def _left(self) -> list[Socket]:
        now = anyio.current_time()
        return [
            each for each in self.sockets if each.closed_at is None or now < each.closed_at + each.lasts_s
        ]

    @property
    def closed(self) -> list[float]:
        return sorted(each.closed_at for each in self.sockets if each.closed_at is not None)

    async def run(self) -> float:
        """Drain; how long that took."""
        began = anyio.current_time()
        await self.drain.run(self)  # type: ignore[arg-type]
        return anyio.current_time() - began


@pytest.mark.anyio
async def test_nothing_happens_until_it_is_begun_and_the_delay_is_over() -> None:
    server = Server(10, drain_delay_s=5, drain_per_s=10)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        await anyio.sleep(100)
        before = server.drain.is_draining
        server.drain.begin()
        assert (before, server.drain.is_draining) == (False, True)
        await anyio.sleep(4.9)
        assert not server.closed
        assert server.gate.why_not() is None
        await anyio.sleep(0.3)
        assert server.gate.why_not() == "draining"
    assert len(server.closed) == 10
    assert server.closed[0] >= 105
    assert 105.9 <= server.closed[-1] <= 106.1


@pytest.mark.anyio
async def test_what_is_told_counts_before_the_settings_and_only_once() -> None:
    server = Server(10, drain_delay_s=500, drain_per_s=1)
    server.drain.begin(delay_s=1, per_s=10)
    server.drain.begin(delay_s=50, per_s=1000)
    assert await server.run() == pytest.approx(2, abs=0.2)


@pytest.mark.anyio
async def test_a_delay_can_be_left_out_while_it_lasts() -> None:
    server = Server(1, drain_delay_s=500)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run)
        server.drain.begin()
        await anyio.sleep(1)
        server.drain.begin(delay_s=0)
    assert anyio.current_time() < 2


@pytest.mark.anyio
async def test_more_are_closed_in_a_second_where_time_would_not_do() -> None:
    server = Server(5000, drain_per_s=10, drain_timeout_s=20)
    server.drain.begin()
    assert await server.run() <= 20
    assert len(server.closed) == 5000
    assert server.closed[-1] <= 18.1  # so that the last can answer


@pytest.mark.anyio
async def test_who_does_not_go_is_waited_for_no_longer_than_the_limit() -> None:
    server = Server(3, drain_timeout_s=7)
    server.sockets[0].lasts_s = 1000
    server.drain.begin()
    assert await server.run() == pytest.approx(7, abs=0.1)
    assert len(server.closed) == 3


@pytest.mark.anyio
async def test_who_was_let_in_at_the_last_moment_is_closed_too() -> None:
    server = Server(10, drain_per_s=10)
    async with anyio.create_task_group() as tasks:
        server.drain.begin()
        tasks.start_soon(server.run)
        await anyio.sleep(0.5)
        server.sockets.append(Socket())
    assert len(server.closed) == 11


@pytest.mark.anyio
async def test_where_new_ones_go_elsewhere_those_that_have_come_are_let_in_and_closed_with_the_rest() -> None:
    server = Server(10, drain_per_s=10)
    async with anyio.create_task_group() as tasks:
        server.drain.begin(refuses=False)
        tasks.start_soon(server.run)
        await anyio.sleep(0.5)
        assert server.gate.why_not() is None
        server.sockets.append(Socket())
    assert len(server.closed) == 11


@pytest.mark.anyio
async def test_a_handshake_under_way_is_not_cut_short_but_closed_when_it_is_over() -> None:
    server = Server(1, drain_per_s=10)
    server.sockets.append(Socket(opens_at=anyio.current_time() + 3))
    server.drain.begin()
    assert await server.run() == pytest.approx(3, abs=0.3)
    assert server.closed[1] >= server.sockets[1].opens_at


@pytest.mark.anyio
async def test_whoever_is_let_in_after_it_is_closed_in_what_is_left_of_the_time() -> None:
    server = Server(1, drain_timeout_s=5)
    server.drain.begin()
    await server.run()
    server.sockets.append(Socket(lasts_s=100))
    began = anyio.current_time()
    await server.drain.close(server)  # type: ignore[arg-type]
    assert len(server.closed) == 2
    assert anyio.current_time() - began == pytest.approx(5, abs=0.3)


# What operators see


@pytest.mark.anyio
async def test_over_http_it_is_begun_once() -> None:
    server = Server()
    app = create_internal_app([], drain=server.drain)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert "\nwigwag_draining 0.0\n" in (await client.get("/metrics")).text
        for _ in range(2):
            answer = await client.post("/api/drain")
            assert (answer.status_code, answer.json()) == (202, {"draining": True})
        assert server.drain.is_draining
        assert "\nwigwag_draining 1.0\n" in (await client.get("/metrics")).text
        assert (await client.get("/api/drain")).status_code == 405


@pytest.mark.anyio
async def test_who_keeps_a_connection_is_told_that_it_ends() -> None:
    server = Server()
    app = create_internal_app([], drain=server.drain)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert "connection" not in (await client.get("/livez")).headers
        server.drain.begin()
        for path in ("/livez", "/api/topics/a", "/nowhere"):
            assert (await client.get(path)).headers["connection"] == "close"


@pytest.mark.anyio
async def test_without_a_server_there_is_nothing_to_drain() -> None:
    app = create_internal_app([])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        assert (await client.post("/api/drain")).status_code == 404
        assert "wigwag_draining" not in (await client.get("/metrics")).text


def test_how_long_a_worker_has_follows_from_what_a_drain_may_take() -> None:
    settings = ServiceSettings(drain_delay_s=5, drain_timeout_s=20)
    provider = ProviderSettings(stop_timeout_s=4)
    assert stop_limit_s(settings, provider) == 5 + 20 + 2 * 4 + 5


def test_too_little_is_refused_with_what_it_takes() -> None:
    settings = ServiceSettings(drain_delay_s=5, drain_timeout_s=20, worker_stop_timeout_s=29)
    assert stop_limit_s(settings, ProviderSettings(stop_timeout_s=4)) == 29
    with pytest.raises(SettingsError, match=r"=29 is too short.* 30 s in all") as caught:
        stop_limit_s(settings, ProviderSettings(stop_timeout_s=5))
    assert caught.value.variable == "WIGWAG_WORKER_STOP_TIMEOUT_S"
