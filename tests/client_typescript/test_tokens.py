"""Tokens of a few seconds, brought by the client to the stock service, and renewed."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import AsyncExitStack

import pytest

from client_typescript.places import Places
from client_typescript.runtimes import Runtime
from e2e.browsing import post
from e2e.process import Service, service
from wigwag.settings import Secret
from wigwag.tokens.making import make_token

pytestmark = [pytest.mark.anyio, pytest.mark.needs("node")]

SECRET = "a secret of the tests that is long enough"

PLACES = [pytest.param("chromium", marks=pytest.mark.needs("chromium")), "node-ws"]


@pytest.fixture(scope="module")
def strict() -> Generator[Service]:
    """Return a service that asks for tokens, and tolerates no clock."""
    variables = {"WIGWAG_JWT_LEEWAY_S": "0", "WIGWAG_ALLOWED_ORIGINS": "*"}
    with service(WIGWAG_JWT_SECRET=SECRET, **variables) as started:
        yield started


async def runtime(place: str, places: Places, server: Service, stack: AsyncExitStack) -> Runtime:
    """Return the place; a page is the application's, since the service's own has no script of ours."""
    return await places.tab(server.http, stack) if place == "chromium" else await places.agent(place)


def tokens(*ttls_s: float) -> str:
    """Tokens, as a text that JavaScript reads."""
    return json.dumps([make_token(Secret(SECRET), "ann", topics=["a"], ttl_s=ttl_s) for ttl_s in ttls_s])


@pytest.mark.parametrize("place", PLACES)
async def test_a_newer_token_goes_over_the_open_connection(
    place: str, places: Places, server: Service, strict: Service
) -> None:
    async with AsyncExitStack() as stack:
        javascript = await runtime(place, places, server, stack)
        await javascript.run(
            f"""globalThis.tokens = {tokens(3, 900)};
            begin("{strict.ws}/ws", {{ token: async () => tokens.shift() }});
            await client.connect();
            await client.joinRoom("a");
            globalThis.first = performance.now();
            await until(() => !tokens.length);
            // Its own end would have been by then.
            await until(() => performance.now() - first > 3500);"""
        )
        post(f"{strict.api}/publish", {"topic": "a", "name": "said", "data": {"text": "still here"}})
        await javascript.run("await until(() => log.includes('still here'))")
        assert await javascript.run("return [attempts.length, errors]") == [1, []]
        await javascript.run("client.destroy()")


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_that_expired_is_followed_by_a_fresh_one(
    place: str, places: Places, server: Service, strict: Service
) -> None:
    async with AsyncExitStack() as stack:
        javascript = await runtime(place, places, server, stack)
        # Of the tries to renew in time none gives another.
        await javascript.run(
            f"""const [short, long] = {tokens(2, 900)};
            let isOver = false;
            begin("{strict.ws}/ws", {{ token: () => (isOver ? long : short) }});
            client.on(wigwag.Disconnected, () => (isOver = true));
            await client.connect();
            await client.joinRoom("a");
            await until(() => log.some(({{ code }}) => code));
            await until(() => client.isConnected);"""
        )
        post(f"{strict.api}/publish", {"topic": "a", "name": "said", "data": {"text": "back"}})
        await javascript.run("await client.joinRoom('a')")
        assert await javascript.run("return [attempts.length, log.filter((one) => one.code)]") == [
            2,
            [{"code": 1008, "reason": "token expired", "willReconnect": True}],
        ]
        await javascript.run("client.destroy()")


@pytest.mark.parametrize("place", PLACES)
async def test_a_token_that_stays_expired_is_refused(
    place: str, places: Places, server: Service, strict: Service
) -> None:
    async with AsyncExitStack() as stack:
        javascript = await runtime(place, places, server, stack)
        await javascript.run(
            f"""const [old] = {tokens(-60)};
            begin("{strict.ws}/ws", {{ token: () => old }});
            client.connect();
            await until(() => client.connectionState === "refused");"""
        )
        assert await javascript.run("return [attempts.length, client.error.reason]") == [2, "token expired"]
        await javascript.run("client.destroy()")


@pytest.mark.needs("chromium")
async def test_in_development_mode_a_token_is_no_obstacle(places: Places, server: Service) -> None:
    with service(WIGWAG_ALLOWED_ORIGINS="*") as development:
        async with AsyncExitStack() as stack:
            tab = await places.tab(server.http, stack)
            await tab.run(
                f"""begin("{development.ws}/ws", {{ token: {tokens(900)}[0] }});
                await client.connect();
                await client.joinRoom("anything");"""
            )
