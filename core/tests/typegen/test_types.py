"""How a Python type is written in TypeScript."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pydantic
import pytest

from wigwag.errors import NotDescribable

Written = Callable[[str], str]


def declared(source: str, name: str) -> str:
    """What is declared under a name, without ``export``."""
    found = re.search(
        rf"^export ((?:type|interface) {name} .*?)(?=\n\n|\n?\Z)", source, re.DOTALL | re.MULTILINE
    )
    assert found, f"{name} is not declared:\n{source}"
    return found[1]


def fields_of(source: str, name: str) -> list[str]:
    """The members of an interface."""
    return [line.strip().rstrip(";") for line in declared(source, name).splitlines()[1:-1]]


@pytest.mark.parametrize(
    ("python", "typescript"),
    [
        ("int", "number"),
        ("float", "number"),
        ("bool", "boolean"),
        ("str", "string"),
        ("None", "null"),
        ("Any", "unknown"),
        ("object", "unknown"),
        ("msgspec.Raw", "unknown"),
        ("bytes", "string"),
        ("datetime.datetime", "string"),
        ("datetime.date", "string"),
        ("datetime.time", "string"),
        ("datetime.timedelta", "string"),
        ("uuid.UUID", "string"),
        ("decimal.Decimal", "string"),
        ("int | None", "number | null"),
        ("None | str | int", "number | string | null"),
        ("int | float", "number"),
        ("int | Any", "unknown"),
        ("list", "unknown[]"),
        ("list[int]", "number[]"),
        ("list[int | None]", "(number | null)[]"),
        ("list[list[str]]", "string[][]"),
        ("set[int]", "number[]"),
        ("frozenset[str]", "string[]"),
        ("tuple[int, ...]", "number[]"),
        ("tuple[int, str | None]", "[number, string | null]"),
        ("tuple[()]", "[]"),
        ("tuple", "unknown[]"),
        ("typing.Sequence[int]", "number[]"),
        ("dict", "Record<string, unknown>"),
        ("dict[str, int]", "Record<string, number>"),
        ("dict[int, list[str]]", "Record<string, string[]>"),
        ("typing.Mapping[str, int | None]", "Record<string, number | null>"),
        ('dict[Literal["b", "a"], int]', 'Partial<Record<"a" | "b", number>>'),
        ("dict[Literal[1, 2], int]", "Record<string, number>"),
        ("dict[Color, int]", "Partial<Record<Color, number>>"),
        ('dict[Annotated[str, Meta(pattern="^a")], int]', "Record<string, number>"),
        ('Literal["b", "a"]', '"a" | "b"'),
        ('Literal["it\'s", "\\"", "é\\n"]', '"\\"" | "it\'s" | "é\\n"'),
        ("Literal[2, 1]", "1 | 2"),
        ("Color", "Color"),
        ("Color | Level | None", "Color | Level | null"),
        ("Annotated[int, Meta(ge=1)]", "number"),
        ("typing.NewType('Id', str)", "string"),
        ("typing.Final[int]", "number"),
        ("Inner", "Inner"),
        ("Inner | None", "Inner | null"),
        ("list[Page[Inner]]", "PageInner[]"),
        ("Page[int]", "PageInt"),
        ("Page[list[int]]", "PageListInt"),
        ("Model", "Model"),
        ("list[Model]", "Model[]"),
        ("Cat | Dog", "Cat | Dog"),
    ],
)
def test_a_type(written: Written, python: str, typescript: str) -> None:
    source = written(f"""
    class Color(enum.Enum):
        RED = "red"
        BLUE = "blue"
    class Level(enum.IntEnum):
        LOW = 1
    class Inner(Struct):
        a: int
    class Model(pydantic.BaseModel):
        a: int
    class Page(Struct, Generic[T]):
        items: list[T]
    class Cat(Struct, tag=True): ...
    class Dog(Struct, tag=True): ...
    class Out(Struct):
        field: {python}
    @router.on("x")
    def x(ctx: SocketContext) -> Out: ...
    """)
    assert fields_of(source, "Out") == [f"field: {typescript}"]


@pytest.mark.parametrize(
    ("python", "typescript"),
    [
        ("None", "null"),
        ("int", "number"),
        ("'int'", "number"),
        ("Any", "unknown"),
        ("object", "unknown"),
        ("typing.NoReturn", "never"),
        ("list[A] | A | B | None", "A | B | A[] | null"),
        ("typing.Awaitable[A]", "A"),
        ("typing.Coroutine[Any, Any, None]", "null"),
        ("typing.Union[P, A]", "A | P"),
        ("Annotated[Either, 'of two']", "A | B"),
        ("list['Later']", "Later[]"),
        ("\"list['Later'] | None\"", "Later[] | null"),
    ],
)
def test_a_reply_is_what_the_handler_returns(written: Written, python: str, typescript: str) -> None:
    """Untagged unions among them: they can be written, though not read."""
    source = written(f"""
    class A(Struct):
        a: int
    class B(Struct):
        b: int
    class P(pydantic.BaseModel):
        p: int
    Either = typing_extensions.TypeAliasType("Either", A | B)
    @router.on("x")
    def x(ctx: SocketContext) -> {python}: ...
    class Later(Struct):
        a: int
    """)
    assert f'  "x": {{ data: undefined; reply: {typescript} }};' in source
    assert f'export const X = /* @__PURE__ */ ClientMessage.define<undefined, {typescript}>("x");' in source


def test_enums_are_unions_in_the_order_of_the_class(written: Written) -> None:
    source = written("""
    class Severity(enum.Enum):
        MINOR = "minor"
        MAJOR = "major"
        ALSO_MAJOR = "major"
        CRITICAL = "critical"
    class Said(SocketMessage, name="said"):
        severity: Severity
    """)
    assert declared(source, "Severity") == 'type Severity = "minor" | "major" | "critical";'


# What is there, and what may be left out

DEFAULTS = """
class Both({base}):
    a: int
    b: int = 1
    c: list[int] = {factory}
