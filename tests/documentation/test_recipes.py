"""The recipes of docs/recipes, played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from documentation.player import Player
from documents import ROOT
from e2e.browsing import ARGUMENTS
from e2e.wire import connecting
from servers.redis import RedisServer

pytestmark = [pytest.mark.needs("curl"), pytest.mark.timeout(150)]


def test_fastapi(tmp_path: Path) -> None:
    with Player(ROOT / "docs/recipes/fastapi.md", tmp_path) as player:
        player.play(until="Test it")
        with connecting(f"{player.ws}/ws?token=ann's") as ann:
            ann.send('{"type":"orders.watch","data":{"since":0}}')
            assert '"is_paid":true' in ann.receive()
        player.play()
    assert "4 passed" in player.said["python -m pytest"]


@pytest.mark.needs("redis-server", "chromium")
def test_django(tmp_path: Path, redis_server: RedisServer, chromium: str) -> None:
    with (
        Player(ROOT / "docs/recipes/django.md", tmp_path, ports={"6379": redis_server.port}) as player,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as browser,
    ):
        player.play(until="Without a broker: over HTTP")
        site = f"http://127.0.0.1:{player.port('8001')}"
        admin = browser.new_context().new_page()
        admin.goto(f"{site}/admin/")
        admin.get_by_label("Username").fill("ann")
        admin.get_by_label("Password").fill("secret")
        admin.get_by_role("button", name="Log in").click()
        console = admin.context.new_page()
        console.goto(f"{site}/admin/")
        said: list[str] = []
        console.on("console", lambda message: said.append(message.text))
        console.evaluate(
            f"async () => {{ {player.text_of('js')}; await new Promise((r) => (socket.onopen = r)); }}"
        )
        with console.expect_console_message(lambda message: "order.changed" in message.text):
            admin.goto(f"{site}/admin/orders/order/add/")
            admin.get_by_label("Customer").select_option("ann")
            admin.get_by_role("textbox", name="Item:").fill("tea")
            admin.get_by_role("button", name="Save", exact=True).click()
        assert [json.loads(text)["data"] for text in said] == [{"id": 1, "item": "tea", "is_paid": False}]

        for bad in ("", "nonsense"):
            with connecting(f"{player.ws}/ws?token={bad}") as stranger:
                assert stranger.closed()[0] == 1008

        player.enter("wigwag serve live_session:app")
        session = next(c["value"] for c in admin.context.cookies() if c.get("name") == "sessionid")
        with connecting(f"{player.ws}/ws", additional_headers={"Cookie": f"sessionid={session}"}) as socket:
            player.play(until="Test it")
            call = (
                "from orders import over_http as http; http.publish('orders:1', 'n', 1); http.disconnect(1)"
            )
            player.enter(f'python -c "{call}"')
            # Where the machine is busy, a link may have seemed deaf for a moment: the socket is told.
            heard = (socket.hear() for _ in range(5))
            assert next(event for event in heard if event["name"] != "wigwag.resync")["data"] == 1
            assert socket.closed() == (1008, "signed out")
        with connecting(f"{player.ws}/ws", additional_headers={"Cookie": "sessionid=forged"}) as stranger:
            assert stranger.closed()[0] == 1008
        player.play()
