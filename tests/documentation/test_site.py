"""The site: it is built strictly, its links lead somewhere, and nothing in it asks another host for anything."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from documents import ROOT

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
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
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
        (sys.executable, "tools/docs.py", "build"), cwd=ROOT, check=True, timeout=50, capture_output=True
    )
    after = {path: path.read_bytes() for path in SITE.rglob("*") if path.is_file()}
    assert [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)] == []


def test_each_page_of_the_documentation_is_in_the_navigation(site: dict[Path, Parsed]) -> None:
    start = site[SITE / "index.html"]
    reached = {(SITE / urlsplit(link).path).resolve() for link in start.links if not urlsplit(link).scheme}
    sources = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")}
    assert {SITE / name for name in sources} <= reached


MODULES = (
    "wigwag",
    "wigwag.errors",
    "wigwag.sync",
    "wigwag.client",
    "wigwag.testing",
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
