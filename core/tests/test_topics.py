"""What a topic may be called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.errors import InvalidTopic, WigwagError
from wigwag.topics import check_topic, topic

GOOD = ["a", "A", "0", "_", "_a", "a__b", ":", ".", "-", "room:7", "x" * 256, "a.b-c:d_e"]
BAD = {
    "": "at least one character",
    "x" * 257: "at most 256 characters, this one has 257",
    "a b": "made of the characters",
    "a/b": "made of the characters",
    "a*": "made of the characters",
    "a>": "made of the characters",
    "a\n": "made of the characters",
    "\n": "made of the characters",
    "ä": "made of the characters",
    "٣": "made of the characters",
    "a\0": "made of the characters",
    "\ud800": "made of the characters",
    "__": "reserved",
    "__a": "reserved",
    "__broadcast__": "reserved",
    "__node__:0123abcd": "reserved",
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name(name: str) -> None:
    check_topic(name)


@pytest.mark.parametrize(("name", "rule"), BAD.items(), ids=map(ascii, BAD))
def test_a_bad_name_is_refused_by_name_of_the_rule(name: str, rule: str) -> None:
    with pytest.raises(InvalidTopic, match=re.escape(rule)) as got:
        check_topic(name)
    assert got.value.topic == name
    assert isinstance(got.value, ValueError | WigwagError)
    assert len(str(got.value)) < 300


@pytest.mark.parametrize("thing", [None, 1, b"room", ["room"], object()])
def test_what_is_no_string_is_no_topic(thing: object) -> None:
    with pytest.raises(InvalidTopic, match="a topic is a string"):
        check_topic(thing)  # type: ignore[arg-type]


@given(st.text(max_size=300))
def test_the_rule_is_the_documented_one(name: str) -> None:
    is_good = re.fullmatch(r"[A-Za-z0-9_:.-]{1,256}", name) and not name.startswith("__")
    try:
        check_topic(name)
    except InvalidTopic:
        assert not is_good
    else:
        assert is_good


def test_parts_are_joined() -> None:
    assert topic("incidents", 7, "project-a") == "incidents:7:project-a"
    assert topic("room") == "room"


@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        (("room", "a:b"), "holds a colon"),
        (("room", ""), "a part of it is empty"),
        ((), "at least one character"),
        (("room", "a b"), "made of the characters"),
        (("__node__", "x"), "reserved"),
        (("x" * 200, "y" * 200), "at most 256"),
    ],
)
def test_a_part_that_would_name_another_topic_is_refused(parts: tuple[str, ...], rule: str) -> None:
    with pytest.raises(InvalidTopic, match=rule):
        topic(*parts)
