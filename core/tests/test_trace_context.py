"""W3C Trace Context, as requests bring it: what is malformed is ignored, what is of a later version is understood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.wire.trace import TraceContext, read_trace

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("parent", "read"),
    [
        (GOOD, GOOD),
        (f" {GOOD}\t", GOOD),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        (f"01-{TRACE}-{PARENT}-03", f"00-{TRACE}-{PARENT}-01"),  # of its flags the one that is known
        (f"cc-{TRACE}-{PARENT}-00-what-comes-later", f"00-{TRACE}-{PARENT}-00"),
    ],
)
def test_what_is_read(parent: str, read: str) -> None:
    trace = read_trace([parent])
    assert trace == TraceContext(read)
    assert trace is not None
    assert trace.trace_id == TRACE


@pytest.mark.parametrize(
    "parents",
    [
        [],
        [""],
        [GOOD, GOOD],
        [f"{GOOD}, {GOOD}"],
        [GOOD.upper()],
        [f"00-{'0' * 32}-{PARENT}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"ff-{TRACE}-{PARENT}-01"],
        [f"{GOOD}-more"],
        [f"cc-{TRACE}-{PARENT}-01."],
        [f"00-{TRACE[:-1]}-{PARENT}-01"],
        [f"00-{TRACE}-{PARENT}"],
        [f"00-{TRACE}-{PARENT}-1"],
        [GOOD.replace("4", "\N{ARABIC-INDIC DIGIT FOUR}")],
        [f"{GOOD}\n"],
    ],
)
def test_what_is_ignored(parents: list[str]) -> None:
    assert read_trace(parents, ["a=b"]) is None


@pytest.mark.parametrize(
    ("states", "read"),
    [
        ([], ""),
        (["a=1"], "a=1"),
        (["a=1, b=2\t,", "c@v=3"], "a=1,b=2,c@v=3"),
        (["a=1", "", " , "], "a=1"),
        (["a=1,a=2"], ""),  # a key twice
        (["A=1"], ""),
        (["a"], ""),
        (["a=1=2"], ""),
        (["a=\x7f"], ""),
        (["1tenant@system=x"], "1tenant@system=x"),
        ([",".join(f"k{n}=v" for n in range(32))], ",".join(f"k{n}=v" for n in range(32))),
        ([",".join(f"k{n}=v" for n in range(33))], ""),
        # Too much: the long entries go first, then those at the end.
        ([f"long={'x' * 200},a=1", f"b={'y' * 250},c={'z' * 100}"], f"a=1,c={'z' * 100}"),
        ([",".join(f"k{n}={'x' * 100}" for n in range(7))], ",".join(f"k{n}={'x' * 100}" for n in range(4))),
    ],
)
def test_the_state_is_passed_on_or_left_out(states: list[str], read: str) -> None:
    assert read_trace([GOOD], states) == TraceContext(GOOD, read)


@given(st.lists(st.text()), st.lists(st.text()))
def test_nothing_that_a_stranger_sends_raises_or_grows(parents: list[str], states: list[str]) -> None:
    trace = read_trace(parents, states)
    assert trace is None or len(trace.tracestate) <= 512
    trace = read_trace([GOOD], states)
    assert trace is not None
    assert len(trace.tracestate) <= 512
    assert read_trace([trace.traceparent], [trace.tracestate]) == trace
