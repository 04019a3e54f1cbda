"""The page of the stock service, in a browser, with a real `wigwag serve`."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from playwright.sync_api import Page, expect

from e2e.browsing import Visitor, post
from e2e.process import Service, service
from e2e.wire import raw_client

pytestmark = pytest.mark.needs("chromium")

Visit = Callable[[str], Visitor]


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
    page.get_by_role("button", name="Join").click()
    item = page.locator("#topics li", has_text=topic)
    expect(item).to_have_attribute("data-live", "true")


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
    first.get_by_label("Message", exact=True).fill("from tab to tab")
    first.get_by_role("button", name="Publish").click()
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


def test_what_is_wrong_is_said(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    page.get_by_label("Topic to join").fill("no topic!")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("alert")).to_contain_text("Validation failed")
    page.get_by_label("To topic").fill("__broadcast__")
    page.get_by_label("Message", exact=True).fill("x")
    page.get_by_role("button", name="Publish").click()
    expect(page.get_by_role("alert")).to_contain_text("names that begin with __ are reserved")


def test_what_is_published_is_text_and_never_markup(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    evil = '<img src="https://evil.example/x" onerror="alert(1)"><script>alert(2)</script>'
    post(f"{stock.api}/publish", {"topic": "lobby", "text": evil})
    post(f"{stock.api}/publish", {"topic": "lobby", "name": evil, "data": {"__proto__": evil}})
    expect(page.locator("#log li")).to_have_count(2)
    expect(page.locator("#log li").last).to_contain_text(evil)
    assert page.locator("#log img, #log script").count() == 0


def test_the_page_tells_the_command_that_publishes(stock: Service, visit: Visit) -> None:
    page = connected(visit(stock.http).open())
    expect(page.locator("#curl")).to_contain_text(f"{stock.api}/publish")


def test_after_a_restart_the_page_is_back_in_its_topics(visit: Visit) -> None:
    with service() as restarted:
        visitor = visit(restarted.http)
        visitor.expects_failures = True
        page = connected(visitor.open())
        join(page, "orders:7")
        assert restarted.stop() == 0
        expect(page.locator("#state")).to_contain_text("disconnected")
        expect(page.locator('#topics li[data-live="true"]')).to_have_count(0)
        restarted.start()
        expect(page.locator('#topics li[data-live="true"]')).to_have_count(2, timeout=15_000)
        post(f"{restarted.api}/publish", {"topic": "orders:7", "text": "after the restart"})
        expect(page.locator("#log li")).to_contain_text(["after the restart"])


def test_the_service_answers_to_its_own_name_alone(stock: Service) -> None:
    host, _, port = stock.public.partition(":")
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        with raw_client((host, int(port))) as raw:
            assert " 403 " in raw.handshake(headers=headers).splitlines()[0]
