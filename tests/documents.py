"""The project's pages, taken apart: code blocks, links, headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_GLOBS = ("*.md", "docs/**/*.md", "*/README.md", "*/*/README.md")
PAGES = sorted(
    page
    for glob in _GLOBS
    for page in ROOT.glob(glob)
    if not re.match(r"\.|.*/node_modules/", page.relative_to(ROOT).as_posix())
)

_FENCE = re.compile(r"^( *)(`{3,})(.*)$")
_TITLE = re.compile(r'title="([^"]+)"')
_FILE = re.compile(r"[\w/-]+\.\w+(, at the end)?")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string (``python title="app.py"``), its text, where it begins, its heading."""

    page: Path
    line: int
    info: str
    text: str
    heading: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def title(self) -> str | None:
        """The file that the block is, or the program that it is a part of."""
        found = _TITLE.search(self.info)
        return found[1] if found else None

    @property
    def file(self) -> str | None:
        """The file that the block is; with ``, at the end`` behind the name it is added to the file."""
        return self.title if self.title and _FILE.fullmatch(self.title) else None

    @property
    def at(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def all_blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page; those of a list are indented."""
    found: list[Block] = []
    heading = ""
    fence: tuple[str, str, str, int] | None = None
    lines = list[str]()
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        match = _FENCE.match(line)
        if fence is None and match:
            fence, lines = (match[1], match[2], match[3].strip(), number), []
        elif fence is not None and line == fence[0] + fence[1]:
            found.append(Block(page, fence[3], fence[2], "\n".join(lines) + "\n", heading))
            fence = None
        elif fence is not None:
            lines.append(line.removeprefix(fence[0]))
        elif line.startswith("#"):
            heading = line.lstrip("#").strip()
    assert fence is None, f"{page}: a block is not closed"
    return found


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of a page, in these languages."""
    return [block for block in all_blocks(page) if block.language in languages]


def without_code(page: Path) -> str:
    """A page's text without its blocks."""
    return re.sub(r"^ *(`{3,})[^`\n]*\n.*?^ *\1$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[str]:
    """The targets of a page's links, code excepted."""
    yield from _LINK.findall(re.sub(r"`[^`]*`", "", without_code(page)))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
