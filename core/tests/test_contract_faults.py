"""The conformance suite passes a broker that is right, and says of each defect what is to be mended."""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from typing import ClassVar

import pytest

import faulty_brokers as faulty
from small_broker import LIMIT_BYTES, Server, SmallBroker
from wigwag.broker import Broker
from wigwag.testing.contract import BrokerContract, outages, remains, watch


class SmallContract(BrokerContract):
    """Every hook, over a server of its own."""

    part: type[SmallBroker] | type[Server] = SmallBroker
    largest_payload_bytes = LIMIT_BYTES

    @functools.cached_property
    def server(self) -> Server:
        return self.part() if issubclass(self.part, Server) else Server()

    def make_broker(self, prefix: str = "wigwag", latency_s: float = 0.0) -> Broker:
        kind = self.part if issubclass(self.part, SmallBroker) else SmallBroker
        return kind(self.server, prefix, latency_s)

    def make_slow_broker(self) -> Broker:
        return self.make_broker(latency_s=0.004)

    def make_stranger(self) -> Broker:
        return self.make_broker("stranger")

    async def cut_link(self, broker: Broker) -> None:
        assert isinstance(broker, SmallBroker)
        if broker.link is not None:
            broker.link.abort()

    async def pause_server(self) -> None:
        self.server.is_paused = True

    async def resume_server(self) -> None:
        self.server.resume()

    async def restart_server(self) -> None:
        await self.server.restart()


class TestSmallBroker(SmallContract):
    """What is right passes, every test of the suite."""


DEFECTS: list[tuple[type[SmallBroker] | type[Server], str, str]] = [
    (faulty.ReturnsEarly, "what_is_published_once", r"before the broker had confirmed: \d+ of 1000 messages"),
    (faulty.LeavesLate, "a_topic_that_is_left_and_joined_again", r"topics dead|topics are dead"),
    (faulty.NeverLeaves, "a_topic_that_is_unsubscribed_stops", r"goes on after unsubscribe\(\)"),
    (
        faulty.LosesTheTail,
        "thousands_of_topics",
        r"\d+ of 5000 topics, .* are dead: all of a call must be live",
    ),
    (faulty.Registers, "subscribing_again_brings_one_copy", r"more or less than once: .* second receiver"),
    (
        faulty.Remembers,
        "a_second_session_starts_with_nothing",
        r"second session .* forget the topics in close",
    ),
    (faulty.MatchesBeginnings, "a_topic_is_not_those_that_begin_alike", r"messages of other topics arrived"),
    (faulty.MapsTwoToOne, "each_topic_is_itself", r"the topic 'a.b' does not keep to itself"),
    (faulty.Reverses, "messages_arrive_in_order", r"arrived out of order: .* were due"),
    (faulty.LosesTheEnd, "messages_arrive_in_order", r"publish\(\) returned, and they were lost"),
    (faulty.Decodes, "payloads_arrive_as_they_were", r"bit-exact .* b'\\xff\\xfe\\x80', came as"),
    (
        faulty.DropsEmpty,
        "payloads_arrive_as_they_were",
        r"bit-exact .* the 1. of them, b'', came as b'\\x00'",
    ),
    (faulty.HandsOverArrays, "payloads_arrive_as_they_were", r"given a bytearray: payloads are bytes"),
    (
        faulty.TakesLess,
        "the_largest_payload",
        r"max_payload_bytes=200000, and a payload of .* does not go through",
    ),
    (faulty.HasNoEcho, "a_node_hears_what_it_publishes_itself", r"does not hear what it publishes itself"),
    (faulty.HasAQueueGroup, "every_node_hears_it", r"every node must have its own copy \(no queue group"),
    (faulty.HasNoPrefix, "two_prefixes_never_meet", r"two prefixes on one server meet"),
    (faulty.ClaimsPositions, "messages_arrive_in_order", r"capabilities.positions is True, .* has none"),
    (faulty.HasLists, "lanes_are_known_at_any_time", r"something hashable .*unhashable type"),
    (faulty.HasLanesByLink, "lanes_are_known_at_any_time", r"at any time, .*there is no connection"),
    (faulty.ReadyTwice, "ready_is_called_once", r"ready\(\) was called 2 times"),
    (faulty.NeverReady, "ready_is_called_once", r"did not call inbox.ready\(\) within"),
    (faulty.OnceOnly, "many_sessions_leave_nothing", r"ended before it was ready.*the client is closed"),
    (
        faulty.LeaksATask,
        "a_closed_session_leaves_nothing",
        r"2 tasks still run: \['keep-alive', 'keep-alive'\]",
    ),
    (faulty.LeaksAFile, "many_sessions_leave_nothing", r"20 sessions left 20 file descriptors open"),
    (
        faulty.ReadsOn,
        "nothing_is_delivered_once_it_is_closed",
        r"closed was called \d+ times, first .*deliver",
    ),
    (faulty.WaitsToClose, "close_does_not_wait_for_a_server", r"close\(\) did not return within 2 s"),
    (
        faulty.FinishesWhatItBegan,
        "publish_can_be_cancelled",
        r"publish\(\) went on for .* after it was cancelled",
    ),
    (
        faulty.FinishesWhatItBegan,
        "publishes_in_flight_survive_a_cut",
        r"did not stop within .* ignores that it",
    ),
    (faulty.SurvivesCancellation, "run_can_be_cancelled", r"run\(\) returned when it was cancelled"),
    (faulty.SwallowsTheLoss, "run_raises_broker_lost", r"did not end within .* of the link's loss"),
    (faulty.Returns, "run_raises_broker_lost", r"run\(\) returned: let it raise BrokerLost"),
    (faulty.LetsItOut, "run_raises_broker_lost", r"ended with ConnectionResetError.* raise BrokerLost"),
    (faulty.Reconnects, "run_raises_broker_lost", r"its own reconnect must be off"),
    (
        faulty.Retries,
        "publishes_in_flight_survive_a_cut",
        r"delivered twice over an outage: .* must not retry",
    ),
    (
        faulty.RefusesWhatIsInDoubt,
        "publishes_in_flight_survive_a_restart",
        r"their publish raised NotAccepted",
    ),
    (faulty.BelievesWhatItWrote, "publishes_in_flight_survive_a_cut", r"SILENT LOSS: publish\(\) returned"),
    (faulty.ClaimsToKeep, "what_comes_between_two_sessions", r"kept=True promises that it is delivered"),
    (
        faulty.ClaimsToKeep,
        "what_is_missed_while_a_link_is_cut",
        r"keeps_messages is True, and \d+ messages that were taken are",
    ),
]


