"""Replicas that share out their sockets anew after one more has started: real processes, behind a balancer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from drain.crowd import Member, ahead, gather
from rolling.balancer import Balancer
from servers.redis import RedisServer
from serving import LIMIT_S, Service, serving
from wigwag.testing.contract.checks import until

pytestmark = pytest.mark.anyio

SOCKETS = 600
INTERVAL_S = 1.0
PER_S = 60.0
SETTINGS = {
    "WIGWAG_REBALANCE": "true",
    "WIGWAG_REBALANCE_INTERVAL_S": str(INTERVAL_S),
    "WIGWAG_REBALANCE_PER_S": str(PER_S),
}


class Returning:
    """Clients that come back by the balancer as soon as they were closed, and what was said to them."""

    def __init__(self, url: str) -> None:
        self._url = url
        #: When each connection that ended was closed, and with which code.
        self.closes: list[tuple[float, int | None]] = []

    @asynccontextmanager
    async def connected(self, count: int) -> AsyncGenerator[None]:
        members = await gather(self._url, "lobby", count)
        async with anyio.create_task_group() as tasks:
            for member in members:
                tasks.start_soon(self._keep, member)
            yield
            tasks.cancel_scope.cancel()

    async def _keep(self, member: Member) -> None:
        try:
            while True:
                await asyncio.shield(member.gone)
                self.closes.append((member.closed_at or 0.0, member.code))
                await anyio.sleep(random.uniform(0.05, 0.2))
                member = Member(self._url, "lobby")
                await member.connect()
        finally:
            member.leave()


def sockets_by_node(service: Service) -> dict[str, int]:
    nodes = httpx.get(f"{service.internal}/api/nodes", timeout=LIMIT_S).json()["nodes"]
    return {node["node"]: node["sockets"] for node in nodes}


async def counts(service: Service) -> list[int]:
    return sorted((await anyio.to_thread.run_sync(sockets_by_node, service)).values())


async def counts_until(service: Service, are_right: Any, limit_s: float) -> list[int]:
    found = await counts(service)
    with anyio.move_on_after(limit_s):
        while not are_right(found):
            await anyio.sleep(0.2)
            found = await counts(service)
    return found


def address(service: Service) -> tuple[str, int]:
    host, _, port = service.public.removeprefix("http://").partition(":")
    return host, int(port)


@pytest.mark.needs("redis-server")
async def test_after_one_more_has_started_the_sockets_are_shared_out_anew(redis: RedisServer) -> None:
    variables = {"WIGWAG_PROVIDER": "redis", "WIGWAG_REDIS_URL": redis.url, **SETTINGS}
    with ExitStack() as stack:
        services = [stack.enter_context(serving(cwd=None, **variables)) for _ in range(2)]
        async with Balancer() as balancer:
            balancer.use([address(service) for service in services])
            crowd = Returning(f"ws://127.0.0.1:{balancer.port}/ws")
            async with crowd.connected(SOCKETS):
                before = await counts_until(services[0], lambda found: sum(found) == SOCKETS, LIMIT_S)
                assert before == [300, 300]
                # In peace nobody is sent away.
                await anyio.sleep(6 * INTERVAL_S)
                assert not crowd.closes
                services.append(
                    await anyio.to_thread.run_sync(
                        lambda: stack.enter_context(serving(cwd=None, **variables))
                    )
                )
                balancer.use([address(service) for service in services])
                after = await counts_until(
                    services[0],
                    lambda found: len(found) == 3 and sum(found) == SOCKETS and found[-1] <= 220,
                    40,
                )
                assert len(after) == 3
                assert sum(after) == SOCKETS
                assert after[-1] <= 220, after
                assert {code for _, code in crowd.closes} == {1012}
                # Two nodes at their pace.
                moments = [at for at, _ in crowd.closes]
                # A busy machine may have seen the first up to a second late.
                assert ahead(moments, min(moments) - 1.0, 2 * PER_S) < 0.1 * PER_S
                settled = len(crowd.closes)
                assert settled <= 1.5 * SOCKETS
                await anyio.sleep(3 * INTERVAL_S)
                assert len(crowd.closes) <= settled + 0.1 * SOCKETS  # it comes to rest
        services[0].process.terminate()
        assert await anyio.to_thread.run_sync(services[0].process.wait) == 0


async def test_workers_share_with_one_that_was_replaced() -> None:
    with serving("--workers", "2", cwd=None, **SETTINGS) as service:
        crowd = Returning(service.ws)
        async with crowd.connected(100):
            before = await counts_until(service, lambda found: sum(found) == 100, LIMIT_S)
            assert len(before) == 2
            os.kill((await anyio.to_thread.run_sync(workers_of, service))[0], signal.SIGKILL)
            await until(lambda: len(crowd.closes) >= before[0], LIMIT_S, "its clients are cut off")
            after = await counts_until(
                service, lambda found: len(found) == 2 and sum(found) == 100 and found[-1] <= 55, 60
            )
            assert len(after) == 2
            assert sum(after) == 100
            assert after[-1] <= 55, after
            assert {code for _, code in crowd.closes} == {None, 1012}


def workers_of(service: Service) -> list[int]:
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_where_nodes_can_not_hear_each_other_it_says_so() -> None:
    with serving(cwd=None, **SETTINGS) as service:
        await anyio.sleep(0.5)
        code, _, err = await anyio.to_thread.run_sync(service.end)
    assert code == 0
    assert (
        "WIGWAG_REBALANCE does nothing: the provider 'memory' knows of no other process"
        in "".join(service.said) + err
    )
