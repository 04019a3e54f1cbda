"""What the chart renders, run: pods that hear each other, the release's own test, and a drain within the grace."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from charts.pods import Pod, run_in, run_job, run_test
from charts.rendering import ACCESS, Manifest, merged, one, render
from drain.crowd import ahead
from rolling.balancer import Balancer, Endpoints
from rolling.brokers import variables_of
from rolling.roll import Load, Traffic, until
from servers.process import HeldPort, ServerProcess

SECRET = "0123456789" * 4
KEY = "k" * 40
SECRETS = {"keys": {"api-keys": f"{KEY}\n"}, "jwt": {"jwt-secrets": f"{SECRET}\n"}}
SOCKETS = 2000
PER_SECOND = 500
DELAY_S = 1

pytestmark = [
    pytest.mark.needs("helm"),
    pytest.mark.skipif(os.uname().sysname != "Linux", reason="127.0.0.0/8 is Linux's"),
    pytest.mark.timeout(180),
]


@pytest.fixture
def ports() -> Generator[dict[str, int]]:
    """Two that nobody has."""
    held = {"public": HeldPort(), "internal": HeldPort()}
    yield {name: port.number for name, port in held.items()}
    for port in held.values():
        port.close()


@pytest.fixture(
    params=[
        pytest.param("redis", marks=pytest.mark.needs("redis-server")),
        pytest.param("nats", marks=pytest.mark.needs("nats-server")),
        pytest.param("kafka", marks=pytest.mark.needs("kafka")),
    ]
)
def on_broker(request: pytest.FixtureRequest, ports: dict[str, int]) -> dict[str, Any]:
    """The values of a release on a broker."""
    server: ServerProcess = request.getfixturevalue(f"{request.param}_server")
    return values_of(request.param, server, ports)


def values_of(broker: str, server: ServerProcess, ports: dict[str, int]) -> dict[str, Any]:
    variables = variables_of(broker, server)
    environment = {
        name: value for name, value in variables.items() if name.startswith(f"WIGWAG_{broker.upper()}")
    }
    return merged(ACCESS, {"provider": {"name": broker, "env": environment}, "containerPorts": ports})


@contextlib.contextmanager
def pods_of(rendered: list[Manifest], count: int | None = None) -> Generator[list[Pod]]:
    """As many pods as the Deployment says, or so many, none of which is started."""
    deployment = one(rendered, "Deployment")
    with contextlib.ExitStack() as held:
        pods = []
        for number in range(count or deployment["spec"]["replicas"]):
            # A network of one's own: two runs at a time have other ports, too.
            pods.append(Pod(deployment, number, f"127.99.0.{number + 1}", SECRETS))
            held.callback(pods[-1].close)
        yield pods


def test_a_release_serves_and_its_own_test_passes(on_broker: dict[str, Any], tmp_path: Path) -> None:
    rendered = render(on_broker)
    with pods_of(rendered) as pods:
        for pod in pods:
            pod.launch()
        for pod in pods:
            pod.await_answer()
            assert pod.probe("livenessProbe")
        addresses = [pod.address for pod in pods]
        code, said = run_test(one(rendered, "Pod"), addresses, tmp_path, SECRETS)
        assert (code, said.splitlines()[-1][:40]) == (0, "2 replicas: 4 of 4 messages arrived, wit"), said
        for pod in pods:
            pod.terminate()
        assert [pod.await_end() for pod in pods] == [0, 0]


@pytest.mark.needs("redis-server")
def test_pods_that_do_not_hear_each_other_fail_the_releases_test(
    redis_server: ServerProcess, ports: dict[str, int], tmp_path: Path
) -> None:
    values = merged(values_of("redis", redis_server, ports), {"tests": {"timeoutSeconds": 7}})
    rendered = render(values)
    with pods_of(rendered) as pods:
        pods[1].variables = {"WIGWAG_REDIS_KEY_PREFIX": "elsewhere"}
        for pod in pods:
            pod.start()
        code, said = run_test(one(rendered, "Pod"), [pod.address for pod in pods], tmp_path, SECRETS)
        assert code == 1
        assert "nothing published on 127.99.0.2 arrived on 127.99.0.1" in said, said


@pytest.mark.needs("redis-server")
def test_applications_of_ones_own_are_tested_by_their_nodes(
    redis_server: ServerProcess, ports: dict[str, int], tmp_path: Path
) -> None:
    rendered = render(merged(values_of("redis", redis_server, ports), {"app": "chat:app"}))
    with pods_of(rendered) as pods:
        for pod in pods:
            pod.variables = {"PYTHONPATH": str(Path(__file__).parent / "applications")}
        for pod in pods:
            pod.start()
        code, said = run_test(one(rendered, "Pod"), [pod.address for pod in pods], tmp_path, SECRETS)
        assert (code, said) == (0, "2 replicas: each hears all 2 nodes\n")


@pytest.mark.needs("redis-server")
def test_a_release_is_looked_at_before_it_changes_anything(
    redis_server: ServerProcess, ports: dict[str, int], tmp_path: Path
) -> None:
    values = merged(values_of("redis", redis_server, ports), {"preflight": {"enabled": True}})
    code, said = run_job(one(render(values), "Job"), tmp_path / "well", SECRETS)
    assert code == 0, said
    nobody = {"provider": {"env": {"WIGWAG_REDIS_URL": f"redis://127.0.0.1:{ports['public']}"}}}
    code, said = run_job(one(render(merged(values, nobody)), "Job"), tmp_path / "ill", SECRETS)
    assert code == 1
    assert "can't be reached" in said


def test_a_pod_with_workers_needs_nothing_but_its_own_tmp(ports: dict[str, int], tmp_path: Path) -> None:
    values = {"provider": {"name": "local"}, "workers": 2, "containerPorts": ports}
    rendered = render(merged(ACCESS, values))
    with pods_of(rendered) as (pod,):
        pod.start()
        code, said = run_test(one(rendered, "Pod"), [pod.address], tmp_path, SECRETS)
        assert code == 0, said
        assert list((pod.directory / "tmp").iterdir()), "the hub's socket"
        # As NOTES.txt says.
        made = run_in(pod, "wigwag", "token", "--sub", "ann", "--topics", "lobby").strip()
        assert jwt.decode(made, SECRET, ["HS256"])["topics"] == ["lobby"]
        run_in(pod, "wigwag", "publish", "lobby", "hello", "--url", pod.at("internal"))
        pod.terminate()
        assert pod.await_end() == 0


@pytest.mark.needs("redis-server")
def test_a_pod_drains_within_its_grace(redis_server: ServerProcess, ports: dict[str, int]) -> None:
    """2000 clients on one of two pods, which is ended under load."""
    values = merged(
        values_of("redis", redis_server, ports),
        {
            "drain": {"delaySeconds": DELAY_S, "timeoutSeconds": 15, "perSecond": PER_SECOND},
            "settings": {"WIGWAG_CONNECTIONS_PER_USER": SOCKETS * 2, "WIGWAG_LOG_LEVEL": "warning"},
        },
    )
    with pods_of(render(values)) as pods:
        asyncio.run(drain(pods))


async def drain(pods: list[Pod]) -> None:
    loop = asyncio.get_running_loop()
    old = pods[0]
    async with Balancer() as public, Balancer() as internal:
        endpoints = Endpoints(
            lambda number: asyncio.to_thread(pods[number].probe, "readinessProbe"), lag_s=0.3
        )
        looking = asyncio.create_task(endpoints.run())

        async def start(number: int) -> None:
            pods[number].launch()
            numbers = {each["name"]: each["containerPort"] for each in old.container.spec["ports"]}
            ports = {public: numbers["public"], internal: numbers["internal"]}
            endpoints.add(number, ports, pods[number].address)
            await until(lambda: endpoints.has(number))

        try:
            await start(0)
            load = Load(clients=SOCKETS, topics=40, publishers=1, publishes_per_s=8, quiet_s=1.0)
            ws = f"ws://127.0.0.1:{public.port}/ws?token={token()}"
            traffic = Traffic(load, ws, f"http://127.0.0.1:{internal.port}", KEY)
            async with traffic.running():
                await start(1)
                began_s = loop.time()
                old.terminate()
                code = await asyncio.to_thread(old.await_end)
                took_s = loop.time() - began_s
        finally:
            looking.cancel()
    assert code == 0
    assert took_s < old.grace_s
    assert traffic.fortunes.closed == {1012: SOCKETS}
    ended_s = sorted(client.listener.stays[0].ended_s - began_s for client in traffic.clients)
    a_second = Counter(int(at_s) for at_s in ended_s)
    found = replace(traffic.outcome(), took_s=took_s, ending_s=[took_s], exit_codes=[code])
    told = [
        *found.lines(),
        f"closed in each second after SIGTERM: {dict(a_second)}",
    ]
    print("\n".join(told))  # noqa: T201 - shown where it fails
    # First a pause, in which clients could still come; then the pace, and not all in one instant.
    assert ended_s[0] >= DELAY_S
    assert ahead(ended_s, DELAY_S, PER_SECOND) < 0.1 * PER_SECOND
    # Messages went on meanwhile, from the pod that drains too, and nobody lacks one without knowing it.
    meanwhile = [m for m in traffic.publishing.messages if began_s < m.begun_s < began_s + took_s]
    assert len(meanwhile) > 10
    assert found.account.silent == []
    assert found.account.twice == 0
    assert found.account.received > found.account.due / 2


def token() -> str:
    """One for all clients."""
    claims = {"sub": "crowd", "exp": int(time.time()) + 600, "topics": ["topic:*"]}
    return jwt.encode(claims, SECRET, "HS256")
