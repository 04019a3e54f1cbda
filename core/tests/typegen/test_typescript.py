"""The file of TypeScript as a whole: its maps, constants and form."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wigwag.errors import NotDescribable

Written = Callable[[str], str]

WHOLE = """\
// Made by `wigwag typegen main`: change the Python, and run it again.
import { ClientMessage } from "wigwag-client";

export interface Incident {
  uuid: string;
  note: string | null;
}

export interface IncidentInput {
  uuid: string;
  note?: string | null;
}

/** What the server emits: name to data. */
export interface Events {
  "counts": Record<string, number>;
  "incident.created": Incident;
}

/** What the server takes: type to data, and to the data of the reply. */
export interface Requests {
  /** Creates one. */
  "incident.create": { data: IncidentInput; reply: Incident };
  "ping": { data: undefined; reply: number };
}

// What the server emits.
export const Counts = /* @__PURE__ */ ClientMessage.define<Record<string, number>>("counts");
export const IncidentCreated = /* @__PURE__ */ ClientMessage.define<Incident>("incident.created");

// What the server takes.
/** Creates one. */
export const IncidentCreate = /* @__PURE__ */ ClientMessage.define<IncidentInput, Incident>("incident.create");
export const Ping = /* @__PURE__ */ ClientMessage.define<undefined, number>("ping");
"""


def test_the_whole(written: Written) -> None:
    source = written('''
    class Incident(Struct):
        uuid: str
        note: str | None = None
    Created = SocketMessage.define("incident.created", Incident)
    Counts = SocketMessage.define("counts", dict[str, int])
    @router.on("ping")
    def ping(ctx: SocketContext) -> int: ...
    @router.on("incident.create")
    def create(ctx: SocketContext, data: Incident) -> Incident:
        """Creates one."""
    ''')
    assert source == WHOLE


def test_nothing_to_define_needs_no_import(written: Written) -> None:
    source = written(
        "sockets = MessageRegistry[None]().rooms(anyone=True)\nsockets = Sockets(routers=[sockets])\n"
    )
    assert source.splitlines()[2:] == [
        "/** What the server emits: name to data. */",
        "export interface Events {}",
        "",
        "/** What the server takes: type to data, and to the data of the reply. */",
        "export interface Requests {}",
    ]


def test_rooms_are_the_clients_own_and_heartbeats_have_no_constant(written: Written) -> None:
    source = written("""
    async def beat(ctx: SocketContext, data: Heartbeat) -> dict[str, bool]: ...
    registry = MessageRegistry[None]().rooms(anyone=True).on(Heartbeat, beat)
    sockets = Sockets(routers=[registry])
    """)
    assert "room" not in source
    assert '"heartbeat": { data: Heartbeat; reply: Record<string, boolean> };' in source
    assert "const" not in source


def test_rooms_that_the_application_handles_itself_are_its_own(written: Written) -> None:
    source = written("""
    class Join(Struct):
        room: str
        password: str
    @router.on("room.join")
    def join(ctx: SocketContext, data: Join) -> None: ...
    """)
    assert '"room.join": { data: Join; reply: null };' in source
    assert "export const RoomJoin" in source


@pytest.mark.parametrize(
    ("name", "constant"),
    [
        ("incident.created", "IncidentCreated"),
        ("cursorMoved", "CursorMoved"),
        ("a:b/c-d_e f", "ABCDEF"),
        ("2fa.sent", "_2faSent"),
        ("größe.geändert", "GrößeGeändert"),
        ('say "hi"\\\\', "SayHi"),
    ],
)
def test_constants_are_the_names_in_pascal_case(written: Written, name: str, constant: str) -> None:
    source = written(f"class A(SocketMessage, name={name!r}): ...")
    assert f"export const {constant} = " in source


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.b", "a_b"), "'a_b' would be the constant AB, as would 'a.b': rename one of them"),
        (("events",), "'events' would be the constant Events, which has another meaning: rename it"),
        (("client.message",), "'client.message' would be the constant ClientMessage, which has another"),
        (("!",), "of '!' no constant can be made: give it a name with a letter in it"),
    ],
)
def test_constants_that_would_mean_something_else(
    written: Written, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(NotDescribable, match=message):
        written("\n".join(f"class M{n}(SocketMessage, name={name!r}): ..." for n, name in enumerate(names)))


BOTH_WAYS = """
class Typing(SocketMessage, name="typing"):
    user: str
class {data}(Struct):
    room: str
@router.on("typing")
def typing_(ctx: SocketContext, data: {annotation}) -> None: ...
"""


def test_a_name_that_goes_both_ways_is_one_constant_if_the_data_is_the_same(written: Written) -> None:
    source = written(BOTH_WAYS.format(data="Ask", annotation="Typing"))
    assert [line for line in source.splitlines() if line.startswith("export const")] == [
        'export const Typing = /* @__PURE__ */ ClientMessage.define<Typing, null>("typing");'
    ]


def test_and_two_if_it_is_not(written: Written) -> None:
    source = written(BOTH_WAYS.format(data="Ask", annotation="Ask"))
    assert [line for line in source.splitlines() if line.startswith("export const")] == [
        'export const Typing = /* @__PURE__ */ ClientMessage.define<Typing>("typing");',
        'export const TypingRequest = /* @__PURE__ */ ClientMessage.define<Ask, null>("typing");',
    ]
    with pytest.raises(
        NotDescribable, match=r"'typing\.request' would be the constant TypingRequest, as would"
    ):
        written(
            BOTH_WAYS.format(data="Ask", annotation="Ask")
            + "@router.on('typing.request')\ndef more(ctx: SocketContext) -> None: ...\n"
        )
