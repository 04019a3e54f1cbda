"""Which local sockets want which topics, against a dictionary of sets; and its cost."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wigwag.interest import Interest


class Socket:
    """Hashable by identity."""


SOCKETS = [Socket() for _ in range(4)]
TOPICS = ["a", "b", "c", "d"]
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "remove"]), st.sampled_from(TOPICS), st.integers(0, 3)),
    max_size=60,
)


@given(STEPS)
def test_it_is_a_dictionary_of_sets(steps: list[tuple[str, str, int]]) -> None:
    interest: Interest[Socket] = Interest()
    model: dict[str, dict[Socket, None]] = {topic: {} for topic in TOPICS}
    for name, topic, index in steps:
        socket, sockets = SOCKETS[index], model[topic]
        if name == "add":
            expected = None if socket in sockets else not sockets
            assert interest.add(topic, socket) is expected
            sockets[socket] = None
        else:
            expected = None if socket not in sockets else len(sockets) == 1
            assert interest.remove(topic, socket) is expected
            sockets.pop(socket, None)
        agrees(interest, model)


def agrees(interest: Interest[Socket], model: dict[str, dict[Socket, None]]) -> None:
    wanted = {topic for topic, sockets in model.items() if sockets}
    assert set(interest) == set(interest.topics()) == wanted
    assert len(interest) == len(wanted)
    assert interest.subscriptions == sum(map(len, model.values()))
    for topic, sockets in model.items():
        assert list(interest.sockets(topic)) == list(sockets)  # in the order in which they came
        assert (topic in interest) is bool(sockets)
    for socket in SOCKETS:
        topics = {topic for topic, sockets in model.items() if socket in sockets}
        assert set(interest.topics_of(socket)) == topics
        assert len(interest.topics_of(socket)) == len(topics)
        assert [interest.wants(socket, topic) for topic in TOPICS] == [t in topics for t in TOPICS]


def test_an_empty_one_knows_nothing() -> None:
    interest: Interest[Socket] = Interest()
    assert not interest.sockets("a")
    assert not interest.topics_of(SOCKETS[0])
    assert list(interest) == []
    assert interest.remove("a", SOCKETS[0]) is None
    assert not interest.wants(SOCKETS[0], "a")
    assert "a" not in interest


def test_nothing_is_kept_of_what_has_left() -> None:
    interest: Interest[Socket] = Interest()
    for socket in SOCKETS:
        for topic in TOPICS:
            interest.add(topic, socket)
    for socket in SOCKETS:
        for topic in list(interest.topics_of(socket)):
            interest.remove(topic, socket)
    assert (interest._sockets, interest._topics, interest.subscriptions) == ({}, {}, 0)


def test_what_stands_alone_is_kept_bare() -> None:
    """The memory of a subscription: 64 bytes against 343."""
    interest: Interest[Socket] = Interest()
    interest.add("a", SOCKETS[0])
    assert interest._sockets["a"] is SOCKETS[0]
    interest.add("a", SOCKETS[1])
    interest.remove("a", SOCKETS[0])
    assert interest._sockets["a"] is SOCKETS[1]


def calls_of(act: Callable[[], object]) -> int:
    """How many calls, of Python or C, it takes: what it costs without a clock."""
    calls = 0

    def count(_: FrameType, event: str, __: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("axis", ["topics", "sockets", "topics of the socket", "sockets of the topic"])
def test_each_call_costs_the_same_however_much_there_is(axis: str) -> None:
    costs = []
    for size in (10, 100_000):
        interest: Interest[Socket] = Interest()
        first, second = Socket(), Socket()
        for number in range(size):
            topic = "t" if axis == "sockets of the topic" else f"t:{number}"
            socket = first if axis == "topics of the socket" else Socket()
            interest.add("t:0" if axis == "sockets" and number else topic, socket)
        acts: list[Callable[[], object]] = [
            lambda i=interest, s=second: i.add("t:1", s),  # type: ignore[misc]
            lambda i=interest, s=second: i.add("t", s),  # type: ignore[misc]
            lambda i=interest, s=second: i.wants(s, "t"),  # type: ignore[misc]
            lambda i=interest: len(i.sockets("t")),  # type: ignore[misc]
            lambda i=interest, s=first: len(i.topics_of(s)),  # type: ignore[misc]
            lambda i=interest, s=second: i.remove("t", s),  # type: ignore[misc]
            lambda i=interest, s=second: i.remove("t:1", s),  # type: ignore[misc]
        ]
        costs.append([calls_of(act) for act in acts])
    assert costs[0] == costs[1]
