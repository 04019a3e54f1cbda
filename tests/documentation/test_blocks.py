"""Each block of each page is run, or is of a kind that can't be."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from documentation import BESIDE, CHECKED, NOT_RUN, PLAYED, RUN
from documents import PAGES, ROOT, Block, all_blocks, blocks

HERE = Path(__file__).parent


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_each_block_is_run_or_can_not_be(page: Path) -> None:
    for block in all_blocks(page):
        if block.title:
            assert name_of(page) in (PLAYED if block.file else BESIDE) | BESIDE, f"{block.at}: who runs it?"
        else:
            assert block.info in RUN or block.info in NOT_RUN, f"{block.at}: who runs {block.info!r}?"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=name_of)
def test_shell_is_played_or_it_is_said_why_not(page: Path) -> None:
    assert (name_of(page) in PLAYED) is not (name_of(page) in CHECKED)


@pytest.mark.parametrize("page", sorted(PLAYED | BESIDE))
def test_a_page_that_is_said_to_be_played_is(page: str) -> None:
    assert any(f'"{page}"' in test.read_text() for test in HERE.glob("test_*.py"))


def test_pages_that_are_named_exist() -> None:
    pages = {name_of(page) for page in PAGES if any(b.language == "sh" or b.title for b in all_blocks(page))}
    assert PLAYED | BESIDE | set(CHECKED) == pages


@pytest.mark.parametrize(
    "block", [block for page in PAGES for block in blocks(page, "json", "toml")], ids=lambda block: block.at
)
def test_data_can_be_read(block: Block) -> None:
    loads: Callable[[str], object] = json.loads if block.language == "json" else tomllib.loads
    loads(block.text)
