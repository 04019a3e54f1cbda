"""How a handler says what its data is: whatever kind of callable it is, its second parameter says it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from wigwag import SocketContext, SocketRouter
from wigwag.sockets.handlers import Route

if TYPE_CHECKING:
    from decimal import Decimal as Unseen


class Say(msgspec.Struct):
    text: str


Ctx = SocketContext[None]


def registered(handler: Any, **more: Any) -> Route:
    """The route that the router makes of it."""
    router = SocketRouter[None]()
    router.on("m", **more)(handler)
    return router.use()["m"]


def data_of(handler: Any, **more: Any) -> Any:
    schema = registered(handler, **more).schema
    return None if schema is None else schema.type


async def plain(ctx: Ctx, data: Say) -> None: ...
def with_default(ctx: Ctx, data: Say | None = None) -> None: ...
def with_more(ctx: Ctx, data: Say, limit: int = 3) -> None: ...
def with_keyword(ctx: Ctx, data: Say, *, limit: int = 3) -> None: ...
def positional_only(ctx: Ctx, data: Say, /) -> None: ...
def with_unseen_context(ctx: SocketContext[Unseen], data: Say) -> Unseen: ...  # type: ignore[empty-body]


def of_a_service(service: object, ctx: Ctx, data: Say) -> None: ...
def with_db(ctx: Ctx, data: Say, db: object) -> None: ...


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Chat:
    def say(self, ctx: Ctx, data: Say) -> None: ...
    @classmethod
    def of_class(cls, ctx: Ctx, data: Say) -> None: ...
    @staticmethod
    def static(ctx: Ctx, data: Say) -> None: ...
    @logged
    def wrapped(self, ctx: Ctx, data: Say) -> None: ...


class Handler:
    func: ClassVar[Any] = with_more  # a name that functools.partial has too

    async def __call__(self, ctx: Ctx, data: Say) -> None: ...


SAY = {
    "function": plain,
    "default third parameter": with_more,
    "keyword with a default": with_keyword,
    "positional only": positional_only,
    "other annotations can't be seen": with_unseen_context,
    "method": Chat().say,
    "class method": Chat.of_class,
    "static method": Chat.static,
    "wrapped method": Chat().wrapped,
    "callable object": Handler(),
    "partial, first filled in": functools.partial(of_a_service, object()),
    "partial, keyword filled in": functools.partial(with_db, db=object()),
    "partial of a partial": functools.partial(functools.partial(of_a_service, object())),
    "partial of a method": functools.partial(Chat().say),
    "wrapped": logged(plain),
    "wrapped twice": logged(logged(plain)),
    "wrapped partial": logged(functools.partial(with_db, db=object())),
    "partial of a wrapped": functools.partial(logged(with_db), db=object()),
}


@pytest.mark.parametrize("handler", SAY.values(), ids=SAY)
def test_the_second_parameter_says_what_the_data_is(handler: Any) -> None:
    assert data_of(handler) is Say


def test_a_default_makes_data_no_less_wanted() -> None:
    assert data_of(with_default) == (Say | None)


def test_a_handler_without_a_second_parameter_has_no_data() -> None:
    assert registered(lambda ctx: None).schema is None


def test_a_class_of_the_function_that_registers_is_seen() -> None:
    class Local(msgspec.Struct):
        x: int

    async def handler(ctx: Ctx, data: list[Local]) -> None: ...

    def register_elsewhere() -> Any:
        return data_of(handler)

    router = SocketRouter[None]()
    router.on("m")(handler)
    schema = router.use()["m"].schema
    assert schema is not None
    assert schema.type == data_of(handler) == register_elsewhere() == list[Local]


def test_a_class_that_hides_one_of_the_module_is_the_one_meant() -> None:
    class Say(msgspec.Struct):
        other: int

    async def handler(ctx: Ctx, data: Say) -> None: ...

    assert data_of(handler) is Say


def test_data_may_be_said_where_an_annotation_can_not() -> None:
    assert data_of(lambda ctx, data: None, data=Say) is Say
    assert data_of(plain, data=dict[str, int]) == dict[str, int]
    assert data_of(lambda *args: None, data=Say) is Say


def quoted(ctx: Ctx, data: "Say") -> None: ...  # noqa: UP037 - quoted, and a string all the same


def test_a_quoted_annotation_is_what_it_says() -> None:
    assert data_of(quoted) is Say


def unannotated(ctx, data):  # type: ignore[no-untyped-def]
    ...


def unseen(ctx: Ctx, data: Unseen) -> None: ...
def broken(ctx: Ctx, data: "1 +") -> None: ...  # type: ignore[valid-type]  # noqa: F722
def variadic(ctx: Ctx, *data: Say) -> None: ...


@pytest.mark.parametrize("handler", [unannotated, unseen, broken, variadic, lambda ctx, data: None])
def test_what_can_not_be_seen_is_an_error_that_says_what_to_write(handler: Any) -> None:
    with pytest.raises(TypeError, match=r"annotate the second parameter of .*, or give data=… to on\(\)"):
        registered(handler)


def test_an_unseen_name_is_in_the_error() -> None:
    with pytest.raises(
        TypeError, match=r"'Unseen' can't be seen from where it is registered \(name 'Unseen'"
    ):
        registered(unseen)


class Inner(msgspec.Struct):
    missing: Unseen


def unseen_field(ctx: Ctx, data: Inner) -> None: ...
def unknown_kind(ctx: Ctx, data: Callable[[], None]) -> None: ...


@pytest.mark.parametrize("handler", [unseen_field, unknown_kind])
def test_a_type_that_can_not_be_validated_is_an_error_that_names_it(handler: Any) -> None:
    with pytest.raises(TypeError, match=f"the data of {handler.__name__}, .* can't be validated"):
        registered(handler)


@pytest.mark.parametrize(
    "handler",
    [
        lambda: None,
        lambda ctx, data, more: None,
        lambda *, ctx: None,
        lambda ctx, data=None, *, db: None,
        with_db,
        Chat.say,  # not bound: it would get ctx as self
    ],
)
def test_a_handler_takes_the_context_and_perhaps_data(handler: Any) -> None:
    with pytest.raises(TypeError, match="a handler takes 1 or 2 arguments, but"):
        registered(handler, data=Say)


def test_a_handler_is_something_to_call() -> None:
    with pytest.raises(TypeError, match="a handler must be callable, not 'say'"):
        registered("say")


def test_data_without_a_parameter_for_it_is_an_error() -> None:
    with pytest.raises(TypeError, match="has no second parameter for data="):
        registered(lambda ctx: None, data=Say)


def test_a_builtin_without_a_signature_is_taken_at_its_word() -> None:
    assert registered(dict.pop).schema is None


def test_the_decorator_gives_the_function_back() -> None:
    assert SocketRouter[None]().on("m")(plain) is plain
