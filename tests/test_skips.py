"""In CI a test is skipped only for what the machine lacks and can't be given: see conftest.py."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).parents[1] / "conftest.py"
INI = "[pytest]\nmarkers =\n    needs(name): what it needs\n"
SKIPS = """
    import pytest

    @pytest.mark.needs("chromium")
    def test_by_need():
        pass

    def test_by_hand():
        pytest.skip("not today")

    def test_by_hand_with_an_excuse():
        pytest.skip("not on this machine: docker (none)")

    @pytest.mark.xfail
    def test_that_is_known_to_fail():
        assert False
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a project with our conftest.py and a chromium that is not there."""
    pytester.makeini(INI)
    pytester.makepyfile(SKIPS)
    pytester.makeconftest(CONFTEST.read_text())
    monkeypatch.setenv("CHROMIUM", str(pytester.path / "no-browser"))
    monkeypatch.delenv("CI", raising=False)
    return pytester


def as_user(suite: pytest.Pytester, *, root: bool) -> None:
    """Let the machine be one on which a package can be installed, or not."""
    with (suite.path / "conftest.py").open("a") as conftest:
        conftest.write(f"\nNEEDS['chromium'] = Need(NEEDS['chromium'].is_here, lambda: {root}, 'how')\n")


def test_outside_ci_a_skip_is_a_skip(suite: pytest.Pytester) -> None:
    suite.runpytest_inprocess().assert_outcomes(skipped=3, xfailed=1)


def test_in_ci_only_a_need_that_cannot_be_met_is_skipped(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    as_user(suite, root=False)
    result = suite.runpytest_inprocess("-rs")
    result.assert_outcomes(skipped=1, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(["*not on this machine: chromium (how)*"])


def test_in_ci_a_need_that_can_be_met_fails(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    as_user(suite, root=True)
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1, failed=2, xfailed=1)
    result.stdout.fnmatch_lines(["*chromium is missing and can be had: how*"])


def test_in_ci_a_module_that_skips_itself_fails(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile(test_whole="import pytest; pytest.importorskip('not_installed')")
    suite.runpytest_inprocess().assert_outcomes(errors=1)


def test_a_need_that_nobody_knows_is_an_error(suite: pytest.Pytester) -> None:
    suite.makepyfile("import pytest\n@pytest.mark.needs('crhomium')\ndef test_it(): pass")
    result = suite.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*unknown need 'crhomium'; known: chromium*"])
