"""The pages and the code agree: each error, event, path, parameter and limit is documented, with its default."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import BaseRoute, Mount, Route

import wigwag
from documents import ROOT
from wigwag import Limits, Sockets, create_provider, errors
from wigwag.local import Hub, LocalSettings
from wigwag.service.draining import Drain, DrainCollector
from wigwag.service.internal import create_internal_app
from wigwag.service.metrics import exposition, registry_of
from wigwag.service.refusals import Refusals
from wigwag.service.workers.metrics import supervisor_numbers
from wigwag.settings import ServiceSettings
from wigwag.uvicorn.http import Gate
from wigwag.wire import client as wire
from wigwag.wire.client import TOO_MANY_JOINS, TOO_MANY_MESSAGES, TOO_MANY_TOPICS, UNAVAILABLE

GUIDE = "\n".join(page.read_text() for page in sorted((ROOT / "docs/guide").glob("*.md")))
SERVING = (ROOT / "docs/guide/serving.md").read_text()
MONITORING = (ROOT / "docs/operations/monitoring.md").read_text()
GOALS = "What was to be reached"
PROTOCOL = (ROOT / "docs/wire-protocol.md").read_text()


def section(page: str, title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", page, flags=re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def table(text: str) -> dict[str, list[str]]:
    """The rows of a table by their first cell."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("|---")
    ]
    return {row[0]: row[1:] for row in rows}


def number(cell: str) -> float | None:
    """What a cell like ``65 536`` says; None where it says it in words."""
    digits = re.sub(r"[^0-9.]", "", cell)
    return float(digits) if digits else None


def test_each_error_of_a_reply_is_documented() -> None:
    known = {
        wire.INVALID_MESSAGE,
        wire.UNKNOWN_TYPE,
        wire.VALIDATION_FAILED,
        wire.FORBIDDEN,
        wire.INTERNAL_ERROR,
        TOO_MANY_MESSAGES,
        TOO_MANY_TOPICS,
        TOO_MANY_JOINS,
        UNAVAILABLE,
    }
    assert set(table(section(PROTOCOL, "Errors"))) == known | {"error", "any other text"}


def test_each_event_of_our_own_is_documented() -> None:
    sources = (ROOT / "core/src/wigwag").rglob("*.py")
    found = {
        name for path in sources for name in re.findall(r'encode_named\("(wigwag\.\w+)"', path.read_text())
    }
    assert found == set(table(section(PROTOCOL, "Events"))) - {"name"}
    assert found


def test_each_close_code_is_documented() -> None:
    codes = " ".join(table(section(PROTOCOL, "Close codes")))
    for code in (wire.NORMAL, wire.REFUSED, wire.TOO_BIG, wire.GOING_AWAY, wire.OVERLOADED):
        assert str(code) in codes


