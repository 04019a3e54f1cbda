"""Which messages belong to an application."""

from __future__ import annotations

import itertools
import sys
import typing
from collections.abc import Callable
from pathlib import Path

import pytest

from wigwag.errors import NotDescribable, SettingsError
from wigwag.typegen import Found, find

Write = Callable[..., None]


def events(found: Found) -> list[str]:
    return [event.name for event in found.events]


def requests(found: Found) -> list[tuple[str | None, list[str]]]:
    """The paths of the endpoints, each with what it takes."""
    return [(endpoint.path, [request.type for request in endpoint.requests]) for endpoint in found.endpoints]


SAID = """
from wigwag import SocketMessage
class {name}(SocketMessage, name="{wire}"):
    text: str
"""
APP = """
from wigwag import MessageRegistry, SocketContext, SocketRouter, Sockets
from starlette.applications import Starlette
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Host, Mount
def taking(*types):
    router = SocketRouter()
    for type_ in types:
        @router.on(type_)
        def handle(ctx: SocketContext) -> None: ...
    return Sockets(routers=[router])
"""


# What is emitted


def test_the_messages_of_a_package_are_those_that_its_loaded_modules_name(write: Write) -> None:
    write(
        **{
            "shop/__init__": "",
            "shop/main": "from shop import orders\nimport shop.deep.down\n",
            "shop/orders": SAID.format(name="Paid", wire="paid"),
            "shop/deep/down": SAID.format(name="Shipped", wire="shipped"),
            "shop/unused": SAID.format(name="Unused", wire="unused"),
        }
    )
    assert events(find(["shop.main"])) == ["paid", "shipped"]


def test_modules_beside_it_are_of_the_application_too(write: Write) -> None:
    write(main="import orders, kinds.more", orders=SAID.format(name="Paid", wire="paid"))
    write(**{"kinds/more": SAID.format(name="More", wire="more")})
    assert events(find(["main"])) == ["more", "paid"]


def test_installed_modules_are_not(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path / "lib/site-packages"))
    write(
        main="import installed, corp.installed",
        **{
            "lib/site-packages/installed": SAID.format(name="Foreign", wire="foreign"),
            "lib/site-packages/corp/installed": SAID.format(name="Corp", wire="corp"),
            "own": SAID.format(name="Own", wire="own"),
        },
    )
    with pytest.raises(NotDescribable, match=r"no SocketMessage is named in main\. --messages MODULE says"):
        find(["main"])
    assert events(find(["main"], messages=["corp"])) == ["corp"]  # what is loaded below it
    assert events(find(["main"], messages=["installed", "own"])) == ["foreign", "own"]


def test_an_installed_application_is_its_own_package_alone(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path / "lib/site-packages"))
    write(
        **{
            "lib/site-packages/other": SAID.format(name="Foreign", wire="foreign"),
            "lib/site-packages/shop/__init__": "import other\nfrom . import orders",
            "lib/site-packages/shop/orders": SAID.format(name="Paid", wire="paid"),
        }
    )
    assert events(find(["shop"])) == ["paid"]


def test_a_message_that_is_imported_by_name_is_the_applications(write: Write, tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path / "lib/site-packages"))
    write(
        main="from installed import A as Renamed, Typed",
        **{
            "lib/site-packages/installed": SAID.format(name="A", wire="a")
            + SAID.format(name="B", wire="b")
            + 'Typed = SocketMessage.define("typed", dict[str, int])\n'
        },
    )
    assert events(find(["main"])) == ["a", "typed"]


def test_messages_may_stand_in_classes_and_not_in_functions(write: Write) -> None:
    write(
        main="""
        from wigwag import SocketMessage
        class Events:
            class Created(SocketMessage, name="created"): ...
            class Deeper:
                Gone = SocketMessage.define("gone", dict[str, int])
                Again = None
        Events.Deeper.Again = Events
        class Base(SocketMessage):
            text: str
        class Said(Base, name="said"): ...
        class Nameless(Said): ...
        def later():
            class Never(SocketMessage, name="never"): ...
            return Never
        kept = [later()]
        """
    )
    assert events(find(["main"])) == ["created", "gone", "said"]