@router.on("x")
def x(ctx: SocketContext, data: Both) -> Both: ...
"""


@pytest.mark.parametrize(
    ("base", "factory"),
    [
        ("Struct", "[]"),
        ("pydantic.BaseModel", "[]"),
        ("typing.NamedTuple", ""),
    ],
)
def test_what_has_a_default_may_be_left_out_by_who_sends_it_and_is_there_for_who_receives_it(
    written: Written, base: str, factory: str
) -> None:
    if base == "typing.NamedTuple":
        source = written(DEFAULTS.format(base=base, factory="[]"))
        assert declared(source, "Both") == "type Both = [number, number, number[]];"
        assert declared(source, "BothInput") == "type BothInput = [number, number?, number[]?];"
    else:
        source = written(DEFAULTS.format(base=base, factory=factory))
        assert fields_of(source, "Both") == ["a: number", "b: number", "c: number[]"]
        assert fields_of(source, "BothInput") == ["a: number", "b?: number", "c?: number[]"]
    assert '"x": { data: BothInput; reply: Both };' in source


def test_of_a_dataclass_too(written: Written) -> None:
    source = written("""
    @dataclasses.dataclass
    class Both:
        a: int
        b: int = 1
        c: list[int] = dataclasses.field(default_factory=list)
    @router.on("x")
    def x(ctx: SocketContext, data: Both) -> Both: ...
    """)
    assert fields_of(source, "Both") == ["a: number", "b: number", "c: number[]"]
    assert fields_of(source, "BothInput") == ["a: number", "b?: number", "c?: number[]"]


def test_what_is_the_same_both_ways_is_one_type(written: Written) -> None:
    source = written("""
    class Same(Struct):
        a: int
        tree: list[Same]
    class Sparse(Struct, omit_defaults=True):
        a: int = 1
    class Pyd(pydantic.BaseModel):
        a: int
    class Partial(TypedDict, total=False):
        a: int
    @router.on("x")
    def x(ctx: SocketContext, data: Same) -> Same: ...
    @router.on("y")
    def y(ctx: SocketContext, data: Sparse) -> Sparse: ...
    @router.on("z")
    def z(ctx: SocketContext, data: Pyd) -> Pyd: ...
    """)
    assert "Input" not in source
    assert fields_of(source, "Sparse") == ["a?: number"]


def test_a_type_differs_where_one_within_it_does(written: Written) -> None:
    source = written("""
    class Inner(Struct):
        a: int = 1
    class Outer(Struct):
        inner: Inner
        above: Outer | None
    @router.on("x")
    def x(ctx: SocketContext, data: Outer) -> Outer: ...
    """)
    assert fields_of(source, "Outer") == ["inner: Inner", "above: Outer | null"]
    assert fields_of(source, "OuterInput") == ["inner: InnerInput", "above: OuterInput | null"]


def test_used_one_way_alone_a_type_has_its_own_name(written: Written) -> None:
    source = written("""
    class Asked(Struct):
        a: int = 1
    @router.on("x")
    def x(ctx: SocketContext, data: Asked) -> None: ...
    """)
    assert fields_of(source, "Asked") == ["a?: number"]


def test_unset_is_not_written(written: Written) -> None:
    source = written("""
    class Out(Struct):
        a: int | UnsetType = UNSET
        b: int | None | UnsetType = UNSET
        c: int | UnsetType = 1
    @router.on("x")
    def x(ctx: SocketContext) -> Out: ...
    """)
    assert fields_of(source, "Out") == ["a?: number", "b?: number | null", "c?: number"]


def test_typed_dicts(written: Written) -> None:
    source = written("""
    class Half(TypedDict, total=False):
        a: typing.Required[int]
        b: str
    @router.on("x")
    def x(ctx: SocketContext, data: Half) -> Half: ...
    """)
    assert fields_of(source, "Half") == ["a: number", "b?: string"]


def test_structs_as_arrays(written: Written) -> None:
    source = written("""
    class Point(Struct, array_like=True):
        x: int
        y: int = 0
    class Strict(Struct, array_like=True, forbid_unknown_fields=True, tag="s"):
        x: int
    class Optionals(Struct, array_like=True):
        x: int = 0
        y: int | None = None
    @router.on("x")
    def x(ctx: SocketContext, data: Point) -> Point: ...
    @router.on("y")
    def y(ctx: SocketContext, data: Strict) -> Optionals: ...
    @router.on("z")
    def z(ctx: SocketContext, data: Optionals) -> None: ...
    """)
    assert declared(source, "Point") == "type Point = [number, number];"
    assert declared(source, "PointInput") == "type PointInput = [number, number?, ...unknown[]];"
    assert declared(source, "Strict") == 'type Strict = ["s", number];'
    assert declared(source, "Optionals") == "type Optionals = [number, number | null];"
    assert (
        declared(source, "OptionalsInput")
        == "type OptionalsInput = [number?, (number | null)?, ...unknown[]];"
    )


def test_names_on_the_wire(written: Written) -> None:
    source = written("""
    class Renamed(Struct, rename="camel"):
        user_id: int
        odd: int = msgspec.field(name="it's-odd", default=1)
    class Aliased(pydantic.BaseModel):
        one: int = pydantic.Field(alias="uno")
        two: int = pydantic.Field(validation_alias="dos", serialization_alias="deux")
        three: int = pydantic.Field(validation_alias=pydantic.AliasChoices("tres", "drei"))
    @router.on("x")
    def x(ctx: SocketContext) -> Renamed: ...
    @router.on("y")
    def y(ctx: SocketContext, data: Aliased) -> Aliased: ...
    """)
    assert fields_of(source, "Renamed") == ["userId: number", '"it\'s-odd": number']
    assert fields_of(source, "Aliased") == ["uno: number", "deux: number", "three: number"]
    assert fields_of(source, "AliasedInput") == ["uno: number", "dos: number", "tres: number"]


def test_tags_tell_the_members_of_a_union_apart(written: Written) -> None:
    source = written("""
    class Circle(Struct, tag="circle", tag_field="kind"):
        r: float
    class Square(Struct, tag=2, tag_field="kind"):
        a: float
    @router.on("x")
    def x(ctx: SocketContext, data: Circle) -> Square: ...
    """)
    assert fields_of(source, "Circle") == ['kind: "circle"', "r: number"]
    assert fields_of(source, "Square") == ["kind: 2", "a: number"]


def test_models_without_fields_are_empty_objects(written: Written) -> None:
    source = written("""
    class Nothing(Struct): ...
    class Null(pydantic.BaseModel): ...
    class Open(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
    class Shut(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
    @router.on("x")
    def x(ctx: SocketContext, data: Nothing) -> Null: ...
    @router.on("y")
    def y(ctx: SocketContext, data: Open) -> Shut: ...
    """)
    assert declared(source, "Open") == "type Open = { [key: string]: unknown };"
    assert declared(source, "Shut") == "type Shut = Record<string, never>;"
    assert declared(source, "Nothing") == "type Nothing = Record<string, never>;"
    assert declared(source, "Null") == "type Null = Record<string, never>;"


# pydantic


def test_a_pydantic_model(written: Written) -> None:
    source = written("""
    class Color(enum.Enum):
        RED = "red"
    class Inner(pydantic.BaseModel):
        a: int = 1
    class Cat(pydantic.BaseModel):
        kind: Literal["cat"]
    class Dog(pydantic.BaseModel):
        kind: Literal["dog"] = "dog"
    class Many(pydantic.RootModel[list[int]]): ...
    class Page(pydantic.BaseModel, Generic[T]):
        items: list[T]
    class Model(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="allow")
        price: decimal.Decimal
        color: Color
        inner: Inner
        when: datetime.datetime | None
        pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]
        many: Many
        pair: tuple[int, str]
        page: Page[Inner]
        hidden: int = pydantic.Field(0, exclude=True)
        old: int = pydantic.Field(0, deprecated=True, description="Not used")
        json_: pydantic.JsonValue
        @pydantic.computed_field
        @property
        def twice(self) -> int: return 2
    Out = SocketMessage.define("out", Model)
    @router.on("x")
    def x(ctx: SocketContext, data: Model) -> None: ...
    """)
    assert fields_of(source, "Model") == [
        "price: string",
        "color: Color",
        "inner: Inner",
        "when: string | null",
        "pet: Cat | Dog",
        "many: Many",
        "pair: [number, string]",
        "page: PageInner",
        "/**",
        "* Not used",
        "* @deprecated",
        "*/",
        "old: number",
        "json_: JsonValue",
        "twice: number",
        "[key: string]: unknown",
    ]
    assert fields_of(source, "ModelInput")[0] == "price: number | string"
    assert "hidden?: number" in fields_of(source, "ModelInput")
    assert "pet: Cat | DogInput" in fields_of(source, "ModelInput")
    assert declared(source, "Many") == "type Many = number[];"
    assert declared(source, "JsonValue").startswith("type JsonValue = ")


def test_what_pydantic_may_leave_out(written: Written) -> None:
    can_exclude = "exclude_if" in inspect.signature(pydantic.Field).parameters  # since 2.12
    option = ", exclude_if=lambda value: value == 1" if can_exclude else ""
    source = written(f"""
    from typing_extensions import TypedDict
    class Half(TypedDict, total=False):
        a: int
    class Model(pydantic.BaseModel):
        a: int = pydantic.Field(1{option})
        b: Half = {{}}
    Out = SocketMessage.define("out", Model)
    """)
    assert fields_of(source, "Model") == ["a?: number" if can_exclude else "a: number", "b: Half"]
    assert fields_of(source, "Half") == ["a?: number"]


def test_a_recursive_alias_refers_to_itself_where_typescript_allows_it(written: Written) -> None:
    source = written("""
    from typing_extensions import TypeAliasType
    Tree = TypeAliasType("Tree", "dict[str, Tree] | list[Tree] | int")
    class Holder(pydantic.BaseModel):
        tree: Tree
    Out = SocketMessage.define("out", Holder)
    """)
    assert declared(source, "Tree") == "type Tree = { [key: string]: Tree } | Tree[] | number;"


def test_a_class_may_be_used_by_pydantic_and_msgspec(written: Written) -> None:
    source = written("""
    class Color(enum.Enum):
        RED = "red"
    @dataclasses.dataclass
    class Point:
        x: int
        when: datetime.datetime
        y: int = 0
    class Model(pydantic.BaseModel):
        point: Point
        color: Color
    class Out(SocketMessage, name="out"):
        point: Point
        color: Color
        model: Model
    """)
    assert source.count("interface Point ") == source.count("type Color =") == 1


def test_such_a_class_may_be_in_the_making_when_pydantic_is_asked(written: Written) -> None:
    source = written("""
    @dataclasses.dataclass
    class Point:
        model: Model | None
    class Model(pydantic.BaseModel):
        point: Point
    Model.model_rebuild()
    class Out(SocketMessage, name="out"):
        point: Point
    """)
    assert fields_of(source, "Point") == ["model: Model | null"]
    assert fields_of(source, "Model") == ["point: Point"]


def test_two_classes_of_one_path_are_two_things_unless_they_are_alike(written: Written) -> None:
    source = """
    def make(type_): return msgspec.defstruct("Local", [("a", type_)], module="main")
    One, Two = make(int), make({})
    class Out(Struct):
        one: One
        two: Two
    @router.on("x")
    def x(ctx: SocketContext) -> Out: ...
    """
    assert fields_of(written(source.format("int")), "Out") == ["one: Local", "two: Local"]
    with pytest.raises(NotDescribable, match=r"^main\.Local is two things: two classes of one name"):
        written(source.format("str"))


def test_schemas_of_the_applications_own(written: Written) -> None:
    source = written("""
    def schema(**what): return pydantic.WithJsonSchema(what)
    class Model(pydantic.BaseModel):
        a: Annotated[int, schema(type=["string", "null"])]
        b: Annotated[int, schema(allOf=[{"type": "string"}, {"anyOf": [{"type": "integer"}, {"const": 1.5}]}])]
        c: Annotated[int, schema(type="object", patternProperties={"^a": {"type": "integer"}})]
        d: Annotated[int, schema(type="object", properties={"x": {"type": "string"}}, additionalProperties={
            "type": "integer"})]
        e: Annotated[int, schema(items={"type": "string"})]
        f: Annotated[int, schema(prefixItems=[{"type": "string"}], items={"type": "null"}, minItems=1)]
        g: Annotated[int, schema(type="object", additionalProperties=False)]
        h: Annotated[int, schema(oneOf=[{"type": "integer"}, {}])]
        i: Annotated[int, schema(type="array", items=False, maxItems=0)]
    Out = SocketMessage.define("out", Model)
    """)
    assert [line for line in fields_of(source, "Model") if not line.startswith(("x?", "[key", "}"))] == [
        "a: string | null",
        "b: string & (1.5 | number)",
        "c: Record<string, number>",
        "d: {",
        "e: string[]",
        "f: [string, ...null[]]",
        "g: Record<string, never>",
        "h: unknown",
        "i: []",
    ]
    assert "    [key: string]: number | string | undefined;\n" in source


@pytest.mark.parametrize("schema", ['{"not": {"type": "string"}}', '{"type": "file"}', '{"const": [1]}'])
def test_what_typescript_has_no_word_for_is_refused(written: Written, schema: str) -> None:
    with pytest.raises(NotDescribable, match=r"^Model: .* can't be written in TypeScript$"):
        written(f"""
        class Model(pydantic.BaseModel):
            a: Annotated[int, pydantic.WithJsonSchema({schema})]
        Out = SocketMessage.define("out", Model)
        """)


# Names


def test_two_classes_of_one_name_are_told_apart_by_their_modules(
    write: Callable[..., None], described: Callable[[str], object], written: Written
) -> None:
    module = "import msgspec\nclass Item(msgspec.Struct):\n    {field}: int\n"
    write(**{"shop/orders": module.format(field="o"), "shop/stock": module.format(field="s")})
    source = written("""
    import shop.orders, shop.stock
    class Page(Struct, Generic[T]):
        items: list[T]
    class Out(SocketMessage, name="out"):
        orders: Page[shop.orders.Item]
        stock: Page[shop.stock.Item]
        own: Item
    class Item(Struct):
        x: int
    """)
    assert fields_of(source, "Out") == [
        "orders: MainPageOrdersItem",
        "stock: MainPageStockItem",
        "own: MainItem",
    ]
    assert fields_of(source, "StockItem") == ["s: number"]


def test_names_with_a_meaning_are_not_taken(written: Written) -> None:
    source = written("""
    class Record(Struct):
        a: dict[str, int]
    class Events(Struct): ...
    class string(Struct): ...
    class Out(SocketMessage, name="out"):
        record: Record
        events: Events
        text: string
    """)
    assert fields_of(source, "Out") == ["record: MainRecord", "events: MainEvents", "text: MainString"]
    assert fields_of(source, "MainRecord") == ["a: Record<string, number>"]


def test_a_class_that_is_called_as_another_would_be_is_told_apart(written: Written) -> None:
    with pytest.raises(
        NotDescribable, match=r"main\.Item would be called MainItemInput, which something else is"
    ):
        written("""
        class Item(Struct):
            a: int = 1
        class ItemInput(Struct):
            b: int
        @router.on("x")
        def x(ctx: SocketContext, data: Item) -> Item: ...
        @router.on("y")
        def y(ctx: SocketContext, data: ItemInput) -> None: ...
        """)


# Documentation


def test_docstrings_and_descriptions_are_handed_on(written: Written) -> None:
    source = written('''
    class Said(SocketMessage, name="said"):
        """What somebody said.

        In a room. */ Indeed.
        """

        text: Annotated[str, Meta(description="Not empty.", min_length=1)]
        inner: Annotated[Inner, Meta(description="Of another.")]

    class Inner(Struct):
        a: int

    class Child(Said, name="child"): ...

    @dataclasses.dataclass
    class Plain:
        x: int

    @router.on("x")
    def x(ctx: SocketContext, data: Plain) -> None:
        """Does x."""
    ''')
    assert (
        """
/**
 * What somebody said.
 *
 * In a room. *\\/ Indeed.
 */
export interface Said {
  /** Not empty. */
  text: string;
  /** Of another. */
  inner: Inner;
}
"""
        in source
    )
    assert '  /** Does x. */\n  "x": {' in source
    assert "/** Does x. */\nexport const X" in source
    assert ";\n\nexport interface Child {" in source  # which has no docstring of its own
    assert "}\n\nexport interface Plain {" in source  # whose docstring is dataclass's


# What can't be


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "def x(ctx: SocketContext) -> Foreign: ...",
            r"the reply of 'x' \(main\.x\) can't be described: Foreign is no type that is written as JSON",
        ),
        (
            "def x(ctx: SocketContext) -> Holder: ...",
            r"^Holder\.things can't be described: Foreign is no type",
        ),
        (
            "def x(ctx: SocketContext) -> list[A | B]: ...",
            r"the reply of 'x' \(main\.x\) can't be described: If a type union contains multiple Struct types, all",
        ),
        (
            "def x(ctx: SocketContext) -> Nowhere: ...",
            r"the reply of 'x': 'Nowhere', which main\.x returns, can't be seen from its module",
        ),
        (
            "def x(ctx: SocketContext) -> Model: ...",
            r"the reply of 'x' \(main\.x\) can't be described: Cannot generate a JsonSchema",
        ),
    ],
)
def test_what_can_not_be_described_is_named(written: Written, source: str, message: str) -> None:
    with pytest.raises(NotDescribable, match=message) as raised:
        written(f"""
        class Foreign: ...
        class Holder(Struct):
            things: list[Foreign]
        class A(Struct): ...
        class B(Struct): ...
        class Model(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
            call: Foreign
        @router.on("x")
        {source}
        """)
    assert "\n" not in str(raised.value)
