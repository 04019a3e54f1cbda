"""docs/guide/typescript-types.md, played; what it shows is what is written, and the page's script compiles."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from documentation.player import Player
from documents import ROOT, blocks
from typegen.compiler import compile_folder

PAGE = ROOT / "docs/guide/typescript-types.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder after the page was played."""
    with Player(PAGE, tmp_path) as player:
        player.play()
        assert player.said["wigwag typegen app:app -o messages.ts"] == "messages.ts: 1 event, 2 requests\n"
        assert player.said["wigwag typegen app:app -o messages.ts --check"] == ""
    return player.folder


@pytest.mark.needs("node")
def test_what_is_shown_is_written_and_compiles(project: Path) -> None:
    (shown,) = [block.text for block in blocks(PAGE, "ts") if block.title is None]
    written = (project / "messages.ts").read_text()
    assert shown in written
    assert (
        re.sub(
            r"^(//|import|export const|/\*\* What is open.*\*/$).*\n",
            "",
            written.replace(shown, ""),
            flags=re.MULTILINE,
        ).strip()
        == ""
    )
    assert compile_folder(project) == ""
    assert json.loads((project / "asyncapi.json").read_text())["info"] == {
        "title": "Incidents",
        "version": "1.4.0",
    }
    # And the page is refused when it no longer fits.
    (project / "messages.ts").write_text(written.replace("  title: string;\n", ""))
    assert "page.ts" in compile_folder(project)