def paths(routes: list[BaseRoute], prefix: str = "") -> Iterator[str]:
    for route in routes:
        if isinstance(route, Mount):
            yield from paths(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            (method,) = (route.methods or set()) - {"HEAD"}
            yield f"{method} {prefix}{route.path}"


def test_each_path_of_the_internal_port_is_documented() -> None:
    requests = {row for row in table(section(PROTOCOL, "Over HTTP")) if "/" in row}
    assert requests == set(paths(create_internal_app([]).routes))


def test_the_numbers_of_the_start_page_are_those_that_were_measured() -> None:
    names = {
        "**wigwag**": "wigwag",
        "Bun's own WebSockets": "Bun",
        "`ws` on Node": "ws on Node",
        "Starlette by itself, a loop over its sockets": "Starlette",
        "python-socketio": "python-socketio",
        "Django Channels": "Channels",
    }
    performance = (ROOT / "docs/performance.md").read_text()
    measured = table(section(performance, "Fan-out").partition("Time from")[0])
    start = section((ROOT / "docs/index.md").read_text(), "Beside others")
    rows = re.findall(
        r"^\| (\S.*?) \| (\S+|not measured) \| (\S+|not measured) \|$", start, flags=re.MULTILINE
    )
    assert [row[0] for row in rows] == list(names)
    for name, *shown in rows:
        for cell, found in zip(shown, measured[names[name]], strict=False):
            if cell == "not measured":
                assert found == "\N{EN DASH}"
            else:
                assert float(cell) == pytest.approx(float(found.split()[0]), rel=0.05)
    worse = {what.partition(",")[0]: cells[0] for what, cells in table(section(performance, GOALS)).items()}
    assert "an echo costs twice" in start
    assert float(worse["raw echo"].strip("\N{MULTIPLICATION SIGN}")) == pytest.approx(2, rel=0.1)
    assert "a handshake eleven times" in start
    assert float(worse["handshake"].strip("\N{MULTIPLICATION SIGN}")) == pytest.approx(11, rel=0.1)


def test_each_metric_is_documented() -> None:
    registry = registry_of([create_provider("memory")], Refusals(), 9)
    registry.register(DrainCollector(Drain(ServiceSettings(), Gate())))
    page, _ = exposition(registry, "")
    found = {
        line.split()[2]: line.split()[3]
        for line in page.decode().splitlines()
        if line[:14] == "# TYPE wigwag_"
    }
    rows = table(section(MONITORING, "Metrics"))
    assert found == {name: row[0] for name, row in rows.items() if name != "metric"}
    own = set()
    for metric in supervisor_numbers(2, 0, Hub(LocalSettings(path=Path("hub")))):
        own |= {sample.name for sample in metric.samples}
    assert own == set(re.findall(r"`(wigwag_\w+)`", section(SERVING, "Several processes")))


def test_the_limits_and_their_defaults_are_documented() -> None:
    rows = table((ROOT / "docs/guide/limits.md").read_text())
    defaults = vars(Limits())
    assert {name for name in rows if re.fullmatch("[a-z_]+", name) and name != "slow"} == set(defaults) - {
        "slow"
    }
    for name, default in defaults.items():
        if name != "slow":
            assert number(rows[name][0]) == default, name


def test_the_limits_that_clients_meet_are_documented() -> None:
    rows = list(table(section(PROTOCOL, "Limits")).values())[1:]
    limits, service = Limits(), ServiceSettings()
    cells = [[number(cell) for cell in row] for row in rows[:8]]
    assert cells[0] == [limits.message_bytes, service.message_bytes]
    assert cells[1] == [limits.messages_per_s, service.messages_per_s]
    assert cells[2][1] == service.topics_per_socket + 2 * service.messages_per_s
    assert cells[3] == [limits.topics, service.topics_per_socket]
    assert cells[4] == [limits.joins_per_s, service.joins_per_s]
    assert cells[5][1] == max(service.topics_per_socket, 2 * service.joins_per_s)
    assert cells[6] == [limits.sockets_per_user, service.connections_per_user]
    assert cells[7] == [limits.violations_per_minute] * 2
    assert rows[8][0] == f"{limits.send_messages} messages, {limits.send_bytes // 2**20} MiB"


@pytest.mark.parametrize("name", [name for name in inspect.signature(Sockets).parameters if name != "self"])
def test_each_parameter_of_sockets_is_in_the_guide(name: str) -> None:
    assert re.search(rf"\b{name}=|`{name}`|Sockets\({name}\b", GUIDE)


@pytest.mark.parametrize("name", wigwag.__all__)
def test_each_public_name_is_in_the_guide(name: str) -> None:
    assert re.search(rf"\b{name}\b", GUIDE)


def test_the_errors_that_the_guide_names_exist() -> None:
    for name in {
        *re.findall(r"`([A-Z]\w+)`", section((ROOT / "docs/guide/delivery.md").read_text(), "Errors"))
    }:
        assert issubclass(getattr(errors, name), errors.WigwagError)
