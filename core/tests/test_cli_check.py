"""``wigwag check``: what it says of a broker before a deploy."""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from command import Ended, Wigwag
from signing import jwk, jwks
from wigwag.broker import Broker, BrokerLost, Finding
from wigwag.cli.machine import Machine
from wigwag.memory import MemorySettings
from wigwag.plugins import ProviderPlugin
from wigwag.testing import FakeBroker

Plugin = Callable[..., None]
module = importlib.import_module("wigwag.cli.check")  # the package's name for it is the command


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    monkeypatch.setenv("WIGWAG_SUBSCRIBE_TIMEOUT_S", "0.2")
    return Wigwag(monkeypatch, capsys)


ROOMY = Machine(cores=2, files=65536, backlog=4096, memory_bytes=2**31, has_uvloop=True)


@pytest.fixture(autouse=True)
def roomy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine of the tests has is not what is tested."""
    monkeypatch.setattr(Machine, "here", lambda: ROOMY)


def rows(ended: Ended) -> list[tuple[str, str, str]]:
    """The level, the subject and the text of each line."""
    return [tuple(re.split(" {2,}", line.strip(), maxsplit=2)) for line in ended.out.splitlines()[1:]]  # type: ignore[misc]


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
    assert ("ok", "version", "7.0") in rows(ended)
    assert ("warning", "buffer", "too small: raise it") in rows(ended)


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
    assert rows(ended)[-1] == ("error", "broker", "nobody at 127.0.0.1:1; is it up?")


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
    level, subject, text = rows(ended)[-1]
    assert (level, subject) == ("error", "delivery")
    assert text.startswith("topic 'wigwag-check' was not live within 0.2 s")


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
    assert [finding["subject"] for finding in said["findings"]] == [
        "settings",
        "clients",
        "internal port",
        "open files",
        "listen queue",
        "memory",
        "provider",
        "delivery",
        "clients' messages",
    ]
    assert {finding["level"] for finding in said["findings"]} == {"ok"}
    assert {frozenset(finding) for finding in said["findings"]} == {frozenset(("level", "subject", "text"))}


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
    assert (levels["hub"], levels["delivery"], levels["workers"]) == ("ok", "ok", level)


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


# What else a deployment has


def test_what_would_not_start_is_one_line_and_code_2(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_LISTEN", ":8000")
    ended = wigwag("check")
    assert (ended.code, ended.out) == (2, "")
    assert "is open to other machines, and without tokens anyone may join" in ended.err
    ended = wigwag("check", "nowhere:app")
    assert ended.code == 2
    assert "there is no module 'nowhere'" in ended.err


def test_a_key_that_can_be_guessed_is_one_in_a_file_too(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = tmp_path / "api-keys"
    keys.write_text("0123456789abcdef0123456789abcdef\nhunter2\n")
    monkeypatch.setenv("WIGWAG_API_KEY_FILE", str(keys))
    ended = wigwag("check")
    (found,) = (row for row in rows(ended) if row[1] == "internal port")
    assert found[0] == "warning"
    assert found[2].startswith("a key of WIGWAG_API_KEY_FILE has fewer than 16 characters")
    assert "hunter2" not in ended.out


def test_an_application_is_imported_and_decides_about_its_clients(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "checked_app.py").write_text("async def app(scope, receive, send): ...")
    monkeypatch.setenv("WIGWAG_LISTEN", ":8000")
    ended = wigwag("check", "checked_app:app", "--app-dir", str(tmp_path))
    assert ended.code == 0
    assert ("ok", "clients", ":8000: who may connect, checked_app:app decides") in rows(ended)
    assert "clients' messages" not in ended.out  # its limit is the application's
    assert wigwag("check", "checked_app:ap", "--app-dir", str(tmp_path)).code == 2


def test_more_replicas_than_the_provider_reaches_is_an_error(wigwag: Wigwag) -> None:
    ended = wigwag("check", "--replicas", "3")
    assert ended.code == 1
    (text,) = [text for level, subject, text in rows(ended) if (level, subject) == ("error", "provider")]
    assert "there are to be 3 replicas" in text


@pytest.mark.parametrize(("replicas", "level"), [("2", "ok"), ("3", "warning")])
def test_a_broker_without_room_for_all_nodes_is_a_warning(
    wigwag: Wigwag, plugin: Plugin, monkeypatch: pytest.MonkeyPatch, replicas: str, level: str
) -> None:
    async def look(settings: MemorySettings) -> Sequence[Finding]:
        return [Finding("ok", "connections", "room for 4", nodes=4)]

    broker = FakeBroker()
    monkeypatch.setenv("WIGWAG_WORKERS", "2")
    monkeypatch.setenv("WIGWAG_PROVIDER", "fake")
    plugin(look, broker)
    (row,) = [row for row in rows(wigwag("check", "--replicas", replicas)) if row[1] == "connections"]
    assert row == (
        level,
        "connections",
        "room for 4" + ("; 6 are to be deployed" if level == "warning" else ""),
    )


def test_a_client_may_not_send_more_than_the_broker_takes(
    wigwag: Wigwag, plugin: Plugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = FakeBroker()
    broker.max_payload_bytes = 4096
    plugin(broker=broker)
    level, subject, text = rows(wigwag("check"))[-1]
    assert (level, subject) == ("warning", "clients' messages")
    assert "lower WIGWAG_MESSAGE_BYTES" in text
    assert "takes 4096, the envelope included" in text
    monkeypatch.setenv("WIGWAG_MESSAGE_BYTES", "1024")
    assert rows(wigwag("check"))[-1][0] == "ok"


SECRET = "a secret of more than thirty-two characters"


def tokens_of(ended: Ended) -> tuple[str, str]:
    ((level, _, text),) = [row for row in rows(ended) if row[1] == "tokens"]
    return level, text


def test_keys_of_tokens_are_fetched(
    wigwag: Wigwag,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", SECRET)
    assert tokens_of(wigwag("check")) == ("ok", "the keys can be had")
    monkeypatch.delenv("WIGWAG_JWT_SECRET")
    monkeypatch.setenv("WIGWAG_JWKS_URL", "http://127.0.0.1:1/keys")
    with caplog.at_level(logging.CRITICAL):
        ended = wigwag("check")
    assert (ended.code, ended.err) == (1, "")
    level, text = tokens_of(ended)
    assert level == "error"
    assert text.startswith("no keys from http://127.0.0.1:1/keys yet: connection refused")
    monkeypatch.delenv("WIGWAG_JWKS_URL")
    keys = tmp_path / "keys.json"
    keys.write_bytes(jwks(jwk("ES256", kid="a")))
    monkeypatch.setenv("WIGWAG_JWKS_FILE", str(keys))
    level, text = tokens_of(wigwag("check"))
    assert level == "warning"
    assert "set WIGWAG_JWT_AUDIENCE" in text
    monkeypatch.setenv("WIGWAG_JWT_AUDIENCE", "chat")
    assert tokens_of(wigwag("check"))[0] == "ok"
