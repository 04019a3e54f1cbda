"""The command line: what it takes, what it prints, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from command import Wigwag
from wigwag.service import server
from wigwag.settings import CoreSettings, Listen, ServiceSettings


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    return Wigwag(monkeypatch, capsys)


def test_it_says_its_version(wigwag: Wigwag) -> None:
    ended = wigwag("--version")
    assert (ended.code, ended.out.split()[0]) == (0, "wigwag")


@pytest.mark.parametrize("command", ["serve", "providers", "publish", "listen", "typegen", "asyncapi"])
def test_each_command_is_listed_and_has_help(wigwag: Wigwag, command: str) -> None:
    assert command in wigwag("--help").out
    ended = wigwag(command, "--help")
    assert ended.code == 0
    assert f"Usage: wigwag {command}" in ended.out


@pytest.mark.parametrize("command", ["serve", "publish", "listen", "typegen", "asyncapi"])
def test_help_shows_examples(wigwag: Wigwag, command: str) -> None:
    assert f"  wigwag {command} " in wigwag(command, "--help").out.partition("Examples:")[2]


def test_an_option_names_its_variable_and_default(wigwag: Wigwag) -> None:
    text = " ".join(wigwag("serve", "--help").out.split())
    assert "[WIGWAG_LISTEN; 127.0.0.1:8000]" in text
    assert "[WIGWAG_LOG_LEVEL; info]" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["publish"],
        ["publish", "lobby"],
        ["listen"],
        ["listen", "__broadcast__"],
        ["listen", "lobby", "--url", "http://127.0.0.1:8000"],
        ["publish", "lobby", "{", "--name", "x"],
        ["publish", "lobby", "hi", "--url", "127.0.0.1:9000"],
        ["serve", "--listen", "8000"],
        ["serve", "--log-level", "loud"],
        ["serve", "main"],
    ],
)
def test_wrong_usage_ends_with_2(wigwag: Wigwag, arguments: list[str]) -> None:
    ended = wigwag(*arguments)
    assert ended.code == 2
    assert ended.err
    assert ended.out == ""


# wigwag providers


def test_the_providers_are_listed_with_the_chosen_one_marked(wigwag: Wigwag) -> None:
    ended = wigwag("providers")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert lines[0].startswith("  local")
    assert lines[1].startswith("* memory")
    assert "in-process: the sockets of this process only" in lines[1]
    assert "  redis      not installed: pip install wigwag-redis" in lines


def test_a_chosen_provider_that_is_not_installed_is_an_error(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_PROVIDER", "nats")
    ended = wigwag("providers")
    assert ended.code == 2
    assert "  memory" in ended.out
    assert ended.err.count("\n") == 1
    assert "pip install wigwag-nats" in ended.err


# wigwag serve


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[ServiceSettings, CoreSettings, dict[str, Any]]]:
    served: list[tuple[ServiceSettings, CoreSettings, dict[str, Any]]] = []
    monkeypatch.setattr(
        server, "serve", lambda settings, core, **options: served.append((settings, core, options))
    )
    return served


def test_serve_takes_its_settings_from_the_environment(
    wigwag: Wigwag, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_LISTEN", ":80")
    monkeypatch.setenv("WIGWAG_INSECURE", "true")
    monkeypatch.setenv("WIGWAG_ALLOWED_ORIGINS", "*")
    assert wigwag("serve").code == 0
    expected = ServiceSettings(listen=Listen("", 80), insecure=True)
    assert served == [(expected, CoreSettings(allowed_origins=("*",)), {"app": None, "app_dir": None})]  # type: ignore[arg-type]


def test_an_option_counts_before_its_variable(
    wigwag: Wigwag, served: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_LISTEN", ":80")
    options = ["--listen", "[::1]:81", "--internal-listen", "127.0.0.1:82", "--log-level", "debug"]
    assert wigwag("serve", "main:app", "--app-dir", "src", "--insecure", *options).code == 0
    expected = ServiceSettings(
        listen=Listen("::1", 81),
        internal_listen=Listen("127.0.0.1", 82),
        log_level="debug",
        insecure=True,
    )
    assert served == [(expected, CoreSettings(), {"app": "main:app", "app_dir": "src"})]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WIGWAG_PROVIDER", "redis", "pip install wigwag-redis"),
        ("WIGWAG_LINGER_S", "long", "WIGWAG_LINGER_S='long': it must be a number of seconds"),
        ("WIGWAG_LISTEN", "8000", "WIGWAG_LISTEN='8000': it must be HOST:PORT"),
        ("WIGWAG_PORT", "8000", "WIGWAG_PORT is no setting of wigwag; WIGWAG_LISTEN is"),
        ("WIGWAG_MESAGE_BYTES", "1", "the nearest is WIGWAG_MESSAGE_BYTES"),
        ("WIGWAG_ALLOWED_ORIGINS", "example.com", "an origin like https://app.example.com"),
    ],
)
def test_a_wrong_variable_is_one_line_before_anything_starts(
    wigwag: Wigwag,
    served: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(variable, value)
    ended = wigwag("serve")
    assert ended.code == 2
    assert ended.err.startswith("wigwag: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert served == []


@pytest.mark.parametrize(
    ("options", "variables", "message"),
    [
        (["--listen", "0.0.0.0:0"], {}, "WIGWAG_LISTEN=0.0.0.0:0 is open to other machines"),
        (["--listen", ":0"], {}, "or say --insecure"),
        (["--internal-listen", "0.0.0.0:0"], {}, "set WIGWAG_API_KEY"),
        (["--internal-listen", ":0", "--insecure"], {}, "set WIGWAG_API_KEY"),
        ([], {"WIGWAG_INTERNAL_LISTEN": "[::]:0"}, "WIGWAG_INTERNAL_LISTEN=[::]:0 is open"),
    ],
)
def test_serve_does_not_open_up_by_oversight(
    wigwag: Wigwag,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = wigwag("serve", *options)
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1


APPS = {
    "broken": ("1 / 0", "broken:app can't be imported: ZeroDivisionError: division by zero"),
    "lacks": ("import a_missing_library", "lacks:app can't be imported: No module named 'a_missing_library'"),
    "unreadable": ("def", "unreadable:app can't be imported: invalid syntax (unreadable.py, line 1)"),
    "empty": ("", "empty:app: module 'empty' has no attribute 'app'"),
    "number": ("app = 1", "number:app is no ASGI application, but int"),
    "settings": (
        "from wigwag import create_provider\ncreate_provider('redis')",
        "no such provider is installed",
    ),
}


@pytest.mark.parametrize("name", APPS)
def test_an_application_that_can_not_be_loaded_ends_in_one_line(
    wigwag: Wigwag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source, message = APPS[name]
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.setattr(sys, "path", sys.path[:])
    ended = wigwag("serve", f"{name}:app", "--app-dir", str(tmp_path))
    assert ended.code == 2
    assert message in ended.err.splitlines()[-1]
    if name != "broken":  # whose own traceback comes before
        assert ended.err.count("\n") == 1


def test_a_module_that_is_not_there_says_where_it_was_looked_for(
    wigwag: Wigwag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", sys.path[:])
    ended = wigwag("serve", "nowhere.to.be:app", "--app-dir", str(tmp_path))
    expected = f"there is no module 'nowhere' in {tmp_path}: --app-dir says where to look"
    assert (ended.code, expected in ended.err) == (2, True)