#: What a cut or a restart meets in flight is chance, above all on a busy machine: so often is it tried; all else once.
TRIES = 3
CHANCE = ("in_flight", "is_cut")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can only be found by waiting is waited for no longer than a test likes."""
    monkeypatch.setattr(watch, "UNHEEDED_S", 0.2)
    monkeypatch.setattr(remains, "SETTLE_S", 0.1)
    monkeypatch.setattr(outages, "STOP_S", 0.4)


@pytest.mark.anyio
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("part", "test", "message"), DEFECTS, ids=lambda value: getattr(value, "__name__", "")
)
async def test_a_defect_is_found_and_named(
    part: type[SmallBroker] | type[Server], test: str, message: str
) -> None:
    suite = type("Suite", (SmallContract,), {"part": part, "patience_s": 0.6})()
    (name,) = (name for name in dir(suite) if name.startswith(f"test_{test}"))
    found = ""
    try:
        for _ in range(TRIES if any(word in test for word in CHANCE) else 1):
            try:
                await getattr(suite, name)()
            except pytest.fail.Exception as exc:
                found = str(exc)
                break
    finally:
        for descriptor in suite.server.leaked:
            os.close(descriptor)
    assert re.search(message, found, re.DOTALL)


# What an author meets who has not given every hook


class Bare(BrokerContract):
    """Only what must be given."""

    without: ClassVar[tuple[str, ...]] = ("pause_server",)

    def make_broker(self) -> Broker:
        return SmallBroker(Server())


def test_a_hook_that_is_missing_skips_its_tests_and_says_how_to_give_it() -> None:
    with pytest.raises(pytest.skip.Exception, match=r"def cut_link\(self, broker\): break the broker's link"):
        Bare().test_run_raises_broker_lost_when_the_link_is_cut()  # type: ignore[unused-coroutine]


def test_what_has_no_meaning_is_not_collected() -> None:
    name = "test_close_does_not_wait_for_a_server_that_is_stopped"
    assert getattr(Bare, name) is None
    assert callable(getattr(BrokerContract, name))


def test_a_hook_that_a_later_subclass_gives_brings_its_tests_back() -> None:
    class Cutting(Bare):
        without = ()

        async def cut_link(self, broker: Broker) -> None: ...

        async def pause_server(self) -> None: ...

    for name in (
        "run_raises_broker_lost_when_the_link_is_cut",
        "a_stopped_server_is_given_up_and_found_again",
    ):
        assert getattr(Cutting, f"test_{name}") is getattr(BrokerContract, f"test_{name}")


def test_an_unknown_name_in_without_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"without names \['cut_links'\]; known are .*'cut_link'"):
        type("Mistyped", (BrokerContract,), {"without": ("cut_links",)})


def test_the_suite_says_what_it_needs_where_pytest_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wigwag.testing.contract")
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(ImportError, match=r"needs pytest: pip install 'wigwag\[testing\]'"):
        importlib.import_module("wigwag.testing.contract")
