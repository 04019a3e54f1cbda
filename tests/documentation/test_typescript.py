"""The TypeScript of the pages fits the client, and the types that typegen writes; a page's blocks follow each other."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from documents import PAGES, ROOT, Block, all_blocks
from typegen.compiler import compile_folder

TYPES = ROOT / "clients/typescript/node_modules/@types"
#: What pages speak of as the reader's own.
ASSUMED = """
declare function show(...what: unknown[]): void;
declare function freshToken(): Promise<string>;
"""


def blocks_of(page: Path) -> list[Block]:
    return [block for block in all_blocks(page) if block.info == "ts"]


#: What stands on that page is what typegen writes: test_typescript_types.py looks at it.
ANOTHERS = ROOT / "docs/guide/typescript-types.md"


def module_of(blocks: list[Block]) -> str:
    """One module: what is imported first, and each block within the one before, so that it may define a name anew."""
    imports: list[str] = []
    bodies: list[str] = []
    for block in blocks:
        found = re.findall(r"^import [^;]+;$", block.text, flags=re.MULTILINE)
        imports += [line for line in found if line not in imports]
        body = re.sub(r"^import [^;]+;$", "", block.text, flags=re.MULTILINE)
        bodies.append(f"// {block.at}\n{{\n{body}")
    return "\n".join([*imports, ASSUMED, "async () => {", *bodies, "}" * len(bodies), "};"])


@pytest.mark.needs("node")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks_of(page) and page != ANOTHERS],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_typescript_of_a_page_fits(page: Path, tmp_path: Path) -> None:
    typegen = (
        "-m",
        "wigwag",
        "typegen",
        "incidents_fastapi:app",
        "--app-dir",
        str(ROOT / "examples/programs"),
    )
    messages = tmp_path / "messages.ts"
    subprocess.run(
        (sys.executable, *typegen, "-o", str(messages)), check=True, timeout=50, capture_output=True
    )
    (tmp_path / "page.ts").write_text(module_of(blocks_of(page)))
    said = compile_folder(
        tmp_path, noUnusedLocals=False, skipLibCheck=True, typeRoots=[str(TYPES)], types=["node"]
    )
    assert said == "", (tmp_path / "page.ts").read_text()
