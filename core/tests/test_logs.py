"""Log lines: one JSON object each, with node, socket and trace, whatever is logged and however wrongly."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import queue
from collections.abc import Generator
from typing import Any

import pytest

from wigwag.logs import ConsoleFormatter, ContextFilter, JsonFormatter, current_node, current_socket
from wigwag.settings import Secret
from wigwag.tracing import in_trace
from wigwag.wire.trace import TraceContext

TRACE = TraceContext("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
SOCKET = "1a2b3c4d-0000-4000-8000-000000000000"


class Log:
    """A logger of its own, and what it has written."""

    def __init__(self, formatter: logging.Formatter, **options: Any) -> None:
        self._stream = io.StringIO()
        self.handler = logging.StreamHandler(self._stream)
        self.handler.setFormatter(formatter)
        self.handler.addFilter(ContextFilter(**options))
        self.logger = logging.Logger("app.orders")  # noqa: LOG001 - in no tree
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self._stream.getvalue().split("\n")[:-1]

    @property
    def last(self) -> dict[str, Any]:
        line: dict[str, Any] = json.loads(self.lines[-1])
        return line


@pytest.fixture
def log() -> Log:
    return Log(JsonFormatter())


@pytest.fixture
def in_socket() -> Generator[None]:
    token = current_socket.set(SOCKET)
    yield
    current_socket.reset(token)


def test_a_line_is_an_object_with_a_time_in_utc(log: Log) -> None:
    record = log.logger.makeRecord("app.orders", logging.WARNING, "", 0, "took %d s", (3,), None)
    record.created = 1_795_856_786.25
    log.logger.handle(record)
    assert log.last == {
        "timestamp": "2026-11-28T09:06:26.250000Z",
        "level": "warning",
        "logger": "app.orders",
        "message": "took 3 s",
    }


@pytest.mark.usefixtures("in_socket")
def test_it_says_whose_work_it_is(log: Log) -> None:
    with in_trace(TRACE):
        log.logger.warning("x")
    # A socket's id begins with the tag of its node.
    assert log.last["node"] == "1a2b3c4d"
    assert log.last["socket"] == SOCKET
    assert log.last["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_node_says_so_of_its_own_work() -> None:
    log = Log(JsonFormatter(), node=lambda: "ffffffff")
    token = current_node.set("aaaaaaaa")
    log.logger.warning("x")
    current_node.reset(token)
    assert log.last["node"] == "aaaaaaaa"
    log.logger.warning("x")
    assert log.last["node"] == "ffffffff"


def test_an_exception_is_one_field(log: Log) -> None:
    try:
        raise ValueError("with\na line break")
    except ValueError:
        log.logger.exception("failed")
    assert len(log.lines) == 1
    assert log.last["exception"].startswith("Traceback (most recent call last):\n")
    assert log.last["exception"].endswith("ValueError: with\na line break")
    log.logger.warning("here", stack_info=True)
    assert len(log.lines) == 2
    assert "test_an_exception_is_one_field" in log.last["stack"]


def test_what_was_given_as_extra_is_there_and_overwrites_nothing(log: Log) -> None:
    log.logger.warning(
        "x", extra={"order": 7, "items": ["a", {"b": None}], "level": "mine", "node": "theirs"}
    )
    assert (log.last["order"], log.last["items"]) == (7, ["a", {"b": None}])
    assert (log.last["level"], log.last["level_"]) == ("warning", "mine")
    assert log.last["node"] == "theirs"  # as ContextFilter leaves what is there
    fields = Log(JsonFormatter({"worker": 2}))
    fields.logger.warning("x", extra={"worker": "mine"})
    assert (fields.last["worker"], fields.last["worker_"]) == (2, "mine")


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (object, "<class 'object'>"),
        (Secret("hunter2"), "***"),
        (Unprintable(), "<Unprintable>"),
        ({1: "a", (2, 3): "b"}, None),
        ("\ud800", "\\ud800"),
        (float("nan"), None),
        (b"\xff", None),
        (2**80, None),
    ],
)
def test_whatever_is_logged_is_a_line(log: Log, value: object, said: str | None) -> None:
    log.logger.warning("x", extra={"value": value})
    assert len(log.lines) == 1
    if said is not None:
        assert log.last["value"] == said
    assert "hunter2" not in log.lines[0]


def test_whoever_logs_wrongly_is_still_read(log: Log) -> None:
    log.logger.warning("%d of %d", "x")  # noqa: PLE1206 - that is the point
    assert log.last["message"] == "%d of %d ('x',)"
    log.logger.warning("line\nbreaks \u2028 and \x1b[31mcolours")
    assert len(log.lines) == 2


@pytest.mark.usefixtures("in_socket")
def test_for_people_it_stands_behind_the_message_unless_it_is_said() -> None:
    log = Log(ConsoleFormatter("%(levelname)s %(name)s: %(message)s"))
    log.logger.warning("x")
    log.logger.warning("socket %s failed", SOCKET)
    try:
        raise ValueError("bad")
    except ValueError:
        log.logger.exception("y")
    assert log.lines[0] == f"WARNING app.orders: x [node=1a2b3c4d socket={SOCKET}]"
    assert log.lines[1] == f"WARNING app.orders: socket {SOCKET} failed"
    assert log.lines[2:4] == [
        f"ERROR app.orders: y [node=1a2b3c4d socket={SOCKET}]",
        "Traceback (most recent call last):",
    ]


def test_for_people_no_stranger_writes_a_line_or_speaks_to_the_terminal() -> None:
    log = Log(ConsoleFormatter("%(levelname)s %(message)s"))
    log.logger.warning("named \t%s", "bob\r\nERROR all is lost\x1b[2J\x9b1m \u00e9")
    assert log.lines == ["WARNING named \tbob\\x0d", "    ERROR all is lost\\x1b[2J\\x9b1m \u00e9"]


@pytest.mark.usefixtures("in_socket")
def test_through_a_queue_the_context_is_that_of_who_logged() -> None:
    records: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(records)
    handler.addFilter(ContextFilter())
    logger = logging.Logger("app")  # noqa: LOG001 - as above
    logger.addHandler(handler)
    logger.warning("x")
    current_socket.set(None)
    line = json.loads(JsonFormatter().format(records.get()))
    assert line["socket"] == SOCKET


def test_a_format_of_ones_own_may_have_them() -> None:
    log = Log(logging.Formatter("[%(node)s|%(socket)s|%(trace_id)s] %(message)s"))
    log.logger.warning("x")
    assert log.lines == ["[||] x"]