def test_what_pretends_to_be_something_else_is_not_looked_into(write: Write) -> None:
    write(
        main=SAID.format(name="Said", wire="said")
        + """
class Lazy:
    @property
    def __class__(self): raise RuntimeError("looked at")
    def __getattr__(self, name): raise RuntimeError("looked at")
lazy = Lazy()
import sys
sys.modules["main_lazy"] = lazy
"""
    )
    try:
        assert events(find(["main"])) == ["said"]
    finally:
        del sys.modules["main_lazy"]


def test_one_name_for_two_messages(write: Write) -> None:
    from wigwag.typegen import describe

    write(
        main="import one, two, three",
        one=SAID.format(name="Said", wire="said"),
        two=SAID.format(name="AlsoSaid", wire="said"),
        three="",
    )
    api = describe(find(["main"]))
    assert [event.name for event in api.events] == ["said"]
    assert list(api.types) == ["Said"]
    write(three=SAID.format(name="Said", wire="said") + "    room: str\n")
    with pytest.raises(NotDescribable) as raised:
        describe(find(["main"]))
    assert str(raised.value) == "two messages are called 'said', with different data: one.Said and three.Said"


def test_the_order_of_imports_does_not_matter(write: Write) -> None:
    from wigwag.typegen import describe, typescript

    sources = {
        "one": "from typing import *\nfrom wigwag import SocketMessage\n"
        "class One(SocketMessage, name='one'):\n    a: List[Union[int, str]]\n    b: Literal['x', 'y'] | None\n",
        "two": "from typing import *\nfrom wigwag import SocketMessage\n"
        "class Two(SocketMessage, name='two'):\n    a: List[Union[str, int]]\n    b: Literal['y', 'x'] | None\n",
        "three": "from pydantic import BaseModel\nfrom typing import *\nfrom wigwag import SocketMessage\n"
        "class Model(BaseModel):\n    a: List[Union[str, int]]\n    b: Optional[Literal['y', 'x']]\n"
        "Three = SocketMessage.define('three', Model)\n",
    }
    written = set()
    for order in itertools.permutations(sources):
        for clear in typing._cleanups:  # type: ignore[attr-defined]  # as in a new process: it keeps what is equal
            clear()
        write(main=f"import {', '.join(order)}", **sources)
        written.add(typescript(describe(find(["main"]))))
    assert len(written) == 1


# What is taken


def test_the_sockets_in_an_applications_routes(write: Write) -> None:
    write(
        main=APP
        + """
def create():
    inner = Starlette(routes=[taking("b").route("/ws/{room:int}"), taking("c").route("/other")])
    host = Starlette(routes=[taking("d").route("/d")])
    return Starlette(routes=[taking("a", "z").route("/ws"), Mount("/sub", app=inner), Host("x.org", app=host)])
app = TrustedHostMiddleware(create())
"""
    )
    assert requests(find(["main:app"])) == [
        ("/d", ["d"]),
        ("/sub/other", ["c"]),
        ("/sub/ws/{room:int}", ["b"]),
        ("/ws", ["a", "z"]),
    ]


def test_sockets_that_an_endpoint_of_the_applications_own_serves(write: Write) -> None:
    write(
        shared=APP + "own = taking('own')\nrouted = taking('routed')\n",
        main=APP
        + """
from shared import own, routed
import shared
app = Starlette(routes=[routed.route("/ws"), routed.route("/again")])
""",
    )
    assert requests(find(["main:app"])) == [(None, ["own"]), ("/again", ["routed"]), ("/ws", ["routed"])]
    assert requests(find(["main:own"])) == [(None, ["own"])]
    assert requests(find(["main"])) == [(None, ["own"]), (None, ["routed"])]


def test_routers_and_registries(write: Write) -> None:
    write(
        main=APP
        + """
class Kept:
    registry = MessageRegistry().rooms(anyone=True)
    router = SocketRouter()
@Kept.router.on("x")
def x(ctx: SocketContext) -> None: ...
"""
    )
    assert requests(find(["main:Kept.registry"])) == [(None, ["room.join", "room.leave"])]
    both = find(["main:Kept.registry", "main:Kept.router"])
    assert requests(both) == [(None, ["room.join", "room.leave"]), (None, ["x"])]


