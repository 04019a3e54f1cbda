"""Who is owed a word, as a pure function of what was lost, who came, and who left."""

from __future__ import annotations

import pytest

from wigwag.provider.resync import Ledger


def told(ledger: Ledger[str]) -> dict[str, list[str]]:
    """Tell all who are owed a word."""
    result: dict[str, list[str]] = {}
    while ledger.is_due:
        socket, topics, is_word = ledger.pop()
        assert socket not in result
        if topics or is_word:
            result[socket] = topics
    ledger.rest()
    return result


def lose(ledger: Ledger[str], *topics: str, kept: bool = False) -> None:
    ledger.lose(topics, was_ready=True)
    ledger.begin(kept=kept)


def test_nothing_lost_nobody_told() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.begin(kept=False)
    ledger.back("t", ["a"])
    ledger.everybody(["a", "b"])
    assert not ledger.is_due
    assert ledger.owed_count == 0


def test_told_when_all_is_back() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t", "u")
    ledger.everybody(["a", "b", "c"])
    ledger.back("t", ["a", "b"])
    assert not ledger.is_due
    ledger.back("u", ["b"])
    assert ledger.owed_count == 3
    assert told(ledger) == {"a": ["t"], "b": ["t", "u"], "c": []}
    assert not ledger.is_due


def test_not_before_broadcasts_are_heard_again() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.back("t", ["a"])
    assert not ledger.is_due
    ledger.everybody(["a"])
    assert told(ledger) == {"a": ["t"]}


def test_newcomers_and_those_who_gave_up() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    for socket in ("new", "tired"):
        ledger.came("t", socket)
    ledger.gave_up("t", "tired")
    ledger.everybody([])
    ledger.back("t", ["old", "new", "tired"])
    assert told(ledger) == {"old": ["t"], "tired": ["t"]}


def test_who_gave_up_on_a_topic_that_never_was_live() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.came("t", "a")
    ledger.gave_up("t", "a")
    assert not ledger.is_due
    ledger.back("t", ["a", "b"])
    assert told(ledger) == {"a": ["t"]}


def test_re_joiners() -> None:
    for last in (False, True):
        ledger: Ledger[str] = Ledger()
        lose(ledger, "t")
        ledger.left("t", "a", last=last)
        ledger.came("t", "a")
        ledger.everybody([])
        ledger.back("t", ["a"])
        assert told(ledger) == {"a": ["t"]}


def test_a_newcomer_that_leaves_and_comes_back_is_a_newcomer() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.came("t", "new")
    ledger.left("t", "new", last=False)
    ledger.came("t", "new")
    ledger.everybody([])
    ledger.back("t", ["old", "new"])
    assert told(ledger) == {"old": ["t"]}


def test_who_gave_up_leaves_and_comes_back_in_an_outage() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.came("t", "a")
    ledger.gave_up("t", "a")
    lose(ledger, "u")
    ledger.left("t", "a", last=True)
    ledger.came("t", "a")
    ledger.everybody([])
    ledger.back("u", [])
    ledger.back("t", ["a"])
    assert told(ledger) == {"a": ["t"]}


def test_who_leaves_for_good() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.left("t", "a", last=True)
    ledger.forget("a")
    ledger.everybody(["b"])
    assert told(ledger) == {"b": []}
    lose(ledger, "t")
    ledger.everybody(["b"])
    ledger.back("t", ["b"])
    ledger.forget("b")
    assert told(ledger) == {}


def test_leaving_is_forgotten_when_the_outage_is_over() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.left("t", "a", last=True)
    ledger.everybody(["a"])
    assert told(ledger) == {"a": []}
    ledger.came("t", "a")
    ledger.back("t", ["a"])
    assert told(ledger) == {}


def test_two_losses_are_one_word() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t", "u")
    ledger.everybody(["a"])
    ledger.back("t", ["a"])
    ledger.came("u", "new")
    lose(ledger, "t")
    assert not ledger.is_due
    ledger.everybody(["a", "new"])
    ledger.back("t", ["a"])
    assert not ledger.is_due
    ledger.back("u", ["a", "new"])
    assert told(ledger) == {"a": ["t", "u"], "new": []}


