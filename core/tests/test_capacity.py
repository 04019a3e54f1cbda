"""How many connections there is room for."""

from __future__ import annotations

import logging
import resource

import pytest

from wigwag.service.capacity import capacity, raise_file_limit
from wigwag.settings import ServiceSettings


@pytest.mark.parametrize(
    ("wanted", "files", "expected"),
    [
        (None, 1024, (1024 - 128 - 128, 128)),
        (None, 65536, (65536 - 1024 - 128, 1024)),
        (500, 65536, (500, 1024)),
        (None, 64, (1, 16)),
        (500, None, (500, 1024)),
        (None, None, (None, 1024)),
    ],
)
def test_there_is_room_for_sockets_and_for_what_is_beside_them(
    wanted: int | None, files: int | None, expected: tuple[int | None, int]
) -> None:
    assert capacity(ServiceSettings(max_connections=wanted), files) == expected


def test_what_there_is_no_room_for_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert capacity(ServiceSettings(max_connections=50_000), 1024) == (768, 128)
    assert "WIGWAG_MAX_CONNECTIONS=50000, and there is room for 768" in caplog.text


def test_the_soft_limit_is_raised_to_the_hard_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append(limits))
    assert raise_file_limit() == 4096
    assert asked == [(4096, 4096)]


def test_without_a_hard_limit_it_is_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, limits: asked.append(limits))
    assert raise_file_limit() == 1 << 20
    assert asked == [(1 << 20, resource.RLIM_INFINITY)]


def test_what_can_not_be_raised_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(kind: int, limits: tuple[int, int]) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert raise_file_limit() == 256


def test_what_is_high_enough_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (4096, 4096))
    monkeypatch.delattr(resource, "setrlimit")
    assert raise_file_limit() == 4096
