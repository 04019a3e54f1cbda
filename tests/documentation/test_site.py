"""The site: it is built strictly, its links lead somewhere, and nothing in it asks another host for anything."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from documents import ROOT
from e2e.accessibility import findings
from e2e.browsing import ARGUMENTS

pytestmark = pytest.mark.timeout(
    200
)  # building it takes six seconds of a processor, and a machine may be busy

SITE = ROOT / ".docs/site"
#: What makes a browser ask for something by itself.
FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class Parsed(HTMLParser):
    """A page's links, anchors, and what it makes a browser fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        address = values.get(FETCHED.get(tag, ""))
        if address and values.get("rel") not in ("canonical", "next", "prev"):
            self.fetched.append(address)


@pytest.fixture(scope="module")
def site() -> dict[Path, Parsed]:
    """Build the site, and take its pages apart."""
    command = (sys.executable, "tools/docs.py", "build")
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    return {path: Parsed(path.read_text()) for path in SITE.rglob("*.html")}


def test_each_link_leads_somewhere(site: dict[Path, Parsed]) -> None:
    dead = []
    for path, page in site.items():
        if path.name == "404.html":  # its links begin at the site's root
            continue
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists() or (
                parts.fragment and target in site and parts.fragment not in site[target].anchors
            ):
                dead.append(f"{path.relative_to(SITE)}: {link}")
    assert not dead


def test_no_page_asks_another_host_for_anything(site: dict[Path, Parsed]) -> None:
    strangers = {
        f"{path.relative_to(SITE)}: {address}"
        for path, page in site.items()
        for address in page.fetched
        if urlsplit(address).netloc
    }
    assert not strangers


def test_no_style_sheet_asks_another_host_for_anything(site: dict[Path, Parsed]) -> None:
    for path in SITE.rglob("*.css"):
        found = re.findall(r"url\(['\"]?(?:https?:)?//|@import", path.read_text())
        assert not found, path


def test_the_site_is_the_same_when_it_is_built_again(site: dict[Path, Parsed]) -> None:
    before = {path: path.read_bytes() for path in SITE.rglob("*") if path.is_file()}
    subprocess.run(
        (sys.executable, "tools/docs.py", "build"), cwd=ROOT, check=True, timeout=150, capture_output=True
    )
    after = {path: path.read_bytes() for path in SITE.rglob("*") if path.is_file()}
    assert [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)] == []


def test_each_page_of_the_documentation_is_in_the_navigation(site: dict[Path, Parsed]) -> None:
    start = site[SITE / "index.html"]
    reached = {(SITE / urlsplit(link).path).resolve() for link in start.links if not urlsplit(link).scheme}
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {SITE / name for name in sources} <= reached


class Quiet(SimpleHTTPRequestHandler):
    """Serves the site, and says nothing."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments, directory=str(SITE))

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def origin(site: dict[Path, Parsed]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.needs("chromium", "node")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_asks_nobody_else_and_anybody_can_read_it(origin: str, chromium: str, scheme: Any) -> None:
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as browser,
    ):
        page = browser.new_context(color_scheme=scheme).new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(f"{message.type}: {message.text}"))
        serious: list[str] = []
        for name in ("index", "guide/limits", "reference/sync"):
            page.goto(f"{origin}/{name}.html")
            found = findings(page)
            serious += [f"{name}: {line}" for line in found if line.startswith(("serious", "critical"))]
        page.get_by_role("button", name="Search").first.click()
        page.keyboard.type("resync")
        expect(page.get_by_role("option").first).to_contain_text("resync", ignore_case=True)
    assert not serious
    assert len(asked) > 10
    assert [what for what in asked if not what.startswith((origin, "data:", "blob:"))] == []


MODULES = (
    "wigwag",
    "wigwag.errors",
    "wigwag.sync",
    "wigwag.client",
    "wigwag.testing",
    "wigwag.logs",
    "wigwag.uvicorn",
    "wigwag.broker",
)


@pytest.mark.parametrize("name", MODULES)
def test_each_public_name_is_in_the_reference(site: dict[Path, Parsed], name: str) -> None:
    anchors = {
        anchor for path, page in site.items() if path.parent.name == "reference" for anchor in page.anchors
    }
    module = importlib.import_module(name)
    its_own = [what for what, value in vars(module).items() if getattr(value, "__module__", "") == name]
    missing = {
        what
        for what in getattr(module, "__all__", its_own)
        if not any(f"{home}.{what}" in anchors for home in (name, "wigwag.errors", "wigwag.client.errors"))
    }
    assert not missing
