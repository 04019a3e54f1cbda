"""What the pages about Kubernetes show is rendered, and Kubernetes takes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from charts.programs.schemas import NEWEST, OLDEST, validate
from charts.rendering import CHART, Manifest, helm, render
from documents import ROOT, Block, blocks

PAGES = ("docs/operations/kubernetes.md", "charts/wigwag/README.md")
#: Of clouds, whose definitions are not to be had.
UNKNOWN = {"GCPBackendPolicy", "HealthCheckPolicy"}
SHELL = [block for page in PAGES for block in blocks(ROOT / page, "sh")]
VALUES = [block for page in PAGES for block in blocks(ROOT / page, "yaml")]
BROKERS = sorted((ROOT / "charts/brokers").glob("*.yaml"))


def check(manifests: list[Manifest]) -> None:
    assert manifests
    for manifest in manifests:
        if manifest["kind"] not in UNKNOWN:
            for version in (OLDEST, NEWEST):
                validate(manifest, version)


@pytest.mark.needs("charts")
@pytest.mark.parametrize("block", VALUES, ids=lambda block: block.at)
def test_values_of_a_page_are_values(block: Block) -> None:
    check(render(yaml.safe_load(block.text)))


@pytest.mark.needs("charts")
@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.at)
def test_an_install_of_a_page_is_one(block: Block) -> None:
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        if words[:2] == ["helm", "install"]:
            assert words[2:4] == ["wigwag", "charts/wigwag"]
            options = [word for word in words[4:] if word != "--wait"]
            check([each for each in yaml.safe_load_all(helm("template", "wigwag", CHART, *options)) if each])
        else:
            assert words[0] in ("kubectl", "helm"), words
            files = [word for word in words if word.endswith(".yaml")]
            assert all((ROOT / file).exists() for file in files)


@pytest.mark.needs("charts")
@pytest.mark.parametrize("path", BROKERS, ids=lambda path: path.name)
def test_brokers_to_try_it_with_are_taken(path: Path) -> None:
    check(list(yaml.safe_load_all(path.read_text())))


def test_there_is_something_to_test() -> None:
    assert len(VALUES) > 10
    assert len(SHELL) >= 3
    assert BROKERS
