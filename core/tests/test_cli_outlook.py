"""What ``wigwag check`` says of settings and machine."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from wigwag.broker import Finding
from wigwag.cli.machine import Machine
from wigwag.cli.outlook import Outlook, Plan, Scope, of_reach
from wigwag.errors import SettingsError
from wigwag.provider import ProviderSettings
from wigwag.service.capacity import capacity, files_for
from wigwag.settings import CoreSettings, Listen, Origin, Secrets, ServiceSettings

ROOMY = {"cores": 2, "files": 65536, "backlog": 4096, "memory_bytes": 2 << 30, "has_uvloop": True}
EVERYWHERE = Listen("", 8000)


def outlook(
    *, plan: dict[str, Any] | None = None, machine: dict[str, Any] | None = None, **settings: Any
) -> dict[str, Finding]:
    """The findings by their subjects."""
    core = CoreSettings(allowed_origins=settings.pop("allowed_origins", ()))
    found = Outlook(
        settings=ServiceSettings(**settings),
        core=core,
        provider=ProviderSettings(),
        plan=Plan(**plan or {}),
        machine=Machine(**ROOMY | (machine or {})),
        api_keys=settings.get("api_key") or (),
    ).findings()
    return {finding.subject: finding for finding in found}


def test_a_machine_with_room_and_settings_for_it_has_only_good_findings() -> None:
    found = outlook(workers=2, plan={"replicas": 3, "connections": 50_000, "grace_s": 60.0})
    assert {finding.level for finding in found.values()} == {"ok"}
    assert not any("\n" in finding.text for finding in found.values())


def test_this_machine_is_looked_at() -> None:
    machine = Machine.here()
    assert machine.cores >= 1
    assert machine.has_uvloop
    if os.path.exists("/proc/sys/net/core/somaxconn"):
        assert machine.backlog is not None
    assert machine.memory_bytes is not None
    assert 64 << 20 < machine.memory_bytes < 1 << 50


# Who can reach it


@pytest.mark.parametrize(
    ("settings", "plan", "level", "text"),
    [
        ({}, {}, "ok", "127.0.0.1:8000: development mode, for this machine only"),
        ({"listen": EVERYWHERE, "insecure": True}, {}, "warning", "anyone who reaches it may join any topic"),
        ({"listen": EVERYWHERE, "jwt_secret": Secrets.parse("x" * 32)}, {}, "ok", "each brings a token"),
        ({"listen": EVERYWHERE}, {"app": "main:app"}, "ok", "who may connect, main:app decides"),
        (
            {"listen": EVERYWHERE, "allowed_origins": (Origin("*"),)},
            {"app": "main:app"},
            "warning",
            "Pages of all sites may, with their visitors' cookies",
        ),
    ],
)
def test_clients(settings: dict[str, Any], plan: dict[str, Any], level: str, text: str) -> None:
    found = outlook(plan=plan, **settings)["clients"]
    assert found.level == level
    assert text in found.text


@pytest.mark.parametrize(
    ("keys", "level", "text"),
    [
        (None, "ok", "programs of this machine publish, without a key"),
        ("a-key-of-many-characters", "ok", "publishers bring a key"),
        ("a-key-of-many-characters,hunter2", "warning", "fewer than 16 characters"),
    ],
)
def test_the_internal_port(keys: str | None, level: str, text: str) -> None:
    found = outlook(api_key=None if keys is None else Secrets.parse(keys))["internal port"]
    assert found.level == level
    assert text in found.text
    assert "hunter2" not in found.text


# What it has room for


@pytest.mark.parametrize(
    ("files", "wanted", "level"),
    [
        (None, None, None),
        (65536, None, "ok"),
        (1024, None, "warning"),
        (1024, 500, "ok"),
        (1024, 50_000, "error"),
        (65536, 50_000, "ok"),
    ],
)
def test_open_files(files: int | None, wanted: int | None, level: str | None) -> None:
    found = outlook(machine={"files": files}, max_connections=wanted).get("open files")
    assert (found and found.level) == level


def test_with_as_many_files_as_it_says_there_is_room(caplog: pytest.LogCaptureFixture) -> None:
    found = outlook(machine={"files": 1024}, max_connections=50_000)["open files"]
    assert found.text.endswith(f"to {files_for(50_000)}")
    with caplog.at_level(logging.WARNING):
        assert capacity(ServiceSettings(max_connections=50_000), files_for(50_000)) == (50_000, 1024)
    assert not caplog.records


@pytest.mark.parametrize(("backlog", "level"), [(128, "warning"), (2048, "ok"), (4096, "ok"), (None, None)])
def test_the_listen_queue(backlog: int | None, level: str | None) -> None:
    found = outlook(machine={"backlog": backlog}).get("listen queue")
    assert (found and found.level) == level


@pytest.mark.parametrize(
    ("connections", "replicas", "workers", "level", "text"),
    [
        (50_000, 3, 1, "error", "50000 on 3 replicas of 10000: 20000 are refused; 6 replicas can spare one"),
        (50_000, 5, 1, "warning", "while one is away 10000 are refused; 6 replicas can spare one"),
        (50_000, 6, 1, "ok", "one can be spared; its 8334 come back to the others in 2 s or more"),
        (50_000, 3, 4, "ok", "on 3 replicas of 40000"),
        (10_000, None, 1, "warning", "10000 on 1 replicas of 10000: while one is away 10000 are refused"),
    ],
)
def test_connections(connections: int, replicas: int | None, workers: int, level: str, text: str) -> None:
    plan = {"connections": connections, "replicas": replicas}
    found = outlook(plan=plan, max_connections=10_000, workers=workers)["connections wanted"]
    assert found.level == level
    assert text in found.text


@pytest.mark.parametrize(
    ("mib", "settings", "plan", "level", "text"),
    [
        (512, {}, {}, "ok", "512 MiB here is room for about 28000 idle sockets"),
        (64, {}, {}, "ok", "room for about 0 idle sockets"),
        (512, {"max_connections": 10_000}, {}, "ok", "10000 idle sockets take about 177 MiB"),
        (512, {"max_connections": 60_000}, {}, "warning", "which leaves too little for what waits"),
        (512, {"workers": 4}, {"connections": 20_000}, "warning", "20000 idle sockets"),
        (512, {}, {"connections": 60_000, "replicas": 4}, "ok", "20000 idle sockets"),
        (512, {"max_connections": 5000}, {"connections": 60_000, "replicas": 4}, "ok", "5000 idle sockets"),
    ],
)
def test_memory(mib: int, settings: dict[str, Any], plan: dict[str, Any], level: str, text: str) -> None:
    found = outlook(machine={"memory_bytes": mib << 20}, plan=plan, **settings)["memory"]
    assert found.level == level
    assert text in found.text


def test_a_machine_that_does_not_tell() -> None:
    assert "memory" not in outlook(machine={"memory_bytes": None})


def test_without_uvloop() -> None:
    assert outlook(machine={"has_uvloop": False})["uvloop"].level == "warning"


@pytest.mark.parametrize(("workers", "level"), [(2, "ok"), (3, "warning"), (None, None)])
def test_workers(workers: int | None, level: str | None) -> None:
    found = outlook(workers=workers).get("workers")
    assert (found and found.level) == level


@pytest.mark.parametrize(
    ("grace_s", "settings", "level"),
    [
        (30.0, {}, "error"),
        (35.0, {}, "ok"),
        (35.0, {"drain_delay_s": 5.0}, "error"),
        (30.0, {"drain_timeout_s": 10.0}, "ok"),
        (60.0, {"workers": 2, "worker_stop_timeout_s": 100.0}, "error"),
        (None, {}, None),
    ],
)
def test_the_time_until_it_is_killed(
    grace_s: float | None, settings: dict[str, Any], level: str | None
) -> None:
    found = outlook(plan={"grace_s": grace_s}, **settings).get("grace")
    assert (found and found.level) == level


def test_workers_that_are_killed_before_they_have_drained_are_no_setting() -> None:
    with pytest.raises(SettingsError, match="WIGWAG_WORKER_STOP_TIMEOUT_S=5 is too short"):
        outlook(workers=2, worker_stop_timeout_s=5.0)


@pytest.mark.parametrize(
    ("settings", "plan", "level", "text"),
    [
        ({"max_connections": 5000}, {"replicas": 3}, "ok", "5000 sockets are sent away at 500 a second"),
        ({"max_connections": 36_000}, {"replicas": 3}, "ok", "sent away at 2000 a second, and the other"),
        (
            {"max_connections": 36_000},
            {"replicas": 2},
            "warning",
            "the other replicas let in 1000: the rest get 503",
        ),
        (
            {"max_connections": 5000, "workers": 2},
            {"replicas": 2},
            "ok",
            "10000 sockets are sent away at 556",
        ),
        ({"max_connections": 5000}, {}, "ok", "they find nobody until it is back"),
    ],
)
def test_how_fast_sockets_are_sent_away(
    settings: dict[str, Any], plan: dict[str, Any], level: str, text: str
) -> None:
    found = outlook(plan=plan, **settings)["drain"]
    assert found.level == level
    assert text in found.text


@pytest.mark.parametrize(
    ("provider", "scope", "replicas", "level"),
    [
        ("memory", "process", None, "ok"),
        ("memory", "process", 1, "ok"),
        ("memory", "process", 2, "error"),
        ("local", "machine", 2, "error"),
        ("local", "machine", 1, "ok"),
        ("redis", "fleet", 20, None),
    ],
)
def test_reach(provider: str, scope: Scope, replicas: int | None, level: str | None) -> None:
    found = of_reach(provider, scope, replicas)
    assert (found and found.level) == level
