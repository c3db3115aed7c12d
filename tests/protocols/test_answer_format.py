"""Answers in the shape of a class: its strict schema, what fits it, and why something does not."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import sys
import uuid
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_openai._protocols.structured.answer_format import answer_format
from trio_openai._protocols.structured.schema import schema_name
from trio_openai.types import Unparsed
from trio_openai.types.parsed import Said

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


Name = NewType("Name", str)


@attrs.define
class Step:
    """One step
    of the way.
    """

    size: int = attrs.field(metadata={"description": "in metres"})
    note: str | None = None


@attrs.define
class Tree:
    name: str
    children: list[Tree] = attrs.field(factory=list)


@attrs.define
class Pair:
    left: Tree = attrs.field(metadata={"description": "this one"})
    right: Tree | None = attrs.field(default=None, metadata={"description": "the other one"})


@attrs.define
class Cat:
    kind: Literal["cat"]
    age: int


@attrs.define
class Dog:
    kind: Literal["dog"]
    age: int


@attrs.define
class Fish:
    tank: str
    age: int


@attrs.define
class Zoo:
    animals: list[Cat | Dog | Fish]
    favourite: Cat | Dog | int | str | list[int] | None


@dataclasses.dataclass
class Point:
    x: float
    y: float = dataclasses.field(default=0.0, metadata={"description": "upwards"})
    kind: ClassVar[str] = "point"


@attrs.define
class Plain:
    a: str
    b: bool
    c: Color
    d: Level
    e: Literal["x", 1, None]  # noqa: PYI061 - it is to be one enumeration
    f: dt.datetime
    g: dt.date
    h: uuid.UUID
    i: tuple[int, ...]
    j: Name
    k: None


@attrs.define
class Constrained:
    many: Annotated[list[Step], msgspec.Meta(min_length=1, description="at least one")]
    share: Annotated[float, msgspec.Meta(ge=0, le=1, description="of the whole")]
    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]+$")]
    step: Annotated[Step, msgspec.Meta(description="the first")]
    choice: Annotated[int | str, msgspec.Meta(description="either")]


@attrs.define
class Inside:
    said: str
    worked_out: int = attrs.field(init=False, default=3)


@attrs.define
class Nothing:
    """Nothing is asked for."""


def obj(title: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


STRING, INTEGER, NUMBER, NULL = ({"type": name} for name in ("string", "integer", "number", "null"))
STEP = obj(
    "Step",
    {"size": {**INTEGER, "description": "in metres"}, "note": {"anyOf": [STRING, NULL]}},
    description="One step\nof the way.",
)
TREE = obj("Tree", {"name": STRING, "children": {"type": "array", "items": ref("Tree")}})
ANIMALS = {
    "Cat": obj("Cat", {"kind": {"enum": ["cat"], "type": "string"}, "age": INTEGER}),
    "Dog": obj("Dog", {"kind": {"enum": ["dog"], "type": "string"}, "age": INTEGER}),
    "Fish": obj("Fish", {"tank": STRING, "age": INTEGER}),
}

SCHEMAS: list[tuple[type[Any], dict[str, Any]]] = [
    (Nothing, obj("Nothing", {}, description="Nothing is asked for.")),
    (Step, STEP),
    (Tree, {**TREE, "$defs": {"Tree": TREE}}),
    (
        Pair,
        obj(
            "Pair",
            {
                "left": {"anyOf": [ref("Tree")], "description": "this one"},
                "right": {"anyOf": [ref("Tree"), NULL], "description": "the other one"},
            },
            **{"$defs": {"Tree": TREE}},
        ),
    ),
    (
        Zoo,
        obj(
            "Zoo",
            {
                "animals": {"type": "array", "items": {"anyOf": [ref("Cat"), ref("Dog"), ref("Fish")]}},
                "favourite": {
                    "anyOf": [ref("Cat"), ref("Dog"), INTEGER, STRING, {"type": "array", "items": INTEGER}, NULL]
                },
            },
            **{"$defs": ANIMALS},
        ),
    ),
    (Point, obj("Point", {"x": NUMBER, "y": {**NUMBER, "description": "upwards"}})),
    (
        Plain,
        obj(
            "Plain",
            {
                "a": STRING,
                "b": {"type": "boolean"},
                "c": {"title": "Color", "enum": ["blue", "red"], "type": "string"},
                "d": {"title": "Level", "enum": [1, 2], "type": "integer"},
                "e": {"enum": ["x", 1, None], "type": ["integer", "null", "string"]},
                "f": {**STRING, "format": "date-time"},
                "g": {**STRING, "format": "date"},
                "h": {**STRING, "format": "uuid"},
                "i": {"type": "array", "items": INTEGER},
                "j": STRING,
                "k": NULL,
            },
        ),
    ),
    (
        Constrained,
        obj(
            "Constrained",
            {
                "many": {"type": "array", "items": ref("Step"), "minItems": 1, "description": "at least one"},
                "share": {**NUMBER, "minimum": 0, "maximum": 1, "description": "of the whole"},
                "code": {**STRING, "pattern": "^[A-Z]+$"},
                "step": {"anyOf": [ref("Step")], "description": "the first"},
                "choice": {"anyOf": [INTEGER, STRING], "description": "either"},
            },
            **{"$defs": {"Step": STEP}},
        ),
    ),
    (Inside, obj("Inside", {"said": STRING})),
]


@pytest.mark.parametrize(("cls", "schema"), SCHEMAS, ids=[cls.__name__ for cls, _ in SCHEMAS])
def test_a_class_is_a_strict_schema(cls: type[Any], schema: dict[str, Any]) -> None:
    assert answer_format(cls).json_schema == {"name": cls.__name__, "schema": schema, "strict": True}
    assert answer_format(cls) is answer_format(cls)  # made once


def test_two_classes_of_one_name_are_two_definitions() -> None:
    other = attrs.make_class("Step", {"length": attrs.field(type=int)})
    both = attrs.make_class("Both", {"one": attrs.field(type=Step), "two": attrs.field(type=other)})
    schema = answer_format(both).json_schema["schema"]
    assert schema["properties"] == {"one": ref("Step"), "two": ref("Step_2")}
    assert list(schema["$defs"]["Step_2"]["properties"]) == ["length"]


def test_a_name_is_one_that_the_api_takes() -> None:
    assert schema_name(type("Größe" + "x" * 100, (), {})) == "Gr__e" + "x" * 59


class Shape(enum.Enum):
    ROUND = "round"


@attrs.define
class Ball:
    shape: Shape
    size: int


@attrs.define
class Cube:
    shape: Literal["square"]
    size: int


def test_an_enumeration_tells_classes_apart() -> None:
    shapes = attrs.make_class("Shapes", {"all": attrs.field(type=list[Ball | Cube])})
    answer = {"all": [{"shape": "square", "size": 1}, {"shape": "round", "size": 2}]}
    assert judged(shapes, json.dumps(answer)) == shapes([Cube("square", 1), Ball(Shape.ROUND, 2)])


@attrs.define
class Alike:
    age: int
    name: str | None = None


@attrs.define
class AlikeToo:
    age: str
    size: int = 0


@attrs.define
class Box(Generic[T]):
    held: T


class Halves(enum.Enum):
    HALF = 0.5


@attrs.define
class Unknown:
    what: Nowhere  # type: ignore[name-defined]  # noqa: F821


REFUSED: list[tuple[Any, str]] = [
    (
        range,
        "It.field: a strict schema cannot say range; it can say a class made by attrs.define, a ",
    ),
    (object, "It.field: a strict schema cannot say object"),
    (Any, "It.field: a strict schema cannot say Any"),
    (bytes, "It.field: a strict schema cannot say bytes"),
    (dict[str, int], r"It.field: a strict schema cannot say dict\[str, int\]"),
    (tuple[int, str], r"It.field: a strict schema cannot say tuple\[int, str\]"),
    (list[list[set[int]]], r"It.field: a strict schema cannot say set\[int\]"),
    (int | complex, "It.field: a strict schema cannot say complex"),
    (list[int] | list[str], "It.field: of a union, only one member can be a list; make it a list of a union"),
    (Alike | AlikeToo, r'It.field: Alike and AlikeToo cannot be told apart; give each a .* kind: Literal\["alike"\]'),
    (Box, "Box is generic, and a schema is not"),
    (Halves, "It.field: Halves has no schema: Enums must contain either all str or all int values"),
    (Literal[b"x"], "It.field: a Literal of strings, .* has a schema; not b'x'"),
    (Unknown, "Unknown.what: the name 'Nowhere' is not known where the class is defined"),
    (None, "It.field has no type"),
]


@pytest.mark.parametrize(("annotation", "sentence"), REFUSED, ids=lambda value: str(value)[:20])
def test_what_has_no_schema_is_refused_by_its_name(annotation: Any, sentence: str) -> None:
    cls = attrs.make_class("It", {"field": attrs.field(type=annotation)})
    with pytest.raises(TypeError, match=f"^{sentence}"):
        answer_format(cls)


@pytest.mark.parametrize("missing", ["msgspec", "jiter"])
def test_a_missing_package_is_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'trio-openai\[structured\]'"):
        answer_format(Step)


# ---------------------------------------------------------------------------------------------------------- what fits

NOON = "2026-01-02T12:00:00Z"
FITS: list[tuple[Any, Any]] = [
    (Nothing(), {}),
    (Step(3), {"size": 3, "note": None}),
    (Step(3), {"size": 3}),  # it has a default
    (Tree("a", [Tree("b", [])]), {"name": "a", "children": [{"name": "b", "children": []}]}),
    (Pair(Tree("a"), Tree("b")), {"left": {"name": "a"}, "right": {"name": "b"}}),
    (Zoo([Dog("dog", 1), Fish("t", 2)], Cat("cat", 3)), {
        "animals": [{"kind": "dog", "age": 1}, {"age": 2, "tank": "t"}],
        "favourite": {"kind": "cat", "age": 3},
    }),
    (Zoo([], 1), {"animals": [], "favourite": 1}),
    (Zoo([], "1"), {"animals": [], "favourite": "1"}),
    (Zoo([], [1]), {"animals": [], "favourite": [1]}),
    (Zoo([], None), {"animals": [], "favourite": None}),
    (Point(1.0, 2.5), {"x": 1, "y": 2.5}),
    (
        Plain("", True, Color.RED, Level.HIGH, 1, dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC), dt.date(2026, 1, 2),
              uuid.UUID(int=5), (1, 2), Name("n"), None),
        {"a": "", "b": True, "c": "red", "d": 2, "e": 1, "f": NOON, "g": "2026-01-02",
         "h": "00000000-0000-0000-0000-000000000005", "i": [1, 2], "j": "n", "k": None},
    ),
    (
        Constrained([Step(1)], 0.5, "AB", Step(2), "either"),
        {"many": [{"size": 1}], "share": 0.5, "code": "AB", "step": {"size": 2}, "choice": "either"},
    ),
    (Inside("yes"), {"said": "yes"}),
]  # fmt: skip


def judged(cls: type[Any], text: str) -> Any:
    return answer_format(cls).judge(Said(text))


@pytest.mark.parametrize(("value", "said"), FITS, ids=str)
def test_what_fits_is_an_object_of_the_class(value: Any, said: Any) -> None:
    assert judged(type(value), json.dumps(said)) == value
    again = judged(type(value), f"\n {json.dumps(said, indent=1)} \n")
    assert repr(again) == repr(value)  # 2 is equal to Level.HIGH


MISFITS: list[tuple[type[Any], Any, list[str]]] = [
    (Step, [], ["$: Expected an object, got a list"]),
    (Step, None, ["$: Expected an object, got null"]),
    (Step, {}, ["$.size: it is missing"]),
    (Step, {"size": "1"}, ["$.size: Expected `int`, got `str`"]),
    (Step, {"size": True}, ["$.size: Expected `int`, got `bool`"]),
    (Step, {"size": 1.5, "note": 2},
     ["$.size: Expected `int`, got `float`", "$.note: Expected str or None, got `int`"]),
    (Step, {"size": 1, "why": 2}, ["$: there is no 'why'"]),
    (Step, {"size": 1, "note": {}}, ["$.note: Expected str or None, got an object"]),
    (Tree, {"name": "a", "children": [{"name": "b"}, {"name": 3}]}, ["$.children[1].name: Expected `str`, got `int`"]),
    (Tree, {"name": "a", "children": "bc"}, ["$.children: Expected a list, got `str`"]),
    (Tree, {"name": "a", "children": {"b": 1}}, ["$.children: Expected a list, got an object"]),
    (Zoo, {"animals": [], "favourite": {"kind": "cow", "age": 1}},
     ["$.favourite: Expected Cat or Dog or int or str or list[int] or None, got an object"]),
    (Zoo, {"animals": [], "favourite": {"kind": "dog", "age": "old"}}, ["$.favourite.age: Expected `int`, got `str`"]),
    (Zoo, {"animals": [{"kind": ["cat"], "age": 1}], "favourite": ["a"]},
     ["$.animals[0]: there is no 'kind'", "$.animals[0].tank: it is missing",
      "$.favourite[0]: Expected `int`, got `str`"]),
    (Inside, {"said": "x", "worked_out": 1}, ["$: there is no 'worked_out'"]),
    (Constrained, {"many": [], "share": 2, "code": "a", "step": {"size": 1}, "choice": 1.5}, [
        "$.many: Expected `array` of length >= 1", "$.share: Expected `float` <= 1.0",
        "$.code: Expected `str` matching regex '^[A-Z]+$'", "$.choice: Expected int or str, got `float`"]),
    (Plain, {"a": 1, "b": 1, "c": "green", "d": True, "e": True, "f": "noon", "g": 1, "h": "x", "i": [1, "2"],
             "j": None, "k": 0}, [
        "$.a: Expected `str`, got `int`", "$.b: Expected `bool`, got `int`", "$.c: Invalid enum value 'green'",
        "$.d: Expected `int`, got `bool`", "$.e: Expected 'x' or 1 or None, got `bool`",
        "$.f: Invalid RFC3339 encoded datetime", "$.g: Expected `date`, got `int`", "$.h: Invalid UUID",
        "$.i[1]: Expected `int`, got `str`", "$.j: Expected `str`, got `null`", "$.k: Expected `null`, got `int`"]),
]  # fmt: skip


@pytest.mark.parametrize(("cls", "said", "problems"), MISFITS, ids=lambda value: str(value)[:30])
def test_what_does_not_fit_is_told_by_its_place(cls: type[Any], said: Any, problems: list[str]) -> None:
    text = json.dumps(said)
    parsed = judged(cls, text)
    assert isinstance(parsed, Unparsed)
    assert (parsed.reason, parsed.text, parsed.refusal) == ("invalid", text, None)
    assert sorted(parsed.problems) == sorted(problems)
    assert str(parsed).startswith("the answer does not fit the class: $")


NOT_JSON = ["{", '{"size": 1', "{'size': 1}", '{"size": NaN}', 'Here you are: {"size": 1}', '{"size": 1} Bye.',
            '```json\n{"size": 1}\n``` Bye.', "[" * 5000, '{"note": "a\nb"}', '{"size": 1}{"size": 1}']  # fmt: skip


@pytest.mark.parametrize("text", NOT_JSON, ids=lambda text: text[:20])
def test_what_is_not_json_is_kept_as_text(text: str) -> None:
    parsed = judged(Step, text)
    assert isinstance(parsed, Unparsed)
    assert (parsed.reason, parsed.text) == ("invalid", text)
    assert len(parsed.problems) == 1
    assert parsed.problems[0].startswith("it is not JSON: ")


def test_an_answer_nested_without_end_is_no_exception() -> None:
    text = '{"name": "a", "children": [' * 400 + "]}" * 400
    parsed = judged(Tree, text)
    assert isinstance(parsed, Unparsed)
    assert parsed.text == text
    assert parsed.problems[-1].endswith("it is nested too deeply")
    assert max(map(len, parsed.problems)) < 300


def test_the_validators_of_a_class_have_their_say() -> None:
    checked = attrs.make_class("Checked", {"even": attrs.field(type=int, validator=is_even)})
    assert judged(checked, '{"even": 2}') == checked(2)
    assert judged(checked, '{"even": 3}').problems == ("$: even takes an even number",)


def is_even(_: Any, attribute: Any, value: int) -> None:
    if value % 2:
        raise ValueError(f"{attribute.name} takes an even number")


@attrs.define
class Priced:
    size: Literal["s", "m", "l"]
    price: float | None = None

    def __attrs_post_init__(self) -> None:
        self.price = {"s": 1.0, "m": 2.0}[self.size]


@attrs.define
class Order:
    item: Priced


def test_a_key_error_of_the_classs_own_code_does_not_say_that_something_is_missing() -> None:
    assert judged(Order, '{"item": {"size": "l"}}').problems == ("$.item: KeyError: 'l'",)
    assert judged(Order, '{"item": {}}').problems == ("$.item.size: it is missing",)


def test_a_surrogate_pair_in_two_halves_is_one_character() -> None:
    assert judged(Inside, '{"said": "\ud83d\ude00"}') == Inside("\U0001f600")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "children", "size", "kind", "age", "animals", "favourite"]), inner)
    ),
    max_leaves=8,
)


@given(JSON, st.sampled_from([Tree, Zoo, Plain, Constrained, Pair]))
def test_no_answer_is_an_exception(said: Any, cls: type[Any]) -> None:
    parsed = judged(cls, json.dumps(said))
    assert isinstance(parsed, Unparsed | cls)


@attrs.define
class Left:
    down: Left | Right | None
    kind: Literal["left"] = "left"


@attrs.define
class Right:
    down: Left | Right | None
    kind: Literal["right"] = "right"


def test_a_union_within_a_union_is_decided_without_trying_all_ways() -> None:
    depth = 30  # 2 to the power of 30 ways, if each member were tried
    answer: dict[str, Any] = {"down": 5, "kind": "left"}
    for _ in range(depth):
        answer = {"down": answer, "kind": "right"}
    parsed = judged(Left, json.dumps({"down": answer, "kind": "left"}))
    assert parsed.problems == (f"$.down{'.down' * depth}.down: Expected Left or Right or None, got `int`",)


# ---------------------------------------------------------------------------------------------------- why there is none


def test_a_refusal_is_a_refusal_also_beside_text() -> None:
    judge = answer_format(Step).judge
    parsed = judge(Said('{"size": 1}', "I will not."))
    assert parsed == Unparsed("refusal", '{"size": 1}', "I will not.")
    assert str(parsed) == "the model refused: I will not."
    assert not parsed


def test_a_stop_at_a_limit_counts_only_if_the_answer_is_not_whole() -> None:
    judge = answer_format(Step).judge
    assert judge(Said('{"size": 1', None, "length")) == Unparsed("length", '{"size": 1')
    assert judge(Said('{"size": 1}\n\n\n', None, "length")) == Step(1)
    assert judge(Said("", None, "content_filter")) == Unparsed("content_filter")
    assert judge(Said("  ")) == Unparsed("no_text", "  ")
    assert judge(Said('{"size": 1}', None, "unfinished")) == Unparsed("unfinished", '{"size": 1}')