def test_two_routers_that_take_the_same(write: Write) -> None:
    write(
        main=APP
        + """
def router(reply):
    router = SocketRouter()
    def handle(ctx: SocketContext): ...
    handle.__annotations__["return"] = reply
    router.on("x")(handle)
    return router
one, two = Sockets(routers=[router(int)]), Sockets(routers=[router(str)])
three = Sockets(routers=[router(int), router(int)])
app = Starlette(routes=[one.route("/1"), two.route("/2")])
"""
    )
    from wigwag.typegen import describe

    with pytest.raises(NotDescribable, match=r"'x' is two requests: main\.router\.<locals>\.handle and"):
        describe(find(["main:one", "main:two"]))
    with pytest.raises(NotDescribable, match="three: messages of type 'x' are handled by two routers"):
        find(["main:three"])
    describe(find(["main:one", "main:one"]))


def test_handlers_of_all_kinds(write: Write) -> None:
    write(
        main=APP
        + """
import functools
router = SocketRouter()
def through(function):
    @functools.wraps(function)
    async def wrapper(*args): return await function(*args)
    return wrapper
@router.on("wrapped")
@through
async def wrapped(ctx: SocketContext, data: int) -> "dict[str, int]":
    \"\"\"Counts.\"\"\"
class Handler:
    async def __call__(self, ctx: SocketContext, data: int) -> list[int]: ...
    def method(self, ctx: SocketContext) -> str: ...
router.on("object")(Handler())
router.on("method")(Handler().method)
router.on("partial")(functools.partial(wrapped.__wrapped__))
router.on("lambda")(lambda ctx: 1)
"""
    )
    (endpoint,) = find(["main:router"]).endpoints
    replies = {request.type: request.reply for request in endpoint.requests}
    says = {request.type: request.says_no_reply for request in endpoint.requests}
    assert says == dict.fromkeys(replies, False) | {"lambda": True}
    assert (replies["wrapped"], replies["object"], replies["method"]) == (dict[str, int], list[int], str)
    assert replies["partial"] == dict[str, int]
    assert [r.description for r in endpoint.requests if r.type == "wrapped"] == ["Counts."]


def test_what_a_message_says_that_it_is_answered_with(write: Write) -> None:
    write(
        main=APP
        + """
from wigwag import ServerMessage
class Say(ServerMessage[int], name="say"): ...
class Ask(ServerMessage[int], name="ask"): ...
class Tell(ServerMessage, name="tell"): ...
def unannotated(ctx, data): ...
def annotated(ctx, data) -> "bool": ...
registry = MessageRegistry().on(Say, unannotated).on(Ask, annotated).on(Tell, unannotated)
"""
    )
    (endpoint,) = find(["main:registry"]).endpoints
    assert [(request.type, request.reply) for request in endpoint.requests if not request.says_no_reply] == [
        ("ask", bool),
        ("say", int),
    ]


def test_events_of_the_server_itself_are_not_the_applications(write: Write) -> None:
    write(main="from wigwag.client import Dropped, Resync\n" + SAID.format(name="Said", wire="said"))
    assert events(find(["main"])) == ["said"]


# What can't be


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("", "'' names nothing: it must be MODULE:NAME, like main:app, or MODULE"),
        ("main:", "'main:' names nothing"),
        (":app", "':app' names nothing"),
        ("nowhere:app", r"nowhere:app: there is no module 'nowhere' in .*: --app-dir says where to look"),
        ("main:nothing", "main:nothing: module 'main' has no attribute 'nothing'"),
        ("main:number", "main:number is int: it must be an ASGI application, a Sockets, a SocketRouter or"),
        ("main:Said", "main:Said is the class Said: it must be"),
    ],
)
def test_a_target_that_is_none(write: Write, target: str, message: str) -> None:
    write(main=SAID.format(name="Said", wire="said") + "number = 7\n")
    with pytest.raises(SettingsError, match=message):
        find([target])


def test_messages_are_looked_for_in_modules(write: Write) -> None:
    write(main=SAID.format(name="Said", wire="said"))
    with pytest.raises(SettingsError, match="--messages main:Said is no module"):
        find(["main"], messages=["main:Said"])


def test_what_a_module_prints_is_no_part_of_what_is_found(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write(main="print('hello')" + SAID.format(name="Said", wire="said"))
    find(["main"])
    assert capsys.readouterr() == ("", "hello\n")
