"""Pages that show the code of two libraries side by side: the blocks of a title are one program."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from documents import all_blocks


def program(page: Path, title: str) -> str:
    """The blocks of the page that have this title, one after the other."""
    found = [block.text for block in all_blocks(page) if block.title == title]
    assert found, f"{page} has no block with the title {title!r}"
    return "\n\n".join(found)


@contextmanager
def modules(page: Path, folder: Path, **titles: str) -> Iterator[list[ModuleType]]:
    """The programs of these titles as modules of these names, which may import each other; in this order."""
    for name, title in titles.items():
        (folder / f"{name}.py").write_text(program(page, title))
    sys.path.insert(0, str(folder))
    try:
        yield [importlib.import_module(name) for name in titles]
    finally:
        sys.path.remove(str(folder))
        for name in titles:
            sys.modules.pop(name, None)
