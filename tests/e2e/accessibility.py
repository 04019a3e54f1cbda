"""What axe-core finds on a page; and what a keyboard reaches there."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from e2e.process import ROOT

#: A development dependency of the TypeScript client, installed with the rest of them.
AXE = ROOT / "clients/typescript/node_modules/axe-core/axe.min.js"

#: Each look has its colours and size; the page's policy lets no script of ours in, so it is put aside (its headers are
#: looked at all the same, by Visitor.leave).
LOOKS: dict[str, dict[str, Any]] = {
    f"{scheme}-{width}": {
        "color_scheme": scheme,
        "viewport": {"width": width, "height": 800},
        "bypass_csp": True,
    }
    for scheme in ("light", "dark")
    for width in (1280, 390)
}

#: What a screen reader would call it, nearly: enough for pages whose names are simple.
_NAME = """
const element = document.activeElement;
return element === document.body ? null
    : element.getAttribute("aria-label")
    ?? document.getElementById(element.getAttribute("aria-labelledby"))?.textContent.trim()
    ?? element.labels?.[0]?.textContent.trim()
    ?? element.textContent.trim().replace(/\\s+/g, " ");
"""
_IS_MARKED = """
const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
"""


def findings(page: Page) -> list[str]:
    """What axe finds, one line each, of whatever impact; and whether the page is wider than its window."""
    page.evaluate(AXE.read_text() + ";undefined")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    lines = [
        f"{violation['impact']}: {violation['id']}: {node['html']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        lines.append("serious: the page is wider than its window")
    return lines


def go_to_top(page: Page) -> None:
    """Tab leads to the first stop next."""
    page.evaluate(
        "document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')"
    )


def tab_stops(page: Page) -> list[str]:
    """The names of what Tab leads to, in order, from the top of the page to its end; each is seen to be marked."""
    go_to_top(page)
    names: list[str] = []
    while len(names) < 100:
        page.keyboard.press("Tab")
        name = page.evaluate(f"(() => {{{_NAME}}})()")
        if name is None or (names and page.evaluate("document.activeElement.dataset.visited === 'yes'")):
            break
        assert page.evaluate(f"(() => {{{_IS_MARKED}}})()"), f"the focus is not seen on {name}"
        page.evaluate("document.activeElement.dataset.visited = 'yes'")
        names.append(name)
    page.evaluate("for (const one of document.querySelectorAll('[data-visited]')) delete one.dataset.visited")
    return names
