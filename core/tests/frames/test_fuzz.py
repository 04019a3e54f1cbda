"""The first of the streams of ``make fuzz``, and that it would tell."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from wigwag.frames.parser import Control, Parser

FUZZ = Path(__file__).parents[3] / "tools" / "fuzz.py"


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(FUZZ), run_name="fuzz")


def test_bent_streams_end_in_messages_or_protocol_errors(tool: dict[str, Any]) -> None:
    report = tool["run"](50_000, 1)
    assert report.count == 50_000
    # Neither all refused at once, nor all let through; and each way to be refused is tried.
    assert min(report.codes.values()) > 500
    assert report.messages > 10_000
    assert report.controls > 10_000


@pytest.mark.parametrize(
    "wrong", [b"x" * 100_000, Control(9, b"x" * 126), 5], ids=["large", "control", "int"]
)
def test_what_may_not_come_out_is_told_with_what_repeats_it(
    tool: dict[str, Any], wrong: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Parser, "next", lambda parser: wrong)
        with pytest.raises(SystemExit, match="seed 1, stream 0: Wrong") as told:
            tool["run"](100, 1)
    command = str(told.value).splitlines()[-1].split()
    assert command[0] == "tools/fuzz.py"
    assert tool["main"](command[1:]) == 0
    assert capsys.readouterr().out.startswith("[")


def test_an_exception_that_no_client_may_cause_is_told(
    tool: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Parser, "next", lambda parser: 1 // 0)
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        tool["run"](100, 1)


def test_a_process_that_grows_is_told(tool: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[object] = []
    real = Parser.feed

    def leak(parser: Parser, data: bytes) -> None:
        kept.append([data])
        real(parser, data)

    monkeypatch.setattr(Parser, "feed", leak)
    with pytest.raises(SystemExit, match="the process grows"):
        tool["run"](5_000, 1)


def test_what_hangs_is_told(tool: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(parser: Parser) -> None:
        while True:
            pass

    monkeypatch.setattr(Parser, "next", hang)
    monkeypatch.setitem(tool["run"].__globals__, "STEP_LIMIT_S", 0.01)
    with pytest.raises(SystemExit, match="it runs for more than"):
        tool["run"](100, 1)
