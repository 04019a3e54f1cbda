"""What an application hands us to call: how many arguments it takes, and of which type."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator
from types import CoroutineType, FrameType
from typing import Any, Final, NoReturn, TypeGuard

from wigwag.errors import Forbidden
from wigwag.schema import Schema, schema_of
from wigwag.wire.client import Incoming

Handler = Callable[..., Any]
#: ``(ctx)``, or for a message guard ``(ctx, message)``; sync or async; true lets pass.
Guard = Callable[..., Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Done(Coroutine[Any, Any, None]):
    """What may be awaited, or made a task of, and has nothing left to do.

    A type of its own, so that no checker asks for the ``await`` that a plain function can't write.
    """

    def send(self, value: Any) -> NoReturn:
        """End at once."""
        raise StopIteration

    def throw(self, *exc: Any) -> NoReturn:
        """Nothing is there to catch it."""
        raise exc[0]

    def close(self) -> None:
        """Nothing is open."""

    def __await__(self) -> Generator[Any, Any, None]:
        return
        yield


DONE: Final = Done()


async def call(function: Handler, *args: Any) -> Any:
    """Call it, and await what it returns if that can be awaited.

    Asked of the result, since no look at a callable tells it for objects with an async ``__call__``,
    partials and lambdas alike.
    """
    result = function(*args)
    return await result if is_awaitable(result) else result


def is_awaitable(result: object) -> TypeGuard[Awaitable[Any]]:
    """Whether there is something to await; the usual cases are told without asking an abstract class."""
    if result is None or result is DONE:
        return False
    return type(result) is CoroutineType or isinstance(result, Awaitable)


class MessageGuard:
    """A guard, and whether it wants to see the message."""

    __slots__ = ("_guard", "_takes_message")

    def __init__(self, guard: Guard) -> None:
        """Raises TypeError unless it takes ``(ctx)`` or ``(ctx, message)``."""
        self._guard = guard
        self._takes_message = arity(guard, "a guard", (1, 2)) == 2

    async def check(self, ctx: Any, message: Incoming) -> None:
        """Raises Forbidden where it says no, and whatever it raises."""
        guard = self._guard
        passed = guard(ctx, message) if self._takes_message else guard(ctx)
        if passed is not True:
            if is_awaitable(passed):
                passed = await passed
            if not passed:
                raise Forbidden


class Route:
    """A message type, what guards it, what it must be, and what handles it."""

    __slots__ = ("guards", "handler", "name", "schema")

    def __init__(
        self, name: str, handler: Handler, guards: list[MessageGuard], schema: Schema[Any] | None
    ) -> None:
        self.name: str = name
        self.handler: Handler = handler
        self.guards: list[MessageGuard] = guards
        self.schema: Schema[Any] | None = schema


def arity(function: Any, what: str, allowed: tuple[int, ...]) -> int:
    """How many positional arguments it is to be called with, of those allowed.

    Raises:
        TypeError: it can't be called with any of them.
    """
    if not callable(function):
        raise TypeError(f"{what} must be callable, not {function!r}")
    try:
        found = signature(function)
    except (TypeError, ValueError):  # a builtin without a signature
        return allowed[0]
    parameters = found.parameters.values()
    needs_keyword = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
    required = sum(p.kind in _POSITIONAL and p.default is p.empty for p in parameters)
    most = sum(p.kind in _POSITIONAL for p in parameters)
    unbounded = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    for count in sorted(allowed, reverse=True):
        if required <= count and (count <= most or unbounded) and not needs_keyword:
            return count
    counts = " or ".join(str(count) for count in allowed)
    raise TypeError(f"{what} takes {counts} arguments, but {_name(function)} takes {found}")


def data_schema(function: Handler, given: Any, depth: int) -> Schema[Any] | None:
    """The schema of a handler's second parameter; None if it has no second.

    ``given`` is what the application said by ``data=``, or None.  ``depth`` is how many frames up it
    was registered: an annotation that is a string is evaluated with what can be seen from there.

    Raises:
        TypeError: the annotation is missing, can't be seen from there, or can't be validated.
    """
    if arity(function, "a handler", (1, 2)) == 1:
        if given is not None:
            raise TypeError(f"{_name(function)} has no second parameter for data={given!r}")
        return None
    type_ = given if given is not None else _annotation(function, sys._getframe(depth + 1))
    try:
        return schema_of(type_)
    except (TypeError, NameError) as exc:  # NameError: a field's annotation, seen from its module alone
        raise TypeError(f"the data of {_name(function)}, {type_!r}, can't be validated: {exc}") from exc


def _annotation(function: Handler, frame: FrameType | None) -> Any:
    """The annotation of the second parameter, and of no other: one that is there for type checkers only
    (under ``TYPE_CHECKING``) does no harm elsewhere."""
    parameters = [p for p in signature(function).parameters.values() if p.kind in _POSITIONAL]
    annotation = parameters[1].annotation if len(parameters) > 1 else inspect.Parameter.empty
    advice = f"annotate the second parameter of {_name(function)}, or give data=… to on()"
    if annotation is inspect.Parameter.empty:
        raise TypeError(f"what is the data of this handler? {advice}")
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__forward_arg__", None)
    if text is None:
        return annotation
    module = getattr(written(function), "__globals__", {})
    names = dict(module)
    frames = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    for outer in reversed(frames):
        if outer.f_globals is module:
            names.update(outer.f_locals)
    try:
        value = eval(text, names)  # the application's own source, as typing.get_type_hints does
        return eval(value, names) if isinstance(value, str) else value  # "Quoted" is a string twice
    except Exception as exc:
        raise TypeError(f"{text!r} can't be seen from where it is registered ({exc}): {advice}") from exc


def written(function: Any) -> Any:
    """The function whose source holds the annotations of a handler: within wrappers, partials and objects."""
    while True:
        inner = inspect.unwrap(function)
        if isinstance(inner, functools.partial):
            inner = inner.func
        elif not inspect.isroutine(inner):
            inner = inner.__call__
        if inner is function:
            return inner
        function = inner


def signature(function: Any) -> inspect.Signature:
    """As it is called: what a partial has filled in, or a method's self, is not in it."""
    if sys.version_info >= (3, 14):  # where annotations are evaluated when they are asked for
        import annotationlib

        return inspect.signature(function, annotation_format=annotationlib.Format.FORWARDREF)
    return inspect.signature(function)


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))
