"""``wigwag token``: what it prints is taken by the service of the same environment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from command import Wigwag
from signing import SECRET
from wigwag.cli.token import duration_s
from wigwag.service.clients import clients_of
from wigwag.settings import ServiceSettings, load_settings
from wigwag.tokens.verifying import Grant, Rules, Verifier

SAFE = SECRET.replace(",", "")


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    return Wigwag(monkeypatch, capsys)


def granted(text: str, **environ: str) -> Grant:
    """What the service of this environment makes of it."""
    settings = load_settings(ServiceSettings, "WIGWAG_", environ)
    clients = clients_of(settings)
    assert clients is not None
    return clients._verifier.verify(text)


def test_it_prints_a_token_and_nothing_else(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", SAFE)
    ended = wigwag(
        "token", "--sub", "ann", "--topics", "orders:*, user:{sub}", "--topics", "news", "--publish", "chat:*"
    )
    assert (ended.code, ended.err) == (0, "")
    text = ended.out.removesuffix("\n")
    assert "\n" not in text
    grant = granted(text, WIGWAG_JWT_SECRET=SAFE, WIGWAG_JWT_LEEWAY_S="0")
    assert grant.user == "ann"
    assert [str(pattern) for pattern in grant.topics] == ["orders:*", "user:{sub}", "news"]
    assert [str(pattern) for pattern in grant.publish] == ["chat:*"]
    assert abs(grant.expires_at - time.time() - 3600) < 60
    assert not grant.stats


def test_it_lets_see_the_numbers_where_it_is_told(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", SAFE)
    text = wigwag("token", "--sub", "ops", "--stats").out.strip()
    assert granted(text, WIGWAG_JWT_SECRET=SAFE).stats


def test_it_signs_with_the_first_secret_for_whom_the_service_asks(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secrets").write_text(f"{SAFE}\nan older one that counts for a while yet\n")
    environ = {
        "WIGWAG_JWT_SECRET_FILE": str(tmp_path / "secrets"),
        "WIGWAG_JWT_AUDIENCE": "chat,mail",
        "WIGWAG_JWT_ISSUER": "https://id.example",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    text = wigwag("token", "--sub", "ann", "--ttl", "90s").out.strip()
    assert granted(text, **environ).user == "ann"
    assert granted(text, **environ | {"WIGWAG_JWT_SECRET_FILE": str(tmp_path / "secrets")}).topics == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing option '--sub'"),
        (["--sub", ""], "--sub has 1 to 256 characters"),
        (["--sub", "x" * 257], "--sub has 1 to 256 characters"),
        (["--sub", "ann", "--topics", "orders*"], "--topics 'orders*': * is a whole segment"),
        (
            ["--sub", "ann", "--publish", "__broadcast__"],
            "--publish '__broadcast__': names that begin with __",
        ),
        (["--sub", "ann", "--topics", ",".join(["a"] * 101)], "--topics: a token has at most 100 patterns"),
        (["--sub", "ann", "--ttl", "0"], "'0' is not a duration"),
        (["--sub", "ann", "--ttl", "soon"], "'soon' is not a duration"),
    ],
)
def test_wrong_usage_is_said(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", SAFE)
    ended = wigwag("token", *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


def test_without_a_secret_it_says_what_to_set(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WIGWAG_JWT_SECRET", raising=False)
    ended = wigwag("token", "--sub", "ann")
    assert ended.code == 2
    assert "set WIGWAG_JWT_SECRET" in ended.err
    assert ended.err.count("\n") == 1


def test_a_secret_that_the_service_would_not_take_is_not_used(
    wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", "hunter2")
    ended = wigwag("token", "--sub", "ann")
    assert (ended.code, ended.out) == (2, "")
    assert "at least 32 characters" in ended.err
    assert "hunter2" not in ended.err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800)]
)
def test_durations(text: str, seconds: int) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1w", "-1h", "1.5h", "\u0661h", "9999d", "0s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"^no duration"):
        duration_s(text)


def test_a_token_is_not_of_another_service(wigwag: Wigwag, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGWAG_JWT_SECRET", SAFE)
    text = wigwag("token", "--sub", "ann").out.strip()
    from wigwag.settings import Secrets
    from wigwag.tokens.keys import keys_of_secrets
    from wigwag.tokens.verifying import TokenRefused

    other = keys_of_secrets(Secrets.parse("the secret of another service of ours"))
    with pytest.raises(TokenRefused):
        Verifier(lambda: other, Rules()).verify(text)
