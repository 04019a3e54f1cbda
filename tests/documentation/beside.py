"""Pages that show the code of two libraries side by side: the blocks of a title are one program."""

from __future__ import annotations

import asyncio
import importlib
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import ModuleType

from documents import ROOT, all_blocks

HERE = Path(__file__).parent
BUNDLE = ROOT / "core/src/wigwag/service/static/wigwag-client.js"


def program(page: Path, title: str) -> str:
    """The blocks of the page that have this title, one after the other."""
    found = [block.text for block in all_blocks(page) if block.title == title]
    assert found, f"{page} has no block with the title {title!r}"
    return "\n\n".join(found)


class Script:
    """A page's script, run by Node: ``url`` is given, and what it hands to ``show`` is read line by line."""

    def __init__(self, page: Path, title: str, folder: Path) -> None:
        modules = folder / "node_modules"
        (modules / "wigwag-client").mkdir(parents=True)
        shutil.copy(BUNDLE, modules / "wigwag-client/index.js")
        (modules / "wigwag-client/package.json").write_text('{"type": "module", "exports": "./index.js"}')
        (modules / "socket.io-client").symlink_to(HERE / "node_modules/socket.io-client")
        self._path = folder / "page.mjs"
        self._path.write_text(f"const url = process.argv[2], show = console.log;\n{program(page, title)}")

    @asynccontextmanager
    async def running(self, url: str) -> AsyncIterator[Callable[[], Awaitable[str]]]:
        """Run it; yields what reads its next line."""
        node = await asyncio.create_subprocess_exec(
            "node", "--experimental-websocket", str(self._path), url, stdout=asyncio.subprocess.PIPE
        )
        assert node.stdout is not None
        lines = node.stdout

        async def read() -> str:
            async with asyncio.timeout(20):
                return (await lines.readline()).decode().strip()

        try:
            yield read
        finally:
            node.kill()
            await node.communicate()


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
