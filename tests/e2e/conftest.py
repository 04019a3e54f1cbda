"""The browser, for the tests that need one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from e2e.browsing import ARGUMENTS, Visitor


@pytest.fixture(scope="module")
def browser(chromium: str) -> Generator[Browser]:
    """Return a headless Chromium; for one module, since asyncio can't run in its thread meanwhile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Generator[Callable[..., Visitor]]:
    """Return what makes visitors of an origin, with Playwright's options; their pages must have behaved at the end."""
    visitors: list[Visitor] = []

    def visit(origin: str, **options: Any) -> Visitor:
        visitors.append(Visitor(browser, origin, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.leave()