def test_kept_is_not_lost() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.lose(["t"], was_ready=True)
    assert not ledger.is_due
    ledger.came("t", "new")
    ledger.came("t", "tired")
    ledger.gave_up("t", "tired")
    ledger.begin(kept=True)
    ledger.everybody(["old", "new"])
    ledger.back("t", ["old", "new", "tired"])
    assert told(ledger) == {"tired": ["t"]}
    assert ledger._newcomers == {}


def test_kept_does_not_forgive_what_was_lost_before() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t", "u")
    ledger.back("t", ["a"])
    ledger.lose(["t"], was_ready=True)
    ledger.begin(kept=True)
    ledger.everybody(["a", "b"])
    ledger.back("u", ["a"])
    assert not ledger.is_due
    ledger.back("t", ["a"])
    assert told(ledger) == {"a": ["t", "u"], "b": []}


def test_who_left_what_was_kept_comes_back_anew() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.lose(["t", "u"], was_ready=True)
    ledger.begin(kept=True)
    ledger.left("t", "a", last=False)
    ledger.back("t", ["b"])
    ledger.came("t", "a")  # it was unsubscribed meanwhile, and is not live
    ledger.back("t", ["a"])
    ledger.back("u", [])
    assert not ledger.is_due


def test_what_is_kept_and_refused_is_not_waited_for_and_told_only_if_it_is_lost_after_all() -> None:
    for is_lost in (False, True):
        ledger: Ledger[str] = Ledger()
        ledger.lose(["t"], was_ready=False)
        ledger.begin(kept=True)
        ledger.refused("t", ["a"])
        ledger.gap("u", ["b"], is_live=True)
        assert told(ledger) == {"b": ["u"]}
        ledger.lose([], was_ready=False)
        ledger.begin(kept=not is_lost)
        ledger.back("t", ["a"])
        assert told(ledger) == ({"a": ["t"]} if is_lost else {})


def test_a_gap_in_what_is_kept_and_refused_is_told_now_and_when_it_is_back() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.lose(["t"], was_ready=False)
    ledger.begin(kept=True)
    ledger.refused("t", ["a"])
    ledger.gap("t", ["a"], is_live=False)
    assert told(ledger) == {"a": ["t"]}
    ledger.back("t", ["a"])
    assert told(ledger) == {"a": ["t"]}


@pytest.mark.parametrize("comes_back", ["before the session", "in it"])
@pytest.mark.parametrize("kept", [True, False])
def test_the_last_socket_that_left_and_came_back_is_told_unless_all_was_kept(
    kept: bool, comes_back: str
) -> None:
    ledger: Ledger[str] = Ledger()
    ledger.lose(["t", "u"], was_ready=True)
    ledger.left("t", "a", last=True)
    if comes_back == "before the session":
        ledger.came("t", "a")
    ledger.begin(kept=kept)
    if comes_back == "in it":
        ledger.came("t", "a")
    ledger.everybody([])
    ledger.back("t", ["a"])
    ledger.back("u", [])
    assert told(ledger) == ({} if kept else {"a": ["t"]})


def test_a_topic_that_its_last_socket_left_is_not_waited_for() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.lose(["t"], was_ready=True)
    ledger.left("t", "a", last=True)
    ledger.begin(kept=True)
    ledger.gap("u", ["b"], is_live=True)
    assert told(ledger) == {"b": ["u"]}


def test_refused_is_told_at_once_and_when_it_is_back() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.everybody(["a"])
    ledger.refused("t", ["a"])
    assert told(ledger) == {"a": ["t"]}
    ledger.refused("t", ["a"])  # again, 30 s later
    assert told(ledger) == {}
    ledger.back("t", ["a"])
    assert told(ledger) == {"a": ["t"]}


def test_a_gap() -> None:
    ledger: Ledger[str] = Ledger()
    ledger.gap("t", ["a"], is_live=True)
    assert told(ledger) == {"a": ["t"]}
    ledger.everybody(["a", "b"], always=True)
    assert told(ledger) == {"a": [], "b": []}


def test_a_gap_in_an_outage_waits_for_its_end() -> None:
    ledger: Ledger[str] = Ledger()
    lose(ledger, "t")
    ledger.gap("u", ["a"], is_live=True)
    ledger.everybody(["a"], always=True)  # a socket that attached
    assert not ledger.is_due
    ledger.everybody(["a", "b"])
    ledger.back("t", ["b"])
    assert told(ledger) == {"a": ["u"], "b": ["t"]}
