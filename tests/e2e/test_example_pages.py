"""The chat and the dashboard of examples/, in a browser, each under a real `wigwag serve` and plain uvicorn."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Generator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page, expect

from e2e.accessibility import LOOKS, findings, tab_stops
from e2e.browsing import Visitor, post
from e2e.process import ROOT, Service, service
from e2e.servers import serving
from e2e.wire import connecting

EXAMPLES = ROOT / "examples"

Visit = Callable[..., Visitor]

browsed = pytest.mark.needs("chromium")


def serve_example(name: str) -> Any:
    return service("app:app", "--app-dir", str(EXAMPLES / name))


@pytest.fixture(scope="module")
def chat() -> Generator[Service]:
    with serve_example("chat") as started:
        yield started


@pytest.fixture(scope="module")
def dashboard() -> Generator[Service]:
    with serve_example("dashboard") as started:
        yield started


# Chat


def enter(page: Page, name: str, room: str = "lobby") -> Page:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Room", exact=True).fill(room)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#state")).to_have_text(name)
    expect(page.locator("#log li").first).to_have_text(f"{name} joined")
    return page


def say(page: Page, text: str) -> None:
    page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send").click()


@browsed
def test_two_people_talk_and_see_each_other_come_type_and_go(chat: Service, visit: Visit) -> None:
    visitor = visit(chat.http)
    ann, bob = enter(visitor.open(), "Ann"), enter(visitor.open(), "Bob")
    expect(ann.locator("#log li").last).to_have_text("Bob joined")
    bob.get_by_label("Message", exact=True).press_sequentially("he")
    expect(ann.locator("#typing")).to_have_text("Bob is typing …")
    expect(bob.locator("#typing")).to_have_text("")
    say(bob, "hello <b>Ann</b>")
    for page in (ann, bob):
        expect(page.locator("#log li").last).to_have_text("Bobhello <b>Ann</b>")
    expect(ann.locator("#typing")).to_have_text("")
    expect(bob.locator("#log li").last).to_have_attribute("data-kind", "mine")
    bob.close()
    expect(ann.locator("#log li").last).to_have_text("Bob left")


@browsed
def test_rooms_are_apart(chat: Service, visit: Visit) -> None:
    # Two browsers: of two tabs of one, only that in front is in a hurry.
    ann = enter(visit(chat.http).open(), "Ann", "apart-1")
    bob = enter(visit(chat.http).open(), "Bob", "apart-2")
    say(bob, "for room 2 alone")
    expect(bob.locator("#log li")).to_have_count(2)
    ann.get_by_label("Another room").fill("apart-2")
    ann.get_by_role("button", name="Join").click()
    expect(ann.locator("#log li")).to_have_text(["Ann joined"])
    ann.get_by_role("button", name="apart-1", exact=True).click()
    say(bob, "now Ann has it")
    ann.get_by_role("button", name="apart-2, new messages").click()
    expect(ann.locator("#log li").last).to_have_text("Bobnow Ann has it")
    ann.get_by_role("button", name="Leave apart-2").click()
    expect(bob.locator("#log li").last).to_have_text("Ann left")


@browsed
def test_after_a_restart_the_chat_goes_on(visit: Visit) -> None:
    with serve_example("chat") as restarted:
        visitor = visit(restarted.http)
        visitor.expects_failures = True
        ann = enter(visitor.open(), "Ann")
        assert restarted.stop() == 0
        expect(ann.locator("#state")).to_contain_text("connecting again")
        expect(ann.get_by_role("button", name="Send")).to_be_disabled()
        restarted.start()
        expect(ann.locator("#state")).to_have_text("Ann", timeout=15_000)
        expect(ann.locator("#log li")).to_have_text(["Ann joined", "Ann joined"])
        say(ann, "still here")
        expect(ann.locator("#log li").last).to_have_text("Annstill here")


@browsed
def test_a_backend_says_something_to_a_room(chat: Service, visit: Visit) -> None:
    ann = enter(visit(chat.http).open(), "Ann", "bots")
    message = {"room": "bots", "name": "bot", "text": "hello"}
    post(f"{chat.api}/publish", {"topic": "room:bots", "name": "chat.said", "data": message})
    expect(ann.locator("#log li").last).to_have_text("bothello")


@pytest.mark.parametrize("name", ["", "%20", "x" * 25, "a%00b"])
def test_a_name_that_will_not_do_is_refused(chat: Service, name: str) -> None:
    with connecting(f"{chat.ws}/ws?name={name}") as client:
        assert client.closed() == (1008, "refused")


def test_the_chat_answers_what_is_wrong(chat: Service) -> None:
    with connecting(f"{chat.ws}/ws?name=Ann") as client:
        assert client.ask("say", {"room": "x", "text": "hi"})["error"] == "Join the room first"
        for room in ("", "a:b", "a b", "x" * 41):
            assert client.ask("join", {"room": room})["error"] == "Validation failed"
        errors = {client.ask("leave", {"room": "x"})["error"] for _ in range(20)}
        assert errors == {"Join the room first", "Too many messages"}


# Dashboard


@browsed
def test_an_incident_that_is_posted_stands_on_each_page(dashboard: Service, visit: Visit) -> None:
    pages = [visit(dashboard.http).open("/?project=each") for _ in range(2)]
    for page in pages:
        expect(page.locator("#state")).to_have_text("live")
    status, incident = post(
        f"{dashboard.http}/incidents", {"project": "each", "title": "Disk <full>", "severity": "critical"}
    )
    assert status == 201
    for page in pages:
        expect(page.locator("#list li")).to_contain_text(["Disk <full>"])
        expect(page.locator("#critical")).to_have_text("1")
    pages[0].get_by_label("What happened").fill("Slow answers")
    pages[0].get_by_label("Severity", exact=True).select_option("minor")
    pages[0].get_by_role("button", name="Report").click()
    expect(pages[1].locator("#list li")).to_contain_text(["Slow answers", "Disk <full>"])
    pages[1].get_by_role("button", name="Resolve: Disk <full>").click()
    for page in pages:
        expect(page.locator("#critical")).to_have_text("0")
        expect(page.locator("#resolved")).to_have_text("1")
    post(f"{dashboard.http}/incidents", {"project": "other", "title": "Elsewhere", "severity": "major"})
    late = visit(dashboard.http).open("/?project=each")
    expect(late.locator("#list li")).to_contain_text(["Slow answers", "Disk <full>"])
    assert incident["isResolved"] is False


@browsed
def test_after_a_restart_the_dashboard_fetches_and_is_live_again(visit: Visit) -> None:
    with serve_example("dashboard") as restarted:
        visitor = visit(restarted.http)
        visitor.expects_failures = True
        page = visitor.open()
        expect(page.locator("#state")).to_have_text("live")
        assert restarted.stop() == 0
        expect(page.locator("#state")).to_contain_text("connecting again")
        restarted.start()
        incident = {"project": "web", "title": "During the reconnect", "severity": "major"}
        post(f"{restarted.http}/incidents", incident)
        expect(page.locator("#list li")).to_contain_text(["During the reconnect"], timeout=15_000)
        expect(page.locator("#state")).to_have_text("live")


@pytest.mark.parametrize(
    "content", [{}, [], {"project": "web", "title": "", "severity": "minor"}, {"project": "a:b"}, "x"]
)
def test_what_is_no_incident_is_refused(dashboard: Service, content: Any) -> None:
    with pytest.raises(HTTPError) as caught:
        post(f"{dashboard.http}/incidents", content)
    with caught.value as answer:
        assert answer.code == 400
        assert json.load(answer)["error"]


# Both


@pytest.mark.parametrize("name", ["chat", "dashboard"])
def test_an_example_runs_under_plain_uvicorn(name: str) -> None:
    path = EXAMPLES / name / "app.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where annotations are looked for
    try:
        spec.loader.exec_module(module)
        with serving("uvicorn-sansio", module.app) as server:
            with urlopen(f"{server.http}/", timeout=10) as answer:
                assert b"<!doctype html>" in answer.read()
            with connecting(f"{server.ws}/ws?name=Ann") as client:
                client.send("2")
                assert client.receive() == "3"
    finally:
        del sys.modules[spec.name]


@pytest.mark.needs("node")
@browsed
@pytest.mark.parametrize("look", LOOKS)
def test_axe_finds_nothing(chat: Service, dashboard: Service, visit: Visit, look: str) -> None:
    page = visit(chat.http, **LOOKS[look]).open()
    assert findings(page) == []  # the door
    enter(page, "Ann", "axe")
    say(page, "hello")
    expect(page.locator("#log li")).to_have_count(2)
    page.get_by_label("Another room").fill("axe-2")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_role("button", name="Leave axe-2")).to_be_visible()
    assert findings(page) == []

    for severity in ("critical", "major", "minor"):
        post(
            f"{dashboard.http}/incidents",
            {"project": look, "title": f"A {severity} one", "severity": severity},
        )
    page = visit(dashboard.http, **LOOKS[look]).open(f"/?project={look}")
    page.get_by_role("button", name="Resolve: A major one").click()
    expect(page.locator("#resolved")).to_have_text("1")
    assert findings(page) == []


@browsed
def test_the_examples_are_used_without_a_mouse(chat: Service, dashboard: Service, visit: Visit) -> None:
    page = visit(chat.http).open()
    expect(page.get_by_label("Your name")).to_be_focused()
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    expect(page.locator("#log li")).to_have_text(["Ann joined"])
    page.keyboard.type("hello")
    page.keyboard.press("Enter")
    expect(page.locator("#log li").last).to_have_text("Annhello")
    stops = ["lobby", "Leave lobby", "Another room", "Join", "Messages", "Message", "Send"]
    assert tab_stops(page) == stops

    page = visit(dashboard.http).open("/?project=keys")
    expect(page.locator("#state")).to_have_text("live")
    expect(page.get_by_text("No incident yet")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.type("By hand")
    page.keyboard.press("Enter")
    expect(page.locator("#list li")).to_contain_text(["By hand"])
    expect(page.get_by_text("No incident yet")).to_be_hidden()
    expect(page.get_by_role("status").last).to_have_text("major: By hand")
    assert tab_stops(page) == ["Resolve: By hand", "What happened", "Severity", "Report"]
