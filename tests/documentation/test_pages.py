"""Pages whose shell lines need nothing but an application, or a broker, to be run as they stand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from documentation.player import Player
from documents import ROOT, blocks
from e2e.wire import wait_until
from servers.redis import RedisServer

SMALLEST = (ROOT / "examples/programs/smallest.py").read_text()

pytestmark = pytest.mark.needs("curl")


def checkout(folder: Path, *paths: str) -> None:
    """As much of a checkout as the page's lines are about; what they write stays out of this one."""
    folder.mkdir()
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for path in paths:
        shutil.copytree(ROOT / path, folder / path)


def test_an_application_is_tested_as_the_guide_says(tmp_path: Path) -> None:
    with Player(ROOT / "docs/guide/testing.md", tmp_path) as player:
        player.play()
        assert "3 passed" in player.said["pytest -q test_handlers.py"]
        assert "13 passed" in player.said["pytest -q"]


def test_the_files_of_the_testing_guide_are_those_of_the_example() -> None:
    shown = {block.title: block.text for block in blocks(ROOT / "docs/guide/testing.md", "python")}
    example = {path.name: path.read_text() for path in (ROOT / "examples/testing").glob("*.py")}
    assert example.items() <= shown.items()


def test_the_servers_of_the_guide_start(tmp_path: Path) -> None:
    with Player(ROOT / "docs/guide/serving.md", tmp_path, files={"main.py": SMALLEST}) as player:
        player.play()


@pytest.mark.parametrize("page", ["docs/guide/publishing.md", "docs/wire-protocol.md"])
def test_what_is_published_over_http_is_taken(tmp_path: Path, page: str) -> None:
    with Player(ROOT / page, tmp_path, before=["wigwag serve"]) as player:
        player.play()


@pytest.mark.needs("redis-server")
@pytest.mark.parametrize(
    "page", ["docs/guide/brokers.md", "docs/guide/replicas.md", "providers/redis/README.md"]
)
def test_the_lines_for_redis_lead_to_redis(tmp_path: Path, page: str, redis_server: RedisServer) -> None:
    ports = {"6379": redis_server.port}
    with Player(ROOT / page, tmp_path, files={"main.py": SMALLEST}, ports=ports) as player:
        player.play()


@pytest.mark.needs("redis-server")
def test_the_readme_says_how_to_try_it(tmp_path: Path, redis_server: RedisServer) -> None:
    checkout(tmp_path / "project")
    with Player(ROOT / "README.md", tmp_path, ports={"6379": redis_server.port}) as player:
        player.play()


@pytest.mark.parametrize("page", ["examples/chat/README.md", "examples/dashboard/README.md"])
def test_an_example_runs_as_it_says(tmp_path: Path, page: str) -> None:
    checkout(tmp_path / "project", str(Path(page).parent))
    with Player(ROOT / page, tmp_path) as player:
        player.play()


@pytest.mark.needs("openssl")
def test_a_token_is_made_and_lets_its_bearer_listen(tmp_path: Path) -> None:
    with Player(ROOT / "docs/operations/security.md", tmp_path) as player:
        player.play()
        wait_until(lambda: "listening to orders:7" in player.log, "the client has joined")
        assert "no answer" not in player.log


def test_a_provider_is_begun(tmp_path: Path) -> None:
    with Player(ROOT / "docs/writing-a-provider.md", tmp_path) as player:
        player.play()
        assert (player.folder / "wigwag-pulsar/pyproject.toml").exists()
