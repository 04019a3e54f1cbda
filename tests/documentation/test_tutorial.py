"""docs/tutorial.md, played step by step, with a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from documentation.player import Player
from documents import ROOT
from e2e.browsing import ARGUMENTS

PAGE = ROOT / "docs/tutorial.md"


def shows(page: Page, tea: int, coffee: int) -> None:
    expect(page.locator("#tea output")).to_have_text(str(tea))
    expect(page.locator("#coffee output")).to_have_text(str(coffee))


@pytest.mark.timeout(150)
@pytest.mark.needs("chromium", "curl")
def test_the_tutorial_leads_to_a_live_page(tmp_path: Path, chromium: str) -> None:
    with (
        Player(PAGE, tmp_path) as player,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS) as browser,
    ):
        player.play(until="5. From outside")
        pages = [browser.new_page(), browser.new_page()]
        for page in pages:
            page.goto(player.http)
            shows(page, 0, 0)
        pages[0].get_by_role("button", name="Tea").click()
        pages[1].get_by_role("button", name="Coffee").click()
        for page in pages:
            shows(page, 1, 1)
        player.play(until="6. A test")  # the reset, and then what nobody has told the application
        for page in pages:
            shows(page, 40, 2)
        pages[1].get_by_role("button", name="Tea").click()
        for page in pages:
            shows(page, 1, 0)
        player.play()
    assert "4 passed" in player.said["python -m pytest"]
