"""What waits for a slow socket, exactly: order, notice, counts, bounds."""

from __future__ import annotations

import pytest

from sockets.queued import Policy, event, push, queue, reply, shown, taken
from wigwag.frames import Frame


@pytest.mark.parametrize("slow", ["close", "drop", "latest"])
def test_within_its_limits_it_keeps_everything_in_order(slow: Policy) -> None:
    q = queue(slow)
    assert push(q, event("a"), reply("b"), event("c")) == [(True, 0)] * 3
    assert (len(q), q.bytes, q.is_full) == (3, 3, False)
    assert taken(q) == ["a", "b", "c"]
    assert (len(q), q.bytes, q.is_full) == (0, 0, False)
    assert not q.was_drained()


def test_close_gives_up_at_one_too_many() -> None:
    q = queue("close")
    push(q, event("a"), event("b"), event("c"))
    assert q.push(event("d")) == (False, 0)
    assert q.push(reply("d")) == (False, 0)
    assert not q.is_full


def test_close_gives_up_at_one_byte_too_many() -> None:
    q = queue("close", bytes=4)
    assert push(q, event("12"), event("34"), event("5")) == [(True, 0), (True, 0), (False, 0)]


@pytest.mark.parametrize("slow", ["close", "drop", "latest"])
def test_a_frame_larger_than_the_limit_goes_through_alone(slow: Policy) -> None:
    q = queue(slow, bytes=4)
    assert q.push(event("larger")) == (True, 0)
    assert q.push(event("x")) != (True, 0) or slow == "latest"
    assert q.pop() is not None


def test_drop_drops_what_is_published_until_all_that_waited_is_taken() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"))
    assert push(q, event("d"), event("e", "u")) == [(True, 1), (True, 1)]
    assert q.is_full
    assert [shown(frame) for frame in (q.pop(), q.pop()) if frame] == ["a", "b"]
    assert q.push(event("f")) == (True, 1)  # there is room, but none is made of what came before
    assert (taken(q), q.is_full) == (["c", 3], False)
    assert q.push(event("g")) == (True, 0)
    assert taken(q) == ["g"]


def test_what_came_while_full_follows_the_notice_only_after_it() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"), event("lost"))
    for text in "abc":
        frame = q.pop()
        assert frame is not None
        assert frame.text == text
    assert q.push(event("lost too")) == (True, 1)  # nobody has noticed yet that it is empty
    assert taken(q) == [2]


def test_latest_keeps_the_newest_of_each_topic_in_the_order_of_the_newest() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"))
    assert push(q, event("t1", "t"), event("u1", "u"), event("t2", "t"), event("v1", "v")) == [
        (True, 0),
        (True, 0),
        (True, 1),
        (True, 0),
    ]
    assert (len(q), q.bytes) == (6, 9)
    assert taken(q) == ["a", "b", "c", 1, "u1", "t2", "v1"]
    assert (len(q), q.bytes) == (0, 0)


def test_latest_says_nothing_where_nothing_was_lost() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"), event("d"))
    assert taken(q) == ["a", "b", "c", "d"]
    assert q.was_drained()


def test_latest_keeps_the_newest_topics_where_the_newest_of_each_are_too_much() -> None:
    q = queue("latest", bytes=10)
    push(q, event("a"), event("b"), event("c"))
    assert q.push(event("12345", "t")) == (True, 0)
    assert q.push(event("123456", "t")) == (True, 1)
    assert q.push(event("12345", "u")) == (True, 1)
    assert q.push(event("x" * 11, "v")) == (True, 1)  # larger than the limit, but alone
    assert taken(q) == ["a", "b", "c", 3, "x" * 11]


@pytest.mark.parametrize("slow", ["drop", "latest"])
def test_replies_are_never_dropped_but_closed_at_twice_the_limit(slow: Policy) -> None:
    q = queue(slow)
    push(q, event("a"), event("b"), event("c"), event("d"), event("e"))
    assert push(q, reply("1"), reply("2"), reply("3")) == [(True, 0)] * 3
    assert q.push(reply("4")) == (False, 0)
    kept = ["a", "b", "c", "1", "2", "3"]
    assert taken(q) == ([*kept, 2] if slow == "drop" else [*kept, 1, "e"])


@pytest.mark.parametrize("slow", ["drop", "latest"])
def test_replies_are_closed_at_twice_the_bytes(slow: Policy) -> None:
    q = queue(slow, bytes=5)
    push(q, event("12345"), event("x"))
    assert push(q, reply("67890"), reply("1")) == [(True, 0), (False, 0)]


def test_pongs_go_first_and_are_bounded() -> None:
    q = queue("close")
    push(q, event("a"), event("b"), event("c"))
    for _ in range(1000):
        q.push_pong()
    assert len(q) == 3 + 64
    assert taken(q) == ["3"] * 64 + ["a", "b", "c"]


def test_pongs_take_no_room_from_messages() -> None:
    q = queue("close", messages=1, bytes=1)
    q.push_pong()
    assert q.push(event("a")) == (True, 0)
    assert q.bytes == 1


def test_it_is_drained_once_when_all_is_taken_that_waited_in_a_full_one() -> None:
    q = queue("drop")
    push(q, event("a"), event("b"), event("c"), event("d"))
    for expected in ("a", "b", "c", 1):
        assert not q.was_drained()
        frame = q.pop()
        assert frame is not None
        assert shown(frame) == expected
    assert q.was_drained()
    assert not q.was_drained()
    q.push(event("a"))
    assert taken(q) == ["a"]
    assert not q.was_drained()


def test_it_is_not_drained_while_what_was_kept_still_waits() -> None:
    q = queue("latest", messages=1)
    push(q, event("a"), event("t1", "t"), event("u1", "u"), event("t2", "t"))
    for expected in ("a", 1, "u1", "t2"):
        assert not q.was_drained()
        frame = q.pop()
        assert frame is not None
        assert shown(frame) == expected
    assert q.was_drained()


def test_latest_keeps_what_just_fits() -> None:
    q = queue("latest", messages=1, bytes=10)
    push(q, event("a"))
    assert push(q, event("12345", "t"), event("12345", "u")) == [(True, 0), (True, 0)]
    assert q.push(event("1", "v")) == (True, 1)


@pytest.mark.parametrize("frames", [[event("x")] * 5, [event("x" * 50)], [event("x" * 30), reply("x" * 20)]])
def test_it_is_backed_up_from_half_of_what_may_wait(frames: list[Frame]) -> None:
    q = queue("drop", messages=10, bytes=100)
    push(q, *frames)
    was = [q.is_backed_up]
    q.pop()
    was.append(q.is_backed_up)
    push(q, *[event("x" * 8)] * (4 - len(q)))
    assert [*was, q.is_backed_up] == [True, False, False]


def test_clear_forgets_all() -> None:
    q = queue("latest")
    push(q, event("a"), event("b"), event("c"), event("d"))
    q.push_pong()
    q.clear()
    assert (len(q), q.bytes) == (0, 0)
