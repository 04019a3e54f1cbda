"""``wigwag serve`` twice on the same ports: the second must say so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from serving import LIMIT_S, run, serving
from wigwag.service.addresses import CannotServe, bind
from wigwag.settings import Listen


@pytest.mark.parametrize("shared", ["--listen", "--internal-listen"])
def test_a_second_service_on_the_same_port_ends_with_one_line(shared: str) -> None:
    assert importlib.util.find_spec("uvloop") is not None  # which did not say that it could not listen
    with serving() as first:
        taken = (first.public if shared == "--listen" else first.internal).removeprefix("http://")
        other = "--internal-listen" if shared == "--listen" else "--listen"
        done = run("serve", shared, taken, other, "127.0.0.1:0")
        assert first.get(f"{first.internal}/livez")[0] == 200
    assert done.returncode == 1
    variable = "WIGWAG_LISTEN" if shared == "--listen" else "WIGWAG_INTERNAL_LISTEN"
    expected = f"can't listen on {taken}: address already in use; choose another with {shared} ({variable})"
    assert done.stderr == f"wigwag: {expected}\n"


REPORTING = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})
"""


def test_what_a_client_says_of_its_address_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "reporting.py").write_text(REPORTING)
    with serving("reporting:app", cwd=tmp_path) as service:
        request = Request(f"{service.public}/", headers={"X-Forwarded-For": "192.0.2.7"})
        with urlopen(request, timeout=LIMIT_S) as answer:
            assert answer.read() == b"127.0.0.1"


def test_what_is_bound_is_taken_before_it_is_served() -> None:
    with bind(Listen("127.0.0.1", 0), "WIGWAG_LISTEN", "--listen") as first:  # whose application still starts
        taken = Listen(*first.getsockname())
        with pytest.raises(CannotServe, match="address already in use"):
            bind(taken, "WIGWAG_LISTEN", "--listen")
