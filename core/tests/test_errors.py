"""The tree of errors is the one that its docstring shows."""

from __future__ import annotations

import inspect

import pytest

from wigwag import errors
from wigwag.errors import InvalidMessage, InvalidTopic, PayloadTooLarge, Refused, SocketError, WigwagError


def drawn_tree() -> dict[str, str | None]:
    """Each name in the docstring's drawing, and its parent."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip(" │├└─").split(" ")[0]
        if not line.startswith("    ") or not name:
            continue
        depth = (len(line) - len(line.lstrip(" │├└─")) - 4) // 4
        del path[depth:]
        parents[name] = path[-1] if path else None
        path.append(name)
    return parents


def real_tree() -> dict[str, str | None]:
    classes = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, WigwagError)]
    return {c.__name__: None if c is WigwagError else c.__bases__[0].__name__ for c in classes}


def test_the_docstrings_tree_is_the_classes_tree() -> None:
    assert drawn_tree() == real_tree()


@pytest.mark.parametrize("name", real_tree())
def test_each_says_what_it_is(name: str) -> None:
    assert getattr(errors, name).__doc__


def test_bad_values_are_value_errors_too() -> None:
    for name, parent in (("InvalidTopic", "rule"), ("InvalidSocketId", None), ("InvalidMessage", None)):
        assert issubclass(getattr(errors, name), ValueError), parent


def test_they_carry_what_a_handler_needs() -> None:
    too_large = PayloadTooLarge("room", 11, 10)
    assert (too_large.topic, too_large.size_bytes, too_large.limit_bytes) == ("room", 11, 10)
    assert "'room'" in str(too_large)
    assert InvalidMessage("x").details == []
    details = [{"path": "$.a", "message": "no"}]
    invalid = InvalidMessage("x", details)
    details[0]["path"] = "changed later"
    assert invalid.details == [{"path": "$.a", "message": "no"}]
    assert SocketError("x").details is None
    assert SocketError("x", [{"path": "$"}]).details == [{"path": "$"}]
    assert str(errors.Forbidden()) == "Forbidden"
    assert errors.SettingsError("x", variable="WIGWAG_X").variable == "WIGWAG_X"
    assert errors.NotLive("room", "x").topic == "room"
    assert str(Refused()) == "all refused"
    assert str(Refused({"room": "no"})) == "refused: {'room': 'no'}"
    assert Refused({1: "no"}).reasons == {1: "no"}


def test_a_message_shows_no_more_than_a_line_of_what_was_wrong() -> None:
    assert len(str(InvalidTopic("x" * 10_000, "too long"))) < 150
    assert len(str(errors.InvalidSocketId("x" * 10_000))) < 150
