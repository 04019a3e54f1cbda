"""The judge sees what is wrong: brokers that do one thing wrong, now and then, and nothing else."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from fleets.book import Book
from fleets.grounds import Ground
from fleets.run import run
from fleets.watching import FaultyBroker, WatchedBroker
from servers.process import ServerProcess
from wigwag.broker import Broker
from wigwag.testing import FakeBroker, FakeNetwork

pytestmark = pytest.mark.anyio


class NoServer(ServerProcess):
    """Nothing to start: the network is in this process."""

    @property
    def url(self) -> str:
        return ""

    def command_line(self) -> list[str]:
        return ["true"]

    def answers(self) -> bool:
        return True


class FakeGround(Ground):
    """A network without wires, on which nothing is lost unless the broker does wrong."""

    name = "fake"
    patience_s = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.server = NoServer()
        self._network = FakeNetwork()

    def make_broker(self, slot: int) -> Broker:
        return FakeBroker(self._network)

    @staticmethod
    def broker_at(port: int, prefix: str) -> Broker:
        raise NotImplementedError


@pytest.fixture
def fake() -> Generator[Ground]:
    ground = FakeGround()
    yield ground
    ground.server.close()
    ground.close()


async def test_nothing_is_wrong_where_nothing_goes_wrong(fake: Ground) -> None:
    report = await run(fake, 2, "calm", 0.5, is_calm=True)
    assert not report.verdict.wrongs
    assert "silent losses 0" in report.line


@pytest.mark.parametrize(
    ("defect", "kind"),
    [
        ("loses", "SILENT LOSS"),
        ("doubles", "DUPLICATE"),
        ("swaps", "DISORDER"),
        ("cries wolf", "SPURIOUS RESYNC"),
        ("hangs up", "SESSION LOST WITHOUT A FAULT"),
    ],
)
async def test_one_defect_in_a_hundred_messages_is_seen(fake: Ground, defect: str, kind: str) -> None:
    def watch(broker: Broker, book: Book) -> WatchedBroker:
        return FaultyBroker(broker, book, defect, every=100)

    report = await run(fake, 2, defect, 1.0, watch=watch, is_calm=True)
    wrongs = report.verdict.wrongs
    assert wrongs
    assert {wrong.partition(":")[0] for wrong in wrongs} == {kind}


async def test_an_outage_that_nobody_is_told_of_is_seen(fake: Ground) -> None:
    def watch(broker: Broker, book: Book) -> WatchedBroker:
        return FaultyBroker(broker, book, "keeps silent", every=100)

    report = await run(fake, 2, "silence", 2.0, watch=watch, is_calm=True)
    assert report.verdict.silent_losses
