"""``wigwag new-provider``: a distribution to begin with."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from command import Wigwag


@pytest.fixture
def wigwag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Wigwag:
    return Wigwag(monkeypatch, capsys)


@pytest.mark.parametrize("name", ["my_mqtt", "my-mqtt", "wigwag-my-mqtt"])
def test_it_writes_a_distribution(wigwag: Wigwag, tmp_path: Path, name: str) -> None:
    ended = wigwag("new-provider", name, "--directory", str(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    root = tmp_path / "wigwag-my-mqtt"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["name"] == "wigwag-my-mqtt"
    assert project["entry-points"]["wigwag"] == {"my_mqtt": "wigwag_my_mqtt.plugin"}
    sources = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.py"))
    assert sources == [
        "src/wigwag_my_mqtt/__init__.py",
        "src/wigwag_my_mqtt/broker.py",
        "src/wigwag_my_mqtt/plugin.py",
        "src/wigwag_my_mqtt/settings.py",
        "tests/test_contract.py",
    ]
    for source in sources:
        ast.parse((root / source).read_text())
    assert not [path for path in root.rglob("*") if path.is_file() and "$" in path.read_text()]
    assert "WIGWAG_PROVIDER=my_mqtt wigwag check" in ended.out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Mqtt", "lower case"),
        ("7", "lower case"),
        ("a/b", "lower case"),
        ("", "lower case"),
        ("redis", "wigwag's own"),
        ("memory", "wigwag's own"),
    ],
)
def test_a_name_that_can_not_be_one_is_refused(wigwag: Wigwag, tmp_path: Path, name: str, said: str) -> None:
    ended = wigwag("new-provider", name, "--directory", str(tmp_path))
    assert ended.code == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(wigwag: Wigwag, tmp_path: Path) -> None:
    wigwag("new-provider", "demo", "--directory", str(tmp_path))
    mine = tmp_path / "wigwag-demo" / "README.md"
    mine.write_text("mine")
    ended = wigwag("new-provider", "demo", "--directory", str(tmp_path))
    assert ended.code == 2
    assert "exists already" in ended.err
    assert mine.read_text() == "mine"
