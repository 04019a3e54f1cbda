"""The page of the stock service, in a browser, with a real `wigwag serve`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Generator

import pytest
from playwright.sync_api import Locator, Page, expect

from e2e.accessibility import LOOKS, findings, go_to_top, tab_stops
from e2e.browsing import Visitor, post
from e2e.process import Service, service
from e2e.servers import serving
from e2e.wire import connecting, raw_client
from wigwag.service.app import create_app

pytestmark = pytest.mark.needs("chromium")

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def stock() -> Generator[Service]:
    with service() as started:
        yield started


def connected(page: Page) -> Page:
    """Return the page when it is connected, and in its topics."""
    expect(page.locator("#state")).to_have_text("connected")
    expect(page.locator('#topics li[data-live="true"]').first).to_be_visible()
    return page


def join(page: Page, topic: str) -> None:
    page.get_by_label("Topic to join").fill(topic)
    page.get_by_role("button", name="Join", exact=True).click()
    expect(item_of(page, topic)).to_have_attribute("data-live", "true")


def item_of(page: Page, topic: str) -> Locator:
    """The topic's item in the list."""
    return page.locator("#topics li", has=page.get_by_text(topic, exact=True))


def publish(page: Page, message: str) -> None:
    page.get_by_label("Message", exact=True).fill(message)
    page.get_by_role("button", name="Publish").click()


