"""What is read on after an outage, and for whom, without a Kafka."""

from __future__ import annotations

from dataclasses import dataclass

from wigwag.node import BROADCAST_CHANNEL
from wigwag_kafka.positions import Positions

TOPIC = b"t" * 16
HOME = "__node__:aaaaaaaaaaaa"


@dataclass
class Record:
    offset: int
    key: bytes | None
    value: bytes | None


def records(first: int, *topics: str) -> list[Record]:
    """Of these topics, from an offset on; each one's value is its offset."""
    return [Record(first + n, topic.encode(), b"%d" % (first + n)) for n, topic in enumerate(topics)]


class Reader:
    """Positions of a topic with one partition, which begins at 0, and what was delivered."""

    def __init__(self) -> None:
        self.positions = Positions()
        self.got: list[tuple[str, bytes]] = []
        assert self.begin(end=0) is False

    def begin(self, *, begin: int = 0, end: int, topic_id: bytes = TOPIC, partitions: int = 1) -> bool:
        every = range(partitions)
        return self.positions.begin(
            topic_id, partitions, dict.fromkeys(every, begin), dict.fromkeys(every, end)
        )

    def join(self, *topics: str, end: int = 0) -> dict[int, int]:
        """As a subscribe does; returns what is read on."""
        resumed = self.positions.resume(topics)
        self.positions.start(dict.fromkeys(self.positions.want(topics), end))
        return resumed

    def read(self, first: int, *topics: str) -> list[int]:
        """Have these arrive; returns the offsets that were delivered."""
        self.got.clear()
        self.positions.hand_over(
            0, records(first, *topics), lambda topic, value: self.got.append((topic, value))
        )
        return [int(value) for _, value in self.got]


def test_only_what_is_wanted_is_delivered() -> None:
    reader = Reader()
    reader.join("a", end=5)
    assert reader.read(5, "a", "b", "a") == [5, 7]
    assert reader.positions.next == {0: 8}


def test_a_record_that_is_not_ours_is_passed_over() -> None:
    reader = Reader()
    reader.join("a")
    reader.positions.hand_over(
        0, [Record(0, None, b"x"), Record(1, b"\xff", None)], lambda *got: reader.got.append(got)
    )
    assert reader.got == []
    assert reader.positions.next == {0: 2}


def test_a_record_without_a_value_is_delivered_as_an_empty_one() -> None:
    reader = Reader()
    reader.join("a")
    reader.positions.hand_over(
        0, [Record(0, b"a", None)], lambda topic, value: reader.got.append((topic, value))
    )
    assert reader.got == [("a", b"")]


def test_a_session_reads_on_where_the_last_one_stopped() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    reader.read(5, "a")
    assert reader.begin(end=9) is True
    assert reader.join(HOME, "a") == {0: 6}
    assert reader.read(6, "a", "a") == [6, 7]


def test_what_was_wanted_is_delivered_before_it_is_asked_for_again() -> None:
    reader = Reader()
    reader.join(HOME, "a")
    reader.begin(end=3)
    reader.join(HOME)  # the first batch of several
    assert reader.read(0, "a", "a", "a", "a") == [0, 1, 2, 3]


def test_a_newcomer_gets_nothing_that_is_older_than_the_session() -> None:
    reader = Reader()
    reader.join(HOME, "a")
    reader.begin(end=2)
    reader.join(HOME, "a", "new")
    assert reader.read(0, "new", "a", "new") == [1, 2]


def test_a_topic_that_is_left_and_joined_again_is_delivered_from_then_on() -> None:
    reader = Reader()
    reader.join(HOME, "a", "b")
    reader.begin(end=3)
    reader.join(HOME)
    reader.positions.unwant(["b"])
    reader.join("b")
    assert reader.read(0, "b", "a", "b", "b") == [1, 3]


def test_sessions_that_fail_before_anything_is_asked_for_keep_the_positions() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    assert reader.begin(end=9) is True
    assert reader.begin(end=9) is True
    assert reader.join(HOME) == {0: 5}
    assert reader.read(5, "a") == [5]


