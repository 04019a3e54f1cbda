# No `from __future__ import annotations` here: the annotations are objects, or strings that were written so.
"""Handlers whose annotations are evaluated where they stand."""

import dataclasses
import functools
import inspect
from typing import Any

import msgspec
import pytest

from wigwag import SocketContext, SocketRouter


class Say(msgspec.Struct):
    text: str


def data_of(handler: Any) -> Any:
    router = SocketRouter[None]()
    router.on("m")(handler)
    schema = router.use()["m"].schema
    assert schema is not None
    return schema.type


async def plain(ctx: SocketContext[None], data: Say) -> None: ...
async def quoted(ctx: "SocketContext[None]", data: "Say") -> None: ...
async def bare(ctx, data: Say): ...  # type: ignore[no-untyped-def]


class Handler:
    async def __call__(self, ctx: SocketContext[None], data: Say) -> None: ...


@pytest.mark.parametrize("handler", [plain, quoted, bare, Handler(), functools.partial(plain)])
def test_the_second_parameter_says_what_the_data_is(handler: Any) -> None:
    assert data_of(handler) is Say


def test_a_signature_of_its_own_counts() -> None:
    def handler(*args: Any) -> None: ...

    handler.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    assert data_of(handler) is Say


def test_any_form_of_a_type_will_do() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    def of_list(ctx: SocketContext[None], data: list[Local]) -> None: ...
    def of_union(ctx: SocketContext[None], data: Say | None) -> None: ...
    def of_none(ctx: SocketContext[None], data: None) -> None: ...
    def of_any(ctx: SocketContext[None], data: Any) -> None: ...

    assert data_of(of_list) == list[Local]
    assert data_of(of_union) == (Say | None)
    assert data_of(of_none) is None
    assert data_of(of_any) is Any


class Foreign:
    pass


def half_quoted(ctx: SocketContext[None], data: list["Say"]) -> None: ...
def foreign(ctx: SocketContext[None], data: Foreign) -> None: ...
def of_foreign(ctx: SocketContext[None], data: dict[str, list[Foreign]]) -> None: ...
def anything(ctx: SocketContext[None], data: object) -> None: ...


@pytest.mark.parametrize("handler", [half_quoted, foreign, of_foreign, anything])
def test_what_can_not_be_validated_is_an_error_when_it_is_registered(handler: Any) -> None:
    with pytest.raises(TypeError, match=f"the data of {handler.__name__}, .* can't be validated"):
        data_of(handler)
