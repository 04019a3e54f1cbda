"""``wigwag check``: what it says of a broker before a deploy."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from command import Wigwag
from wigwag.broker import Broker, BrokerLost, Finding
from wigwag.memory import MemorySettings
from wigwag.plugins import ProviderPlugin
from wigwag.testing import FakeBroker

Plugin = Callable[..., None]
module = importlib.import_module("wigwag.cli.check")  # the package's name for it is the command


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    monkeypatch.setenv("WIGWAG_SUBSCRIBE_TIMEOUT_S", "0.2")
    return Wigwag(monkeypatch, capsys)


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Have this plugin be the chosen one."""

    def plugin(look: Callable[[Any], Any] | None = None, broker: Broker | None = None) -> None:
        made = ProviderPlugin(
            name="memory",
            summary="for a test",
            settings=MemorySettings,
            create=lambda _: broker or FakeBroker(),
            check=look,
        )
        monkeypatch.setattr(module, "load_plugin", lambda name, environ: made)

    return plugin


def test_it_sends_itself_a_message(wigwag: Wigwag) -> None:
    ended = wigwag("check")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0] == "provider memory"
    assert "a message came back in " in ended.out


def test_what_the_plugin_finds_is_printed_and_warnings_fail_nothing(wigwag: Wigwag, plugin: Plugin) -> None:
    async def look(settings: MemorySettings) -> Sequence[Finding]:
        return [Finding("ok", "version", "7.0"), Finding("warning", "buffer", "too small: raise it")]

    plugin(look)
    ended = wigwag("check")
    assert ended.code == 0
    assert "  ok       version   7.0\n  warning  buffer    too small: raise it\n" in ended.out


def test_an_error_is_an_exit_code(wigwag: Wigwag, plugin: Plugin) -> None:
    async def look(settings: MemorySettings) -> Sequence[Finding]:
        return [Finding("error", "version", "too old")]

    plugin(look)
    assert wigwag("check").code == 1


def test_a_broker_that_can_not_be_reached_is_one_line(wigwag: Wigwag, plugin: Plugin) -> None:
    async def look(settings: MemorySettings) -> Sequence[Finding]:
        raise BrokerLost("nobody at 127.0.0.1:1; is it up?")

    plugin(look)
    ended = wigwag("check")
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == "  error    broker    nobody at 127.0.0.1:1; is it up?"


def test_a_broker_that_does_not_answer_is_not_waited_for(
    wigwag: Wigwag, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.1)
    plugin(lambda _: anyio.sleep_forever())
    ended = wigwag("check")
    assert ended.code == 1
    assert "it did not answer within 0.1 s" in ended.out


def test_a_topic_that_does_not_come_alive_is_an_error(wigwag: Wigwag, plugin: Plugin) -> None:
    broker = FakeBroker()
    broker.connecting.shut()
    plugin(broker=broker)
    ended = wigwag("check")
    assert ended.code == 1
    assert "  error    delivery  topic 'wigwag-check' was not live within 0.2 s" in ended.out


def test_a_message_that_does_not_come_back_is_an_error(
    wigwag: Wigwag, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT_S", 0.1)
    broker = FakeBroker()
    broker.is_deaf_to = lambda topic: topic == "wigwag-check"
    plugin(broker=broker)
    ended = wigwag("check")
    assert ended.code == 1
    assert "a message did not come back within 0.1 s" in ended.out


def test_the_findings_as_json(wigwag: Wigwag) -> None:
    said = json.loads(wigwag("check", "--json").out)
    assert said["provider"] == "memory"
    assert [finding["subject"] for finding in said["findings"]] == ["settings", "delivery"]
    assert {finding["level"] for finding in said["findings"]} == {"ok"}


@pytest.mark.parametrize(
    ("name", "value"), [("WIGWAG_LINGER_S", "soon"), ("WIGWAG_LISTEN", "8000"), ("WIGWAG_LINGRE_S", "1")]
)
def test_a_setting_that_can_not_be_used_is_one_line(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    ended = wigwag("check")
    assert ended.code == 2
    assert ended.out == ""
    assert name in ended.err
    assert ended.err.count("\n") == 1


# With workers


@pytest.mark.parametrize(("workers", "level"), [("1", "ok"), ("4096", "warning")])
def test_with_workers_it_looks_through_a_hub_of_its_own(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, workers: str, level: str
) -> None:
    monkeypatch.setenv("WIGWAG_WORKERS", workers)
    ended = wigwag("check", "--json")
    assert ended.code == 0
    said = json.loads(ended.out)
    assert said["provider"] == "local"
    levels = {finding["subject"]: finding["level"] for finding in said["findings"]}
    assert levels == {"settings": "ok", "hub": "ok", "delivery": "ok", "workers": level}


def test_a_hub_that_could_not_be_started_is_an_error(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_WORKERS", "1")
    monkeypatch.setenv("WIGWAG_LOCAL_PATH", "/nowhere/hub")
    ended = wigwag("check")
    assert ended.code == 1
    assert "the hub can't listen at /nowhere/hub" in ended.out


def test_workers_with_memory_are_refused_here_too(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_WORKERS", "2")
    monkeypatch.setenv("WIGWAG_PROVIDER", "memory")
    assert wigwag("check").code == 2
