"""What the applications of the guide's pages do, beyond being defined: as the text beside them says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from documents import ROOT, blocks
from servers.redis import RedisServer
from wigwag.client import Event, Raw, RequestFailed
from wigwag.errors import NotAccepted, Uncertain
from wigwag.testing import AppClient, RecordingEmitter

pytestmark = pytest.mark.anyio


@contextmanager
def page(name: str) -> Iterator[Any]:
    """What the Python of a page of the guide defines."""
    module = ModuleType(f"guide_{name}")
    sys.modules[module.__name__] = module
    try:
        for block in blocks(ROOT / f"docs/guide/{name}.md", "python"):
            if block.title is None:
                exec(compile(block.text, block.at, "exec", dont_inherit=True), module.__dict__)
        yield module
    finally:
        del sys.modules[module.__name__]


async def test_sockets() -> None:
    with page("sockets") as guide:
        async with AppClient(guide.app) as client:
            ann, bob = await client.connect("/ws"), await client.connect("/ws")
            await ann.send_raw("hello")
            for reader in (ann, bob):
                assert await reader.expect(guide.Said) == guide.Said(text="hello")
        app = Starlette(routes=[guide.counting.route("/ws")], lifespan=guide.counting.lifespan)
        async with AppClient(app) as client:
            ann = await client.connect("/ws")
            await ann.send_raw("to be or not to be")
            assert await ann.receive() == Raw("6 words")


async def test_emitting() -> None:
    with page("emitting") as guide:

        class Row:
            uuid, title, severity = "i", "Disk", "major"

        recording = RecordingEmitter()

        class Reached:
            emitter = recording

        await guide.the_forms(Reached(), Row(), "6a1b2c3d-0000-4000-8000-000000000000")
        assert len(recording.sent) == 7
        await guide.Prices(recording).change("a1", 995)
        async with AppClient(guide.app) as client:
            ann = await client.connect("/ws")
            incident = {"uuid": "i", "title": "Disk", "severity": "minor"}
            answer = await client.http.post("/incidents", json=incident)
            assert answer.status_code == 201
            await ann.expect_nothing()  # who has not subscribed


def test_authentication() -> None:
    with page("authentication") as guide:
        app = guide.app
        with TestClient(app) as client:
            with client.websocket_connect("/ws?token=t-ann", subprotocols=["v1.example"]) as ann:
                assert str(ann.accepted_subprotocol) == "v1.example"
                assert client.portal is not None
                client.portal.call(guide.sign_out_everywhere, guide.USERS["t-ann"])
                assert ann.receive()["code"] == 1008
            with client.websocket_connect("/ws?token=none") as stranger:
                assert stranger.receive()["code"] == 1008
        with TestClient(guide.api) as client:
            with client.websocket_connect("/ws?token=none") as stranger:
                assert stranger.receive()["code"] == 1008
            with client.websocket_connect("/ws?token=t-bob") as bob:
                bob.send_text("2")
                assert bob.receive_text() == "3"


async def test_routers() -> None:
    with page("routers") as guide:
        app = Starlette(routes=[guide.documents.route("/ws")], lifespan=guide.documents.lifespan)
        async with AppClient(app) as client:
            ann = await client.connect("/ws?account=acme")
            opened = await ann.request("document.open", {"document": "readme"})
            assert opened == {"document": "readme", "readers": 1}
            with pytest.raises(RequestFailed, match="Somebody else has it") as refused:
                await ann.request("document.open", {"document": "locked"})
            assert refused.value.details == [{"path": "$.document", "message": "locked by bob"}]
            assert await ann.request("heartbeat") == {"alive": True}
            await ann.send_raw("?")
            assert await ann.receive() == Raw("What is that?")
        app = Starlette(routes=[guide.cursors.route("/ws")], lifespan=guide.cursors.lifespan)
        async with AppClient(app) as client:
            ann, bob = await client.connect("/ws?account=acme"), await client.connect("/ws?account=acme")
            for reader in (ann, bob):
                await reader.join_room("document:acme:d")
            with pytest.raises(RequestFailed, match="Forbidden"):
                await ann.join_room("document:other:d")
            await ann.send(guide.CursorMove(x=1, y=2, document="d"))
            assert await bob.expect(guide.CursorMoved) == guide.CursorMoved(user="acme", x=1, y=2)
            await ann.expect_nothing()


async def test_guards() -> None:
    with page("guards") as guide:
        async with AppClient(guide.app) as client:
            ann, bob = await client.connect("/ws?token=t-ann"), await client.connect("/ws?token=t-bob")
            await bob.request("document.read", "d")
            await ann.request("document.edit", {"document": "d", "text": "hello"})
            assert await bob.receive() == Raw("hello")
            with pytest.raises(RequestFailed, match="Forbidden"):
                await bob.request("document.edit", {"document": "d", "text": "me too"})
            for _ in range(9):
                await ann.request("document.edit", {"document": "d", "text": "again"})
            with pytest.raises(RequestFailed, match="Too many messages"):
                await ann.request("document.edit", {"document": "d", "text": "one too many"})


async def test_lifespan() -> None:
    with page("lifespan") as guide:
        async with AppClient(guide.whole) as client:
            await client.connect("/realtime/ws")
            await client.connect("/realtime/admin?user=root")
            assert guide.provider.connection_count() == 2
        async with AppClient(guide.app) as client:
            await client.connect("/ws")


async def test_limits() -> None:
    with page("limits") as guide:
        app = Starlette(routes=[guide.limited.route("/ws")], lifespan=guide.limited.lifespan)
        async with AppClient(app) as client:
            ann = await client.connect("/ws", reconnect=False)
            await ann.send_raw("x" * (16 * 1024 + 1))
            assert (await ann.expect_closed()).code == 1009


async def test_delivery() -> None:
    with page("delivery") as guide:

        class Failing(RecordingEmitter):
            def __init__(self, exc: Exception | None) -> None:
                super().__init__()
                self.exc = exc

            async def emit(self, *arguments: Any, **options: Any) -> None:
                if self.exc is not None:
                    raise self.exc

        assert await guide.tell(Failing(None), 7) == "sent"
        assert await guide.tell(Failing(NotAccepted("no")), 7) == "not sent: no"
        assert await guide.tell(Failing(Uncertain("who knows")), 7) == "perhaps sent: who knows"


@pytest.mark.needs("redis-server")
def test_publishing(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with page("publishing") as guide, page("sockets") as served:
        monkeypatch.setenv("WIGWAG_PROVIDER", "redis")
        monkeypatch.setenv("WIGWAG_REDIS_URL", redis_server.url)

        async def opened(ctx: Any) -> None:
            await ctx.subscribe("account:7")
            await ctx.send("subscribed")

        sockets = served.Sockets(open=opened)
        app = Starlette(routes=[sockets.route("/ws")], lifespan=sockets.lifespan)

        async def main() -> None:
            async with AppClient(app) as client:
                ann = await client.connect("/ws")
                await ann.expect(Raw)
                await guide.nightly()
                await anyio.to_thread.run_sync(guide.task)
                for _ in range(2):
                    event = await ann.expect("said")
                    assert isinstance(event, Event)
                    assert event.data == {"text": "the report is ready"}

        anyio.run(main)
