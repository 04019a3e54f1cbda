"""What to ask of the broker next, as a pure function of what was wanted and what came of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wigwag.provider.channels import Channels, Join, Leave, Wait


class Desk:
    """Channels, with the wishes that they ask about."""

    def __init__(self, **settings: float) -> None:
        self.wanted: dict[str, None] = {}
        self.channels = Channels(self.wanted.__contains__, linger_s=2.0, **settings)  # type: ignore[arg-type]

    def want(self, *topics: str) -> None:
        for topic in topics:
            self.wanted[topic] = None
            self.channels.want(topic)

    def unwant(self, topic: str, now: float = 0.0) -> None:
        del self.wanted[topic]
        self.channels.unwant(topic, now)

    def live(self, *topics: str, now: float = 0.0) -> None:
        self.want(*topics)
        assert self.channels.next(now) == Join(list(topics))
        self.channels.joined(topics, now)


def test_nothing_to_do() -> None:
    assert Desk().channels.next(0) == Wait(None)


def test_what_is_wanted_is_joined_once() -> None:
    desk = Desk()
    desk.want("a", "b")
    assert desk.channels.next(0) == Join(["a", "b"])
    assert not desk.channels.is_live("a")
    assert desk.channels.next(0) == Wait(None)
    assert desk.channels.joined(["a", "b"], 0) == ["a", "b"]
    assert desk.channels.is_live("a")
    assert desk.channels.live_count == 2
    assert desk.channels.next(0) == Wait(None)


def test_want_says_whether_there_is_something_to_do() -> None:
    desk = Desk()
    assert desk.channels.want("a")
    assert desk.channels.want("a")
    desk.channels.next(0)
    assert not desk.channels.want("a")  # joining
    desk.channels.joined(["a"], 0)
    assert not desk.channels.want("a")  # live


def test_batches() -> None:
    desk = Desk(batch=2)
    desk.want(*"abcde")
    assert [desk.channels.next(0) for _ in range(4)] == [
        Join(["a", "b"]),
        Join(["c", "d"]),
        Join(["e"]),
        Wait(None),
    ]


def test_it_lingers_and_then_leaves_and_is_not_live_from_then_on() -> None:
    desk = Desk()
    desk.live("a")
    desk.unwant("a", 10)
    assert desk.channels.next(10) == Wait(12)
    assert desk.channels.is_live("a")
    assert desk.channels.next(12) == Leave(["a"])
    assert not desk.channels.is_live("a")
    assert desk.channels.next(12) == Wait(None)
    desk.want("a")
    assert desk.channels.next(12) == Join(["a"])


def test_who_comes_back_in_time_finds_it_live() -> None:
    desk = Desk()
    desk.live("a")
    desk.unwant("a", 10)
    desk.want("a")
    assert desk.channels.next(13) == Wait(None)
    desk.unwant("a", 20)
    assert desk.channels.next(21) == Wait(22)  # its linger begins anew


def test_the_wish_is_looked_at_again_after_the_linger() -> None:
    desk = Desk()
    desk.live("a")
    desk.unwant("a", 10)
    desk.wanted["a"] = None  # came back, and nobody said so
    assert desk.channels.next(13) == Wait(None)
    assert desk.channels.is_live("a")


def test_joins_go_before_leaves() -> None:
    desk = Desk()
    desk.live("a")
    desk.unwant("a", 0)
    desk.want("b")
    assert desk.channels.next(5) == Join(["b"])
    assert desk.channels.next(5) == Leave(["a"])


def test_unwanted_before_it_was_asked_for() -> None:
    desk = Desk()
    desk.want("a")
    desk.unwant("a")
    assert desk.channels.next(0) == Wait(None)


def test_unwanted_while_it_is_joining_lingers_once_it_is_live() -> None:
    desk = Desk()
    desk.want("a")
    desk.channels.next(0)
    desk.unwant("a", 1)
    desk.channels.joined(["a"], 3)
    assert desk.channels.next(3) == Wait(5)
    assert desk.channels.next(5) == Leave(["a"])


def test_refused_is_tried_again_after_a_while() -> None:
    desk = Desk()
    desk.want("a", "b")
    desk.channels.next(0)
    desk.channels.refuse("a", "no", 0)
    desk.channels.joined(["b"], 0)
    assert desk.channels.why_refused("a") == "no"
    assert desk.channels.why_refused("b") is None
    assert not desk.channels.want("a")
    assert desk.channels.next(29) == Wait(30)
    assert desk.channels.next(30) == Join(["a"])
    assert desk.channels.why_refused("a") is None


def test_refused_and_unwanted_is_forgotten() -> None:
    desk = Desk()
    desk.want("a")
    desk.channels.next(0)
    desk.channels.refuse("a", "no", 0)
    desk.unwant("a")
    assert desk.channels.next(100) == Wait(None)
    desk.want("b")
    desk.channels.next(0)
    desk.unwant("b")
    desk.channels.refuse("b", "no", 0)
    assert desk.channels.next(100) == Wait(None)


def test_it_waits_for_whatever_comes_first() -> None:
    desk = Desk()
    desk.live("a", "b")
    desk.want("c")
    desk.channels.next(0)
    desk.channels.refuse("c", "no", 0)
    desk.unwant("a", 29)
    assert desk.channels.next(29) == Wait(30)
    assert desk.channels.next(30) == Join(["c"])
    desk.channels.joined(["c"], 30)
    assert desk.channels.next(30) == Wait(31)


def test_a_session_ends() -> None:
    desk = Desk()
    desk.live("a", "b")
    desk.want("joining")
    desk.channels.next(0)
    desk.want("dirty", "refused")
    desk.unwant("a", 0)
    assert desk.channels.restart(["own", *desk.wanted]) == {"b"}
    assert not desk.channels.is_live("b")
    assert desk.channels.next(0) == Join(["own", "b", "joining", "dirty", "refused"])
    assert desk.channels.next(100) == Wait(None)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["want", "unwant", "turn", "refuse", "restart", "time"]), st.sampled_from("abc")
    ),
    max_size=40,
)


@given(STEPS)
def test_in_the_end_exactly_what_is_wanted_is_live(steps: list[tuple[str, str]]) -> None:
    desk, now, on_broker = Desk(batch=2), 0.0, set[str]()
    for name, topic in steps:
        now += 3 if name == "time" else 0.1
        if name == "want" and topic not in desk.wanted:
            desk.want(topic)
        elif name == "unwant" and topic in desk.wanted:
            desk.unwant(topic, now)
        elif name == "restart":
            on_broker.clear()
            desk.channels.restart(desk.wanted)
        elif name in ("turn", "refuse"):
            turn(desk, now, on_broker, refuse=name == "refuse")
        assert all(topic in on_broker for topic in "abc" if desk.channels.is_live(topic))
    for _ in range(12):
        now += 10
        turn(desk, now, on_broker, refuse=False)
    assert on_broker == set(desk.wanted)
    assert all(desk.channels.is_live(topic) for topic in desk.wanted)
    assert desk.channels.next(now) == Wait(None)


def turn(desk: Desk, now: float, on_broker: set[str], *, refuse: bool) -> None:
    step = desk.channels.next(now)
    if isinstance(step, Join):
        assert on_broker.isdisjoint(step.topics)
        if refuse:
            desk.channels.refuse(step.topics[0], "no", now)
            step.topics[:1] = []
        on_broker.update(step.topics)
        desk.channels.joined(step.topics, now)
    elif isinstance(step, Leave):
        assert on_broker.issuperset(step.topics)
        on_broker.difference_update(step.topics)
