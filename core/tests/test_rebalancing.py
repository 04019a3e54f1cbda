"""When a node sends sockets away so that others have as many: decided by what it has heard, by a test's clock."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wigwag.provider.commands import Load
from wigwag.service.rebalancing import Fleet, Shedding

INTERVAL_S = 10.0


class Nodes:
    """A fleet as each of its nodes sees it, and a balancer that gives who comes back to whom it likes."""

    def __init__(self, *sockets: int, per_s: float = 10.0) -> None:
        self.now = 0.0
        self.per_s = per_s
        self.sockets: dict[str, list[str]] = {}
        self.silent: set[str] = set()
        self.leaving: set[str] = set()
        self.fleets: dict[str, Fleet] = {}
        self.sheddings: dict[str, Shedding[str]] = {}
        #: How often each client was sent away, and how many each interval.
        self.sent_away: dict[str, int] = {}
        self.history: list[int] = []
        for number, count in enumerate(sockets):
            self.start(f"{number}", count)

    def start(self, node: str, count: int = 0) -> None:
        self.sockets[node] = [f"{node}/{number}" for number in range(count)]
        self.fleets[node] = Fleet(node, INTERVAL_S)
        self.sheddings[node] = Shedding(INTERVAL_S, self.per_s)

    def kill(self, node: str) -> None:
        del self.sockets[node], self.fleets[node], self.sheddings[node]

    @property
    def counts(self) -> list[int]:
        return [len(sockets) for sockets in self.sockets.values()]

    def interval(self, balance: Callable[[Sequence[str]], str] | None = None) -> None:
        """All say how many they have, then each does what is due, and who was sent away comes back."""
        for node, sockets in self.sockets.items():
            if node not in self.silent:
                for fleet in self.fleets.values():
                    fleet.heard(Load(node, len(sockets), node in self.leaving), self.now)
        gone: list[str] = []
        for node, shedding in self.sheddings.items():
            mine = self.sockets[node]
            excess, tolerated = self.fleets[node].excess(self.now)
            chosen = shedding.next(excess, tolerated, self.now, lambda mine=mine: list(mine))  # type: ignore[misc]
            self.sockets[node] = [each for each in mine if each not in set(chosen)]
            gone += chosen
        for client in gone:
            name = client.partition(" ")[0]
            self.sent_away[name] = self.sent_away.get(name, 0) + 1
            nodes = list(self.sockets)
            node = balance(nodes) if balance else min(nodes, key=lambda each: len(self.sockets[each]))
            self.sockets[node].append(f"{name} {self.now}")  # another socket of that client's
        self.history.append(len(gone))
        self.now += INTERVAL_S

    def run(self, intervals: int, balance: Callable[[Sequence[str]], str] | None = None) -> None:
        for _ in range(intervals):
            self.interval(balance)


def round_robin() -> Callable[[Sequence[str]], str]:
    turn = iter(range(1_000_000))
    return lambda nodes: nodes[next(turn) % len(nodes)]


def test_after_a_new_node_the_others_send_away_until_all_have_as_many() -> None:
    nodes = Nodes(600, 600, 0)
    nodes.run(30)
    assert nodes.counts == [400, 400, 400]
    assert max(nodes.history) <= 200  # 10 a second, of each
    assert max(nodes.sent_away.values()) == 1
    assert not any(nodes.history[:5])  # it is waited until the fleet is stable, and that it stays so
    nodes.run(50)
    assert not any(nodes.history[30:])


def test_where_the_balancer_takes_turns_it_comes_to_the_same_within_the_tolerance() -> None:
    nodes = Nodes(900, 900, 0)
    nodes.run(200, round_robin())
    assert max(nodes.counts) <= 660
    assert sum(nodes.counts) == 1800
    assert not any(nodes.history[100:])


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=5), st.floats(0.5, 50))
def test_whatever_there_was_it_becomes_even_and_rests(counts: list[int], per_s: float) -> None:
    nodes = Nodes(*counts, per_s=per_s)
    limit = 40 + int(max(counts) / per_s / INTERVAL_S) * 3
    nodes.run(limit)
    mean = sum(counts) / len(counts)
    assert sum(nodes.counts) == sum(counts)
    assert max(nodes.counts) <= mean + max(6, mean * 0.1 + 2)
    assert max(nodes.sent_away.values(), default=0) <= 1
    nodes.run(20)
    assert not any(nodes.history[limit:])


@pytest.mark.parametrize("counts", [(1_000, 900), (10, 0), (100,), (0, 0)])
def test_within_the_tolerance_nobody_is_sent_away(counts: tuple[int, ...]) -> None:
    nodes = Nodes(*counts)
    nodes.run(50)
    assert not nodes.sent_away


def test_while_a_node_is_silent_nobody_is_sent_away_until_it_is_known_to_be_gone() -> None:
    nodes = Nodes(600, 0, 0)
    nodes.run(4)
    nodes.silent.add("1")
    nodes.run(8)
    assert not nodes.sent_away
    nodes.kill("1")
    nodes.run(30)
    assert nodes.counts == [300, 300]


def test_a_silence_while_sockets_are_sent_away_ends_it() -> None:
    nodes = Nodes(2000, 0)
    while not nodes.sent_away:
        nodes.interval()
    nodes.silent.add("1")
    nodes.run(3)
    before = len(nodes.sent_away)
    nodes.run(20)
    assert len(nodes.sent_away) == before


def test_while_a_node_leaves_and_for_a_while_after_it_came_nobody_is_sent_away() -> None:
    nodes = Nodes(600, 300, 0)
    nodes.leaving.add("1")
    nodes.run(20)
    assert not nodes.sent_away
    nodes.leaving.clear()
    nodes.run(2)
    assert not nodes.sent_away


def test_a_node_that_does_not_hear_itself_sends_nobody_away() -> None:
    fleet = Fleet("me", INTERVAL_S)
    for at in range(10):
        fleet.heard(Load("other", 0), at * INTERVAL_S)
    assert fleet.excess(95.0) == (0, 0)


def test_who_came_after_it_had_too_many_stays() -> None:
    shedding: Shedding[str] = Shedding(INTERVAL_S, 10)
    here = [f"old {number}" for number in range(10)]
    assert shedding.next(10, 5, 0.0, lambda: here) == []
    here += [f"new {number}" for number in range(100)]
    gone = [each for at in (10.0, 20.0, 30.0) for each in shedding.next(50, 5, at, lambda: here)]
    assert sorted(gone) == [f"old {number}" for number in range(10)]


def test_once_begun_it_goes_on_to_the_mean() -> None:
    shedding: Shedding[int] = Shedding(INTERVAL_S, 1000)
    gone = [shedding.next(6, 5, at * INTERVAL_S, lambda: range(100)) for at in range(4)]
    assert [len(each) for each in gone] == [0, 0, 0, 6]
    assert len(shedding.next(1, 5, 50.0, lambda: range(100))) == 1
    assert shedding.next(0, 5, 60.0, lambda: range(100)) == []


def test_after_one_time_there_is_a_rest() -> None:
    shedding: Shedding[int] = Shedding(INTERVAL_S, 1000)
    times = [
        at for at in range(60) if shedding.next(10 if at % 6 else 0, 5, at * INTERVAL_S, lambda: range(100))
    ]
    assert times[0] == 4
    assert all(after - before == 1 or after - before >= 6 for before, after in itertools.pairwise(times))


def test_where_all_is_well_sockets_are_not_even_looked_at() -> None:
    def look() -> Sequence[str]:
        raise AssertionError

    shedding: Shedding[str] = Shedding(INTERVAL_S, 10)
    assert shedding.next(0, 5, 0.0, look) == []
    assert shedding.next(5, 5, 10.0, look) == []
