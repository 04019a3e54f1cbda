"""The page of a service that asks for tokens, in a browser, with a real `wigwag serve`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator

import pytest
from playwright.sync_api import Page, expect

from e2e.accessibility import LOOKS, findings, tab_stops
from e2e.browsing import Visitor, post
from e2e.process import WIGWAG, Service, service
from wigwag.settings import Secret
from wigwag.tokens.making import make_token

pytestmark = pytest.mark.needs("chromium")

SECRET = "a secret of the tests that is long enough"

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def stock() -> Generator[Service]:
    with service(WIGWAG_JWT_SECRET=SECRET) as started:
        yield started


def token(
    user: str = "ann", *topics: str, ttl_s: float = 900, secret: str = SECRET, stats: bool = False
) -> str:
    return make_token(Secret(secret), user, topics=topics, publish=topics, ttl_s=ttl_s, stats=stats)


def put_in(page: Page, text: str) -> None:
    page.get_by_label("Token (JWT)").fill(text)
    page.get_by_role("button", name="Use", exact=True).click()


def signed_in(page: Page, text: str) -> Page:
    put_in(page, text)
    expect(page.locator("#state")).to_have_text("connected")
    expect(page.locator("#claims")).to_be_visible()
    return page


def live(page: Page, topic: str) -> None:
    expect(page.locator("#topics li", has_text=topic)).to_have_attribute("data-live", "true")


def sockets_of(page: Page) -> list[str]:
    """The messages that the page sends from now on."""
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(str(frame))))
    return sent


def test_without_a_token_it_says_so_asks_for_one_and_connects_to_nothing(
    stock: Service, visit: Visit
) -> None:
    visitor = visit(stock.http)
    page = visitor.open()
    expect(page.locator("#state")).to_have_text("no token")
    expect(page.get_by_label("Token (JWT)")).to_be_visible()
    expect(page.get_by_role("contentinfo")).to_contain_text("what its token allows")
    assert not [url for url in visitor.requests if url.startswith("ws")]


def test_the_command_that_it_shows_prints_a_token_that_it_takes(stock: Service, visit: Visit) -> None:
    page = visit(stock.http).open()
    command = page.locator("#token-command").inner_text().replace("wigwag", str(WIGWAG), 1)
    environment = {"WIGWAG_JWT_SECRET": SECRET}
    made = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=20)
    signed_in(page, made.stdout)
    for id_, text in (("user", "ann"), ("may-join", "orders:*"), ("may-publish", "orders:*")):
        expect(page.locator(f"#{id_}")).to_have_text(text)
    expect(page.locator("#until")).to_contain_text("in 59 min")
    expect(page.locator("#connections")).to_have_text("1")
    page.get_by_label("Topic to join").fill("orders:7")
    page.get_by_role("button", name="Join", exact=True).click()
    live(page, "orders:7")
    page.get_by_label("To topic").fill("orders:7")
    page.get_by_label("Message", exact=True).fill("with a token")
    page.get_by_role("button", name="Publish").click()
    expect(page.locator("#log li")).to_contain_text(["with a token"])


def test_a_token_is_neither_in_the_url_nor_kept(stock: Service, visit: Visit) -> None:
    visitor = visit(stock.http)
    page = visitor.open()
    text = token("ann", "mine")
    signed_in(page, text)
    live(page, "mine")  # what the token names is joined
    assert page.get_by_label("Token (JWT)").input_value() == ""
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    )
    assert text not in kept + "".join(visitor.requests)
    assert text not in stock.log
    page.reload()
    expect(page.locator("#state")).to_have_text("no token")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "That is no token"),
        (token(secret="somebody else's secret, as long as ours"), "does not take this token"),
        (token(ttl_s=-60), "This token has expired. Put in another one."),
    ],
    ids=["no token", "forged", "expired"],
)
def test_it_says_why_a_token_was_not_taken_and_takes_another(
    stock: Service, visit: Visit, text: str, said: str
) -> None:
    page = visit(stock.http).open()
    put_in(page, text)
    expect(page.locator("#token-problem")).to_contain_text(said)
    expect(page.locator("#claims")).to_be_hidden()
    signed_in(page, token("ann", "mine"))
    expect(page.locator("#token-problem")).to_be_empty()
    live(page, "mine")


def test_a_newer_token_goes_over_the_open_socket(stock: Service, visit: Visit) -> None:
    visitor = visit(stock.http)
    page = visitor.open()
    sent = sockets_of(page)
    signed_in(page, token("ann", "mine", "other"))
    live(page, "other")
    put_in(page, token("ann", "mine", ttl_s=7200))
    expect(page.locator("#until")).to_contain_text("in 2 h 0 min")
    expect(page.locator("#join-problem")).to_contain_text("does not allow it: other")
    expect(page.locator("#topics li")).to_have_count(1)
    post(f"{stock.api}/publish", {"topic": "mine", "text": "heard"})
    expect(page.locator("#log li")).to_contain_text(["heard"])
    assert len([message for message in sent if "auth.authenticate" in message]) == 1
    assert len([url for url in visitor.requests if url.startswith("ws")]) == 1


def test_the_numbers_are_for_whom_its_token_lets_see_them(stock: Service, visit: Visit) -> None:
    page = signed_in(visit(stock.http).open(), token("ann"))
    why_not = page.get_by_text("The numbers are for tokens with --stats.")
    expect(why_not).to_be_visible()
    expect(page.locator("#numbers")).to_be_hidden()
    put_in(page, token("ann", stats=True))
    expect(page.locator("#connections")).to_have_text("1")
    expect(why_not).to_be_hidden()
    put_in(page, token("ann"))
    expect(why_not).to_be_visible()


def test_a_newer_token_that_is_refused_changes_nothing(stock: Service, visit: Visit) -> None:
    page = signed_in(visit(stock.http).open(), token("ann", "mine"))
    put_in(page, token("ann", secret="somebody else's secret, as long as ours"))
    expect(page.locator("#token-problem")).to_have_text("Not taken: Forbidden: token not valid")
    expect(page.locator("#state")).to_have_text("connected")
    expect(page.locator("#may-join")).to_have_text("mine")


def test_somebody_else_s_token_is_another_connection(stock: Service, visit: Visit) -> None:
    visitor = visit(stock.http)
    page = signed_in(visitor.open(), token("ann", "mine"))
    put_in(page, token("bob", "user:{sub}"))
    expect(page.locator("#user")).to_have_text("bob")
    live(page, "user:bob")
    expect(page.locator("#join-problem")).to_contain_text("Forbidden")  # what was ann's
    assert len([url for url in visitor.requests if url.startswith("ws")]) == 2


def test_a_token_that_expires_is_said_and_another_goes_on(visit: Visit) -> None:
    with service(WIGWAG_JWT_SECRET=SECRET, WIGWAG_JWT_LEEWAY_S="0") as strict:
        page = signed_in(visit(strict.http).open(), token("ann", "mine", ttl_s=3))
        live(page, "mine")
        expect(page.locator("#token-problem")).to_have_text("This token has expired. Put in another one.")
        expect(page.locator("#state")).to_have_text("no token")
        expect(page.locator("#claims")).to_be_hidden()
        signed_in(page, token("ann", "mine"))
        live(page, "mine")


@pytest.mark.needs("node")
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(stock: Service, visit: Visit, look: str) -> None:
    page = visit(stock.http, **LOOKS[look]).open()
    expect(page.locator("#state")).to_have_text("no token")
    assert findings(page) == []
    put_in(page, "hello")
    expect(page.locator("#token-problem")).not_to_be_empty()
    assert findings(page) == []
    signed_in(page, token("a" * 256, "orders:*", "x" * 200))
    assert findings(page) == []


def test_it_is_used_without_a_mouse(stock: Service, visit: Visit) -> None:
    page = visit(stock.http).open()
    expect(page.locator("#state")).to_have_text("no token")
    stops = tab_stops(page)
    assert stops[:4] == ["Token (JWT)", "Use", "How to get one", "Copy the command for a token"]
    page.get_by_label("Token (JWT)").focus()
    page.keyboard.insert_text(token("ann", "mine"))
    page.keyboard.press("Enter")
    expect(page.locator("#user")).to_have_text("ann")
    assert tab_stops(page)[:4] == ["Token (JWT)", "Use", "How to get one", "Topic to join"]