def test_what_nobody_asks_for_again_is_read_no_longer() -> None:
    reader = Reader()
    reader.join(HOME, "a")
    reader.begin(end=2)
    reader.positions.resume([BROADCAST_CHANNEL, HOME])
    assert reader.positions.settle() == []  # it is being read on still
    reader.read(0, "a", "a")
    assert reader.positions.settle() == [0]
    assert reader.positions.next == {}


def test_what_is_asked_for_again_stays() -> None:
    reader = Reader()
    reader.join(HOME, "a")
    reader.begin(end=0)
    reader.join(HOME, "a")
    assert reader.positions.settle() == []
    assert reader.read(0, "a") == [0]


def test_nothing_is_dropped_before_core_has_asked_for_anything() -> None:
    reader = Reader()
    reader.join(HOME, "a")
    reader.begin(end=0)
    assert reader.positions.settle() == []
    assert reader.join(HOME) == {0: 0}


def test_a_provider_that_was_started_again_begins_anew() -> None:
    reader = Reader()
    reader.join(BROADCAST_CHANNEL, HOME, "a")
    reader.begin(end=2)
    assert reader.join(BROADCAST_CHANNEL, "__node__:bbbbbbbbbbbb", "a", end=2) == {}
    assert reader.positions.next == {0: 2}


def test_probes_of_lanes_that_are_new_do_not_make_it_another_provider() -> None:
    reader = Reader()
    reader.join(BROADCAST_CHANNEL, HOME, "a")
    reader.begin(end=2)
    assert reader.join(BROADCAST_CHANNEL, f"{HOME}:7", HOME) == {0: 0}


def test_messages_that_are_gone_are_a_loss_and_the_rest_is_read() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    assert reader.begin(begin=7, end=9) is False
    assert reader.join(HOME, "a") == {0: 7}


def test_a_log_that_was_cut_is_a_loss_and_is_read_from_its_end() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    assert reader.begin(end=3) is False
    assert reader.join(HOME, "a") == {0: 3}


def test_a_topic_that_was_made_anew_keeps_nothing() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    assert reader.begin(end=9, topic_id=b"u" * 16) is False
    assert reader.join(HOME, "a", end=9) == {}
    assert reader.positions.next == {0: 9}


def test_other_partitions_keep_nothing() -> None:
    reader = Reader()
    reader.join(HOME, "a", end=5)
    assert reader.begin(end=9, partitions=2) is False
    assert reader.positions.next == {}


def test_a_loss_concerns_the_topics_of_the_partition() -> None:
    reader = Reader()
    reader.join(HOME, "a", "b")
    reader.begin(end=5)
    reader.join(HOME, "b", "c")
    assert sorted(reader.positions.mend(0, 3, 9)) == sorted([HOME, "a", "b", "c"])
    assert reader.positions.next == {0: 3}


def test_a_partition_stops_with_its_last_topic() -> None:
    reader = Reader()
    reader.join("a", "b")
    assert reader.positions.unwant(["a"]) == []
    assert reader.positions.unwant(["b", "unknown"]) == [0]
    assert reader.read(0, "a") == []


def test_a_long_backlog_of_others_shows_that_the_partition_is_alive() -> None:
    reader = Reader()
    reader.join("a")
    reader.read(0, *["b"] * 99)
    assert reader.got == []
    reader.read(99, *["b"] * 100)
    assert reader.got == [("b", b"198")]
    assert reader.read(199, *["b"] * 99, "a") == [298]


def test_topics_spread_over_the_partitions() -> None:
    reader = Reader()
    assert Positions().partition("a") == 0
    reader.begin(end=0, partitions=8)
    used = {reader.positions.partition(f"room:{n}") for n in range(200)}
    assert used == set(range(8))
    # Every node, of whatever version, must say the same.
    assert [reader.positions.partition(t) for t in ("lobby", "room:1", "__broadcast__")] == [7, 0, 0]