def test_the_page_shows_what_an_http_request_published(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    join(page, "orders:7")
    assert post(f"{stock.api}/publish", {"topic": "orders:7", "text": "hello from curl"}) == (
        202,
        {"accepted": 1},
    )
    expect(page.locator("#log li")).to_contain_text(["hello from curl"])
    post(f"{stock.api}/publish", {"topic": "orders:7", "name": "order.paid", "data": {"id": 7}})
    expect(page.locator("#log li").first).to_contain_text('order.paid {"id":7}')
    post(f"{stock.api}/publish", {"topic": "orders:8", "text": "for somebody else"})
    post(f"{stock.api}/publish", {"topic": "orders:7", "base64": "AAEC"})
    expect(page.locator("#log li").first).to_contain_text("3 bytes")
    expect(page.locator("#log li")).to_have_count(3)


def test_a_second_tab_receives_what_the_first_publishes(stock: Service, visit: Visit) -> None:
    visitor = visit(stock.http)
    first, second = connected(visitor.open()), connected(visitor.open())
    publish(first, "from tab to tab")
    for page in (first, second):
        expect(page.locator("#log li")).to_contain_text(["from tab to tab"])
    expect(first.get_by_label("Message", exact=True)).to_have_value("")


def test_a_topic_that_is_left_is_heard_no_more(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    join(page, "left")
    page.get_by_role("button", name="Leave left").click()
    expect(page.locator("#topics li")).to_have_count(1)
    join(page, "stayed")  # its answer comes after that of the leaving
    post(f"{stock.api}/publish", {"topic": "left", "text": "nobody hears"})
    post(f"{stock.api}/publish", {"topic": "stayed", "text": "heard"})
    expect(page.locator("#log li")).to_contain_text(["heard"])


def test_what_is_wrong_is_said_beside_what_is_wrong(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    page.get_by_label("Topic to join").fill("no topic!")
    page.get_by_role("button", name="Join", exact=True).click()
    expect(page.locator("#join-problem")).to_contain_text("Validation failed: a topic is made of")
    expect(page.locator("#topics li")).to_have_count(1)
    join(page, "orders:7")
    expect(page.locator("#join-problem")).to_be_empty()
    page.get_by_label("To topic").fill("__broadcast__")
    publish(page, "x")
    expect(page.locator("#publish-problem")).to_contain_text("names that begin with __ are reserved")
    page.get_by_label("To topic").fill("lobby")
    page.get_by_label("Event name").fill("said")
    publish(page, "no JSON")
    expect(page.locator("#publish-problem")).to_contain_text("With an event name the message is JSON")
    publish(page, "{}")
    expect(page.locator("#publish-problem")).to_be_empty()


def test_what_is_published_is_text_and_never_markup(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    evil = '<img src="https://evil.example/x" onerror="alert(1)"><script>alert(2)</script>'
    post(f"{stock.api}/publish", {"topic": "lobby", "text": evil})
    post(f"{stock.api}/publish", {"topic": "lobby", "name": evil, "data": {"__proto__": evil}})
    expect(page.locator("#log li")).to_have_count(2)
    expect(page.locator("#log li").last).to_contain_text(evil)
    assert page.locator("#log img, #log script").count() == 0


def test_the_page_tells_the_command_that_publishes_what_the_form_says(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    command = page.locator("#curl")
    expect(command).to_have_text(f"""curl -d '{{"topic":"lobby","text":"hello"}}' {stock.api}/publish""")
    page.get_by_label("Event name").fill("it's said")
    page.get_by_label("Message", exact=True).fill('{"text": "it\'s $(me) \\"here\\""}')
    expect(command).to_contain_text("it'\\''s said")
    curl = ["sh", "-c", command.inner_text()]
    assert subprocess.run(curl, capture_output=True, timeout=10, check=True).stdout == b'{"accepted":1}'
    expect(page.locator("#log li")).to_contain_text(["""it's said {"text":"it's $(me) \\"here\\""}"""])
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stock.http)
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_role("button", name="Copied the command")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == command.inner_text()


def test_after_a_restart_the_page_is_back_in_its_topics(visit: Visit) -> None:
    with service() as restarted:
        visitor = visit(restarted.http)
        visitor.expects_failures = True
        page = connected(visitor.open())
        join(page, "orders:7")
        expect(page.locator("#connections")).to_have_text("1")
        tag = page.locator("#tag").inner_text()
        assert restarted.stop() == 0
        expect(page.locator("#state")).to_contain_text("disconnected")
        expect(page.locator("#as-of")).to_contain_text("as of")
        expect(page.get_by_role("button", name="Publish")).to_be_disabled()
        expect(page.locator('#topics li[data-live="true"]')).to_have_count(0)
        restarted.start()
        expect(page.locator('#topics li[data-live="true"]')).to_have_count(2, timeout=15_000)
        post(f"{restarted.api}/publish", {"topic": "orders:7", "text": "after the restart"})
        expect(page.locator("#log li")).to_contain_text(["after the restart"])
        expect(page.locator("#as-of")).to_be_empty()
        expect(page.locator("#tag")).not_to_have_text(tag)
        expect(page.locator("#published")).not_to_have_text("\u2013")  # no dash: known


# The node


def test_the_numbers_follow_what_other_clients_do(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    expect(page.locator("#published")).to_have_text("0")
    connections = int(page.locator("#connections").inner_text())
    topics = int(page.locator("#node-topics").inner_text())
    with connecting(f"{stock.ws}/ws") as other:
        other.ask("room.join", {"room": "watched:1"})
        expect(page.locator("#connections")).to_have_text(str(connections + 1))
        expect(page.locator("#node-topics")).to_have_text(str(topics + 1))
        expect(item_of(page, "watched:1")).to_contain_text("1 socket")
        expect(page.locator("#numbers .line").first).to_have_attribute("d", re.compile("^M.*L"))
        expect(page.locator("#published")).to_have_text("0")
        post(f"{stock.api}/publish", {"messages": [{"topic": "watched:1", "text": "x"}] * 9})
        for figure in ("published", "delivered"):
            range_ = page.locator(f"#figures div:has(#{figure}) .range")
            expect(range_).to_have_text(re.compile(r"^0 to [1-9][0-9.]* in the last 2 min$"))
        page.get_by_text("The plots as a table").click()
        row = page.get_by_role("row", name="0 to 10")
        expect(row.get_by_role("cell").first).to_have_text(str(connections + 1))
        expect(row.get_by_role("cell").last).not_to_have_text("0")
        page.get_by_role("button", name="Join watched:1").click()
        expect(item_of(page, "watched:1")).to_contain_text("2 sockets")
        post(f"{stock.api}/publish", {"topic": "watched:1", "text": "seen"})
        expect(page.locator("#log li")).to_contain_text(["seen"])
    expect(page.locator("#connections")).to_have_text(str(connections))
    expect(item_of(page, "watched:1")).to_contain_text("1 socket")


def test_a_paused_page_asks_for_nothing_and_goes_on_where_it_left_off(stock: Service, visit: Visit) -> None:
    visitor = visit(stock.http)
    page, beside = visitor.open(), visitor.open()
    frames: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(str(frame))))
    page.reload()
    connected(page)
    expect(page.locator("#published")).to_have_text("0")
    assert any("wigwag.stats" in frame for frame in frames)
    page.get_by_role("button", name="Pause the numbers").click()
    expect(page.locator("#as-of")).to_contain_text("as of")
    expect(page.get_by_role("button", name="Resume the numbers")).to_be_visible()
    publish(page, "the answer comes after that to the pause")
    expect(page.locator("#log li")).to_have_count(1)
    frames.clear()
    for _ in range(2):  # the time of two events
        uptime = beside.locator("#uptime").inner_text()
        expect(beside.locator("#uptime")).not_to_have_text(uptime)
    assert not any("wigwag.stats" in frame for frame in frames)
    page.get_by_role("button", name="Resume the numbers").click()
    expect(page.locator("#as-of")).to_be_empty()
    uptime = page.locator("#uptime").inner_text()
    expect(page.locator("#uptime")).not_to_have_text(uptime)


def test_a_service_that_tells_no_numbers_is_a_page_without_them(visit: Visit) -> None:
    with serving("uvicorn-sansio", create_app(has_stats=False)) as server:
        page = connected(visit(server.http).open())
        expect(page.get_by_text("This service tells no numbers.")).to_be_visible()
        expect(page.locator("#numbers")).to_be_hidden()
        publish(page, "works")
        expect(page.locator("#log li")).to_contain_text(["works"])


# Messages


def test_only_the_last_messages_are_kept_and_only_the_beginning_of_a_large_one(
    stock: Service, visit: Visit
) -> None:
    page = connected(visit(stock.http).open())
    many = [{"topic": "lobby", "text": f"<b>{n}</b>"} for n in range(250)]
    post(f"{stock.api}/publish", {"messages": many})
    expect(page.locator("#log li")).to_have_count(200)
    expect(page.locator("#log li").first).to_contain_text("<b>249</b>")
    expect(page.locator("#count")).to_have_text("250")
    post(f"{stock.api}/publish", {"topic": "lobby", "name": "large", "data": "x" * 2_000_000})
    expect(page.locator("#log li").first).to_contain_text("2,000,002 characters in all")
    assert len(page.locator("#log li").first.inner_text()) < 1_200
    post(f"{stock.api}/publish", {"topic": "lobby", "base64": "AP8="})
    expect(page.locator("#log li").first).to_contain_text("2 bytes: 00 ff")


def test_paused_messages_wait_and_cleared_ones_are_gone(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    page.get_by_role("button", name="Pause the messages").click()
    post(f"{stock.api}/publish", {"topic": "lobby", "text": "waits"})
    expect(page.locator("#count")).to_have_text("1")
    expect(page.locator("#log li")).to_have_count(0)
    page.get_by_role("button", name="Resume the messages").click()
    expect(page.locator("#log li")).to_contain_text(["waits"])
    page.get_by_role("button", name="Clear the messages").click()
    expect(page.locator("#log li")).to_have_count(0)
    expect(page.locator("#count")).to_be_empty()


# Everybody


@pytest.mark.needs("node")
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(stock: Service, visit: Visit, look: str) -> None:
    page = connected(visit(stock.http, **LOOKS[look]).open())
    assert findings(page) == []  # empty
    page.get_by_text("The plots as a table").click()
    page.get_by_label("Topic to join").fill("no topic!")
    page.get_by_role("button", name="Join", exact=True).click()
    expect(page.locator("#join-problem")).not_to_be_empty()
    page.get_by_role("button", name="Pause the numbers").click()
    for text in ("hello", "x" * 5_000):
        post(f"{stock.api}/publish", {"topic": "lobby", "name": "said", "data": {"text": text}})
    expect(page.locator("#log li")).to_have_count(2)
    page.get_by_role("button", name="Pause the messages").click()
    page.wait_for_function("document.getAnimations().length === 0")
    assert findings(page) == []  # with all there is


@pytest.mark.needs("node")
def test_a_page_without_its_service_is_as_readable(visit: Visit) -> None:
    with service() as stopped:
        visitor = visit(stopped.http, **LOOKS["dark-390"])
        visitor.expects_failures = True
        page = connected(visitor.open())
        expect(page.locator("#connections")).to_have_text("1")
        stopped.stop()
        expect(page.locator("#state")).to_contain_text("disconnected")
        assert findings(page) == []


@pytest.mark.parametrize("width", [320, 640])  # a narrow phone; a window of 1280 at 200 %
def test_nothing_is_cut_off_where_the_window_is_narrow(stock: Service, visit: Visit, width: int) -> None:
    page = connected(visit(stock.http, viewport={"width": width, "height": 600}).open())
    join(page, "a" * 256)
    post(f"{stock.api}/publish", {"topic": "lobby", "text": "w" * 900})
    expect(page.locator("#log li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for part in ("#log", "#topics"):
        assert page.locator(part).evaluate("part => part.scrollWidth <= part.clientWidth"), part


def test_the_page_is_used_without_a_mouse(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    expect(page.locator("#topics li")).to_have_count(1)
    stops = [
        "Pause the numbers",
        "The plots as a table",
        "Topic to join",
        "Join",
        "Leave lobby",
        "To topic",
        "Event name (optional)",
        "Message",
        "Publish",
        "Copy the command",
        "Pause the messages",
        "Clear the messages",
    ]
    assert tab_stops(page) == [*stops, "Open a second tab"]

    def go_to(name: str) -> None:
        go_to_top(page)
        for _ in range(stops.index(name) + 1):
            page.keyboard.press("Tab")

    go_to("Topic to join")
    page.keyboard.type("keys")
    page.keyboard.press("Enter")
    expect(item_of(page, "keys")).to_have_attribute("data-live", "true")
    for _ in range(3):  # Join, Leave lobby, Leave keys
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(item_of(page, "keys")).to_have_count(0)
    expect(page.get_by_label("Topic to join")).to_be_focused()  # not lost with its button
    go_to("Message")
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    expect(page.locator("#log li")).to_contain_text(["by hand"])
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    assert tab_stops(page)[len(stops) :] == ["Received 1"]


def test_a_topic_that_the_node_tells_of_keeps_the_focus_when_it_is_joined(
    stock: Service, visit: Visit
) -> None:
    page = connected(visit(stock.http).open())
    with connecting(f"{stock.ws}/ws") as other:
        for topic in ("focus:1", "focus:2"):
            other.ask("room.join", {"room": topic})
        page.get_by_role("button", name="Join focus:2").press("Enter")
        expect(page.get_by_role("button", name="Leave focus:2")).to_be_focused()
        expect(page.locator("#topics li").nth(1)).to_contain_text("focus:2")


def test_what_arrives_is_said_now_and_then_and_what_changes_each_second_is_not(
    stock: Service, visit: Visit
) -> None:
    visitor = visit(stock.http)
    visitor.context.clock.install()
    page = connected(visitor.open())
    for landmark in ("banner", "main", "contentinfo"):
        expect(page.get_by_role(landmark)).to_have_count(1)
    for title in ("This node", "Topics", "Publish", "Received"):
        expect(page.get_by_role("region", name=title)).to_be_visible()
    post(f"{stock.api}/publish", {"messages": [{"topic": "lobby", "text": f"n{n}"} for n in range(30)]})
    said = page.locator("#said")
    expect(said).to_have_text("Received 30 messages, the last: n29")
    post(f"{stock.api}/publish", {"topic": "lobby", "text": "too soon"})
    expect(page.locator("#log li").first).to_contain_text("too soon")
    expect(said).to_have_text("Received 30 messages, the last: n29")
    page.clock.fast_forward(5_000)
    expect(said).to_have_text("Received too soon")
    live = page.locator("[aria-live], [role=status], [role=alert], [role=log]")
    assert live.evaluate_all("all => all.map(({ id }) => id)") == [
        "state",
        "token-problem",
        "join-problem",
        "publish-problem",
        "said",
    ]


def test_nothing_moves_for_who_wants_it_still(stock: Service, visit: Visit) -> None:
    still = connected(visit(stock.http, reduced_motion="reduce").open())
    moving = connected(visit(stock.http).open())
    post(f"{stock.api}/publish", {"topic": "lobby", "text": "hello"})
    for page in (still, moving):
        expect(page.locator("#log li")).to_have_count(1)
    moves = "getComputedStyle(document.querySelector('#log li')).animationName"
    assert (still.evaluate(moves), moving.evaluate(moves)) == ("none", "arrive")


# The service


def test_the_service_answers_to_its_own_name_alone(stock: Service) -> None:
    host, _, port = stock.public.partition(":")
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        with raw_client((host, int(port))) as raw:
            assert " 403 " in raw.handshake(headers=headers).splitlines()[0]
