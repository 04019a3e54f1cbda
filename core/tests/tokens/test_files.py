"""Files that are exchanged while the server runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from clocks import backend, settle
from signing import OTHER_SECRET, SECRET
from wigwag.errors import SettingsError
from wigwag.settings import Secret, Secrets
from wigwag.tokens.files import LOOK_S, MAX_FILE_BYTES, WatchedFile, watch

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param  # by the real clock: files are read in a thread


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("one\n\n  two \n")
    return path


def write(path: Path, content: str | bytes | None) -> None:
    """Put this there; None takes it away."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def watched(path: Path) -> WatchedFile[Secrets]:
    return WatchedFile(str(path), Secrets.parse_lines, "WIGWAG_X_FILE")


def revealed(file: WatchedFile[Secrets]) -> list[str]:
    return [secret.reveal() for secret in file.value]


async def test_each_line_is_a_secret(path: Path) -> None:
    assert revealed(watched(path)) == ["one", "two"]


async def test_what_it_has_now_counts(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = watched(path)
    write(path, "three")
    with caplog.at_level(logging.INFO):
        await file.look()
        await file.look()
    assert revealed(file) == ["three"]
    assert caplog.text.count("has changed") == 1
    assert "three" not in caplog.text


async def test_a_mounted_secret_is_exchanged_by_its_link(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(name)
    (tmp_path / "data").symlink_to("old")
    file = watched(tmp_path / "data/key")
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(tmp_path / "data")
    await file.look()
    assert revealed(file) == ["new"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty, and must have a secret a line"),
        (b"\n \n", "it is empty, and must have a secret a line"),
        (b"s3cr3\x00t", "each line must be printable ASCII characters"),
        ("clé".encode(), "each line must be printable ASCII characters"),
        (b"x" * (MAX_FILE_BYTES + 1), f"it has more than {MAX_FILE_BYTES} bytes"),
        (None, "no such file or directory"),
    ],
)
async def test_what_can_not_be_used_is_said_once_and_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None, said: str
) -> None:
    file = watched(path)
    write(path, content)
    for _ in range(3):
        await file.look()
    assert revealed(file) == ["one", "two"]
    assert [record.getMessage() for record in caplog.records] == [
        f"WIGWAG_X_FILE={path}: {said}; what it had before still counts"
    ]
    with pytest.raises(SettingsError) as caught:
        watched(path)
    assert str(caught.value) == f"WIGWAG_X_FILE={path}: {said}"
    write(path, "three")
    await file.look()
    assert revealed(file) == ["three"]


async def test_a_file_that_is_as_before_after_all_is_good_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = watched(path)
    for _ in range(2):
        write(path, "")
        await file.look()
        write(path, "one\n\n  two \n")
        await file.look()
    assert len(caplog.records) == 2  # of each time that it could not be used


class TestWatching:
    @pytest.fixture
    def anyio_backend(self) -> Any:
        return backend("asyncio")

    async def test_files_are_looked_at_every_few_seconds(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def at_once(function: Any, *args: Any, **_: Any) -> Any:
            return function(*args)

        monkeypatch.setattr("wigwag.tokens.files.to_thread.run_sync", at_once)
        files = [watched(path), watched(path)]
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, files)
            write(path, "three")
            await anyio.sleep(LOOK_S - 0.1)
            assert revealed(files[0]) == ["one", "two"]
            await anyio.sleep(0.2)
            await settle()
            assert [revealed(file) for file in files] == [["three"], ["three"]]
            tasks.cancel_scope.cancel()

    async def test_without_files_nothing_is_watched(self) -> None:
        await watch([])


def test_several_secrets_of_a_setting_stand_between_commas() -> None:
    assert Secrets.parse(f"{SECRET.replace(',', '')}") == (Secret(SECRET.replace(",", "")),)
    assert Secrets.parse("a,b") == (Secret("a"), Secret("b"))
    for text in ("", ",", "a,", "a, b", " a", "é"):
        with pytest.raises(ValueError, match=r"^not a secret"):
            Secrets.parse(text)
    shown = repr(Secrets.parse("a,b")) + str(Secrets.parse("a,b")) + f"{Secrets([Secret(OTHER_SECRET)])}"
    assert OTHER_SECRET not in shown
    assert "a" not in shown
