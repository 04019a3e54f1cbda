"""What the server says of messages that may be missing reaches the client: a broker that goes, a reader that sleeps."""

from __future__ import annotations

import anyio
import pytest

from client_typescript.places import Places
from client_typescript.runtimes import HERE
from e2e.browsing import post
from e2e.process import service
from servers.hub import HubServer

pytestmark = [pytest.mark.anyio, pytest.mark.needs("node")]


async def test_after_the_link_to_the_broker_was_down_the_client_is_told_which_topics_to_fetch(
    places: Places,
) -> None:
    with HubServer() as hub, service(WIGWAG_PROVIDER="local", WIGWAG_LOCAL_PATH=hub.url) as stock:
        node = await places.agent("node-ws")
        await node.run(
            f"""begin("{stock.ws}/ws");
            globalThis.told = [];
            client.on(wigwag.Resync, (data) => told.push(data));
            await client.connect();
            await Promise.all([client.joinRoom("a"), client.joinRoom("b")]);"""
        )
        await anyio.to_thread.run_sync(hub.kill)
        await anyio.to_thread.run_sync(hub.start)
        await node.run("await until(() => told.length)")
        (told,) = await node.run("return told")
        assert sorted(told["topics"]) == ["a", "b"]
        assert 0 <= told["spreadMs"] < 60_000
        # It is told when all is live again, over the connection that it had.
        post(f"{stock.api}/publish", {"topic": "a", "name": "said", "data": {"text": "again"}})
        await node.run("await until(() => log.includes('again'))")
        assert await node.run("return attempts.length") == 1
        await node.run("client.destroy()")


async def test_who_reads_slowly_is_told_how_much_is_missing_where_it_is_missing(places: Places) -> None:
    messages, batches = 40, 8
    with service("client_typescript.dropping:app", "--app-dir", str(HERE.parent)) as dropping:
        node = await places.agent("node-ws")
        # Without heartbeats: a reader that sleeps would miss the answer.
        await node.run(
            f"""begin("{dropping.ws}/ws", {{ heartbeatInterval: 0 }});
            globalThis.heard = [];
            client.on("number", ({{ number }}) => heard.push(number));
            client.on(wigwag.Dropped, ({{ count }}) => heard.push({{ count }}));
            await client.connect();
            await client.joinRoom("a");
            sockets[0].pause();"""
        )
        filling = "." * 80_000
        for batch in range(batches):  # 25 MB: more than the kernel keeps, and the server
            of_batch = range(batch * messages, (batch + 1) * messages)
            body = [
                {"topic": "a", "name": "number", "data": {"number": n, "filling": filling}} for n in of_batch
            ]
            post(f"{dropping.api}/publish", {"messages": body})
        await node.run("sockets[0].resume(); await until(() => heard.some((one) => one.count))")
        post(f"{dropping.api}/publish", {"topic": "a", "name": "number", "data": {"number": 1000}})
        await node.run("await until(() => heard.includes(1000))")
        *heard, last = await node.run("return heard")
        assert last == 1000
        missing = [one["count"] for one in heard if not isinstance(one, int)]
        numbers = [one for one in heard if isinstance(one, int)]
        assert len(numbers) + sum(missing) == messages * batches
        # One notice, at the gap: what came before it is all that was published until then.
        at = heard.index({"count": missing[0]})
        assert heard[:at] == list(range(at))
        assert numbers[at:] == [at + missing[0] + n for n in range(len(numbers) - at)]
        await node.run("client.destroy()")
