"""The accounting itself: what is told, what is silent, and that a silent loss is not overlooked."""

from __future__ import annotations

import math

from rolling.account import Fate, Listener, Message, Stay, account


def taken(begun_s: float, topic: str = "a") -> Message:
    """Published from this moment on, and taken half a second later."""
    return Message(topic, begun_s, begun_s + 0.5, Fate.TAKEN)


def stay(*got: int, joined_s: float = 0.0, ended_s: float = math.inf) -> Stay:
    return Stay({"a": joined_s}, dict.fromkeys(got, 0.0), ended_s=ended_s)


FIVE = [taken(second) for second in range(1, 6)]


def test_what_all_received_is_received() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, 1, 2, 3, 4)]), Listener(("b",), [stay()])])
    assert (found.taken, found.due, found.received, found.told, found.silent) == (5, 5, 5, 0, [])


def test_what_a_connected_client_lacks_is_a_silent_loss() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, 1, 2, 3)])])
    assert found.silent == [(4, 0)]
    found = account(FIVE, [Listener(("a",), [stay(0, 2, 3, 4)])])
    assert found.silent == [(1, 0)]


def test_what_was_published_while_it_was_away_is_told() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, ended_s=1.9), stay(4, joined_s=4.5)])])
    assert (found.received, found.away, found.silent) == (2, 3, [])


def test_what_was_on_its_way_when_its_connection_ended_is_told() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, ended_s=2.6), stay(2, 3, 4, joined_s=2.9)])])
    assert (found.at_the_end, found.silent) == (1, [])


def test_what_something_later_has_overtaken_is_silent_even_if_the_connection_ended_then() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, 2, ended_s=3.7), stay(3, 4, joined_s=3.9)])])
    assert found.silent == [(1, 0)]


def test_what_the_server_told_of_is_told_and_what_came_after_is_not() -> None:
    told = stay(0, 4)
    told.told.append((3.2, frozenset({"a"})))
    found = account(FIVE, [Listener(("a",), [told])])
    assert (found.resync, found.silent) == (2, [(3, 0)])


def test_a_topic_that_was_not_told_of_is_not_told() -> None:
    told = stay(0, 2, 3, 4)
    told.told.append((3.2, frozenset({"b"})))
    assert account(FIVE, [Listener(("a",), [told])]).silent == [(1, 0)]


def test_dropped_is_told_of_all_topics() -> None:
    told = stay(0, 2, 3, 4)
    told.told.append((3.2, None))
    assert account(FIVE, [Listener(("a",), [told])]).resync == 1


def test_what_was_in_doubt_or_not_sent_is_due_to_nobody() -> None:
    messages = [Message("a", 1.0, fate=Fate.DOUBT), Message("a", 2.0)]
    found = account(messages, [Listener(("a",), [stay()])])
    assert (found.doubt, found.due, found.silent) == (1, 0, [])


def test_what_came_on_two_connections_came_twice() -> None:
    found = account(FIVE[:2], [Listener(("a",), [stay(0, 1, ended_s=3.0), stay(1, joined_s=4.0)])])
    assert (found.twice, found.received) == (1, 2)


def test_what_was_published_after_it_left_for_good_is_not_due_to_it() -> None:
    found = account(FIVE, [Listener(("a",), [stay(0, ended_s=2.2)], left_s=2.2)])
    assert (found.due, found.received, found.away, found.silent) == (2, 1, 1, [])
