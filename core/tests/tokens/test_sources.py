"""Keys that are fetched: how often, and what counts while they can't be."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import anyio
import pytest

from clocks import backend, settle
from signing import jwk, jwks
from wigwag.tokens.fetching import FetchFailed
from wigwag.tokens.sources import COOLDOWN_S, FETCH_TIMEOUT_S, MAX_JWKS_BYTES, RemoteKeys

pytestmark = pytest.mark.anyio

URL = "https://id.example/jwks"
GOOD = jwks(jwk("ES256", kid="a"))
REFRESH_S = 300.0


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return backend(request.param)


class Issuer:
    """Answers as a test says, and notes when it was asked."""

    def __init__(self, document: bytes | None = GOOD) -> None:
        self.document = document
        self.asked_at: list[float] = []
        self.takes_s = 0.0

    async def fetch(self, url: str, *, timeout_s: float, limit_bytes: int) -> bytes:
        assert (url, timeout_s, limit_bytes) == (URL, FETCH_TIMEOUT_S, MAX_JWKS_BYTES)
        self.asked_at.append(anyio.current_time())
        await anyio.sleep(self.takes_s)
        if self.document is None:
            raise FetchFailed("it was answered with 503")
        return self.document


def keys_from(issuer: Issuer) -> RemoteKeys:
    return RemoteKeys(URL, ("ES256",), REFRESH_S, fetch=issuer.fetch)


async def test_they_are_there_when_the_server_has_started_and_fetched_again_from_time_to_time() -> None:
    issuer = Issuer()
    source = keys_from(issuer)
    async with source.running():
        assert len(source.keys) == 1
        assert source.trouble is None
        await anyio.sleep(3 * REFRESH_S + 1)
    pauses = [later - sooner for sooner, later in itertools.pairwise(issuer.asked_at)]
    assert len(pauses) == 3
    assert all(0.9 * REFRESH_S <= pause <= REFRESH_S for pause in pauses)


async def test_what_was_fetched_last_counts_however_long_it_can_not_be_had_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer()
    source = keys_from(issuer)
    async with source.running():
        for broken in (None, b"<html>", jwks()):
            issuer.document = broken
            await anyio.sleep(2 * REFRESH_S)
            assert len(source.keys) == 1
            assert source.trouble is None
        issuer.document = GOOD
        with caplog.at_level(logging.INFO):
            await anyio.sleep(2 * REFRESH_S)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 4  # each trouble once, and its end
    assert (
        said[0] == f"the keys at {URL} can't be had: it was answered with 503; those from before still count"
    )
    assert said[3] == f"the keys at {URL} can be had again"


async def test_at_first_it_is_tried_soon_again_and_less_and_less_often() -> None:
    issuer = Issuer(None)
    source = keys_from(issuer)
    async with source.running():
        assert source.trouble == f"no keys from {URL} yet: it was answered with 503"
        await anyio.sleep(4 * REFRESH_S)
    pauses = [later - sooner for sooner, later in itertools.pairwise(issuer.asked_at)]
    assert pauses[0] <= COOLDOWN_S
    assert all(sooner <= later * 1.2 for sooner, later in itertools.pairwise(pauses))
    assert max(pauses) <= REFRESH_S


async def test_a_key_that_was_taken_back_counts_no_more() -> None:
    issuer = Issuer(jwks(jwk("ES256", kid="a"), jwk("ES256", 1, kid="b")))
    source = keys_from(issuer)
    async with source.running():
        issuer.document = GOOD
        await anyio.sleep(REFRESH_S + 1)
        assert source.keys.candidates("ES256", "b") == []


async def test_many_that_look_for_newer_ones_share_one_fetch() -> None:
    issuer = Issuer()
    source = keys_from(issuer)
    async with source.running():
        await anyio.sleep(COOLDOWN_S)
        issuer.takes_s = 2
        began = anyio.current_time()
        ended: list[float] = []

        async def look() -> None:
            await source.look_for_newer()
            ended.append(anyio.current_time() - began)

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                tasks.start_soon(look)
        assert ended == [2.0] * 100
        assert len(issuer.asked_at) == 2
        await source.look_for_newer()  # within the cooldown: at once
        assert anyio.current_time() - began == 2.0
        assert len(issuer.asked_at) == 2


async def test_nobody_waits_longer_than_a_fetch_may_take() -> None:
    issuer = Issuer()
    source = keys_from(issuer)
    async with source.running():
        await anyio.sleep(COOLDOWN_S)
        issuer.takes_s = 1000  # one that keeps no time
        began = anyio.current_time()
        await source.look_for_newer()
        assert anyio.current_time() - began == FETCH_TIMEOUT_S


async def test_it_ends_while_it_fetches() -> None:
    issuer = Issuer()
    source = keys_from(issuer)
    async with source.running():
        issuer.takes_s = 1000
        await anyio.sleep(REFRESH_S + 1)
    assert len(issuer.asked_at) == 2
    await settle()
