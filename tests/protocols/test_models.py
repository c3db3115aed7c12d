"""Structured outputs as pydantic models, dataclasses and TypedDicts, and as classes that contain one another."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import subprocess
import sys
from typing import Annotated, Any, Generic, Literal, NotRequired, TypedDict, TypeVar

import attrs
import pydantic
import pytest
import typing_extensions
from pydantic import BaseModel, Field

from trio_openai import Tool, Unparsed
from trio_openai._protocols.structured.answer_format import answer_format
from trio_openai.types.parsed import Said

T = TypeVar("T")


class Color(enum.Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]
    age: int = Field(gt=0, description="in years", default=3)


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str | None = None


class Node(BaseModel):
    """A node of a tree."""

    value: int
    children: list[Node] = []


class Zoo(BaseModel):
    """Animals and where they live."""

    animal: Annotated[Cat | Dog, Field(discriminator="kind")]
    color: Color = Field(description="of the walls")
    opened: dt.date
    page: pydantic.AnyUrl
    tags: set[str] = set()
    called: str = Field(alias="name", examples=["Berlin"])


class Keys(TypedDict):
    """Some keys."""

    needed: Annotated[int, "the number"]
    optional: NotRequired[list[Cat]]


class Loose(Keys, total=False):
    more: str
    itself: Loose


class Extended(typing_extensions.TypedDict):
    value: typing_extensions.ReadOnly[int]


@dataclasses.dataclass
class Data:
    keys: Keys
    share: float = 1.0


@attrs.define
class Mixed:
    zoo: Zoo
    data: Data
    pets: list[Cat | Dog]


def schema_of(cls: type[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = answer_format(cls).json_schema["schema"]
    return schema


def judged(cls: type[Any], value: object) -> Any:
    return answer_format(cls).judge(Said(json.dumps(value)))


def problems(cls: type[Any], value: object) -> list[str]:
    parsed = judged(cls, value)
    assert isinstance(parsed, Unparsed)
    return sorted(parsed.problems)


# ----------------------------------------------------------------------------------------------------------- the schema

AGE = {"type": "integer", "exclusiveMinimum": 0, "description": "in years", "title": "Age"}
CAT = {
    "title": "Cat",
    "type": "object",
    "properties": {"kind": {"const": "cat", "title": "Kind", "type": "string"}, "age": AGE},
    "required": ["kind", "age"],
    "additionalProperties": False,
}


def test_a_model_requires_all_properties_and_allows_no_others() -> None:
    assert answer_format(Cat).json_schema == {"name": "Cat", "schema": CAT, "strict": True}


def test_what_the_strict_mode_does_not_know_is_rewritten_or_left_out() -> None:
    schema = schema_of(Zoo)
    cat, dog, color = ({"$ref": f"#/$defs/{name}"} for name in ("Cat", "Dog", "Color"))
    assert schema["description"] == "Animals and where they live."
    assert schema["properties"]["animal"] == {"anyOf": [cat, dog], "title": "Animal"}  # no oneOf, no discriminator
    assert schema["properties"]["color"] == {"anyOf": [color], "description": "of the walls"}  # a $ref stands alone
    assert schema["properties"]["opened"]["format"] == "date"
    assert "format" not in schema["properties"]["page"]
    assert schema["properties"]["tags"] == {"type": "array", "items": {"type": "string"}, "title": "Tags"}
    assert schema["properties"]["name"] == {"type": "string", "title": "Name"}  # by its alias
    assert schema["$defs"]["Cat"] == CAT
    assert schema["$defs"]["Color"] == {"title": "Color", "enum": ["red"], "type": "string"}


def test_a_model_may_refer_to_itself() -> None:
    node = schema_of(Node)
    definitions = node.pop("$defs")
    assert definitions == {"Node": node}
    assert node["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert judged(Node, {"value": 1, "children": [{"value": 2, "children": []}]}) == Node(
        value=1, children=[Node(value=2)]
    )


def test_a_typed_dict_requires_all_keys_in_its_schema() -> None:
    schema = schema_of(Loose)
    assert schema["required"] == list(schema["properties"]) == ["needed", "optional", "more", "itself"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["needed"] == {"type": "integer", "description": "the number"}
    assert schema["properties"]["itself"] == {"$ref": "#/$defs/Loose"}
    assert schema_of(Keys)["description"] == "Some keys."
    assert "description" not in schema_of(Extended)
    assert schema_of(Extended)["properties"] == {"value": {"type": "integer"}}


def test_classes_of_all_kinds_contain_one_another() -> None:
    definitions = schema_of(Mixed)["$defs"]
    assert list(definitions) == ["Zoo", "Cat", "Color", "Dog", "Data", "Keys", "Cat_2", "Dog_2"]
    assert definitions["Keys"]["properties"]["optional"]["items"] == {"$ref": "#/$defs/Cat_2"}
    refs = {part["$ref"].rpartition("/")[2] for part in _parts(schema_of(Mixed)) if "$ref" in part}
    assert refs == definitions.keys()


def _parts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(part for item in value.values() for part in _parts(item))]
    return [part for item in value for part in _parts(item)] if isinstance(value, list) else []


class WithDict(BaseModel):
    counts: dict[str, int]


class WithAny(BaseModel):
    anything: Any


class Outer(BaseModel):
    inner: WithAny | None


class WithTuple(BaseModel):
    pair: tuple[int, str]


class WithList(BaseModel):
    items: list  # type: ignore[type-arg]


class WithCallable(BaseModel):
    call: Any = Field(json_schema_extra={"not": {"type": "string"}})


class Foreign(BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    what: range


class Numbers(pydantic.RootModel[list[int]]):
    """Some numbers."""


class Counts(pydantic.RootModel[dict[str, int]]):
    """Counts by name."""


class KeysWithDict(TypedDict):
    counts: dict[str, int]


class Box(TypedDict, Generic[T]):
    held: T


@attrs.define
class AroundModel:
    model: WithDict


class SameAsCat(BaseModel):
    kind: str
    age: int


@attrs.define
class Undecidable:
    animal: SameAsCat | Cat


REFUSED: list[tuple[type[Any], str]] = [
    (WithDict, "WithDict.counts: a strict schema cannot say a dictionary: use a class with fields, or a list of"),
    (AroundModel, "WithDict.counts: a strict schema cannot say a dictionary"),
    (WithAny, "WithAny.anything: a strict schema cannot say Any: give it a type"),
    (Outer, "WithAny.anything: a strict schema cannot say Any"),
    (WithTuple, "WithTuple.pair: a strict schema cannot say a tuple of fixed length: use a class with a field for"),
    (WithList, "WithList.items: a strict schema cannot say Any: give it a type"),
    (WithCallable, "WithCallable.call: a strict schema cannot say 'not'"),
    (Foreign, "Foreign cannot make a JSON schema: "),
    (Numbers, "Numbers is not an object with fields in JSON, .*: use Numbers as the type of a field of another class"),
    (Counts, "Counts is not an object with fields"),
    (KeysWithDict, r"KeysWithDict.counts: a strict schema cannot say dict\[str, int\]"),
    (Box, "Box is generic"),
    (Undecidable, "Undecidable.animal: SameAsCat and Cat cannot be told apart; give each a field such as kind"),
]


@pytest.mark.parametrize(("cls", "sentence"), REFUSED, ids=lambda value: getattr(value, "__name__", ""))
def test_what_the_strict_mode_cannot_express_names_the_class_and_the_field(cls: type[Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=f"^{sentence}"):
        answer_format(cls)


# ----------------------------------------------------------------------------------------------------------- the answer

ZOO: dict[str, Any] = {
    "animal": {"kind": "cat", "age": 1},
    "color": "red",
    "opened": "2026-01-02",
    "page": "https://zoo.example",
    "tags": ["a", "a"],
    "name": "Berlin",
}


def test_answers_are_instances_of_the_class_at_every_level() -> None:
    mixed = judged(
        Mixed,
        {
            "zoo": ZOO,
            "data": {"keys": {"needed": 1, "optional": [{"kind": "cat", "age": 2}]}, "share": 1},
            "pets": [{"kind": "dog", "name": None}, {"kind": "cat", "age": 4}],
        },
    )
    assert mixed.zoo == Zoo(
        animal=Cat(kind="cat", age=1),
        color=Color.RED,
        opened=dt.date(2026, 1, 2),
        page=pydantic.AnyUrl("https://zoo.example"),
        tags={"a"},
        name="Berlin",
    )
    assert mixed.data == Data({"needed": 1, "optional": [Cat(kind="cat", age=2)]}, 1.0)
    assert mixed.pets == [Dog(kind="dog", name=None), Cat(kind="cat", age=4)]


def test_a_typed_dict_may_lack_keys_that_are_not_required() -> None:
    assert judged(Loose, {"needed": 1}) == {"needed": 1}
    assert judged(Extended, {"value": 1}) == {"value": 1}
    assert problems(Loose, {"optional": [], "itself": {}}) == [
        "$.itself.needed: it is missing",
        "$.needed: it is missing",
    ]
    assert problems(Keys, {"needed": "1", "why": 2}) == ["$.needed: Expected `int`, got `str`", "$: there is no 'why'"]


def test_the_problems_of_a_model_are_told_by_their_places() -> None:
    assert problems(Cat, {"kind": "cow", "age": 0}) == [
        "$.age: Input should be greater than 0",
        "$.kind: Input should be 'cat'",
    ]
    assert problems(Node, {"value": 1, "children": [{"value": 2}, {"children": []}]}) == [
        "$.children[1].value: it is missing"
    ]
    assert problems(Cat, []) == ["$: Expected an object, got a list"]
    data = {"keys": {"needed": 1, "optional": [{"kind": "cow"}]}}
    assert problems(Data, data) == ["$.keys.optional[0].kind: Input should be 'cat'"]


class Checked(BaseModel):
    size: int

    @pydantic.model_validator(mode="after")
    def refuse(self) -> Checked:
        if self.size == 1:
            raise ValueError("one is too few")
        if self.size == 2:
            raise KeyError("two")
        return self


def test_an_exception_of_a_models_own_validator_makes_the_answer_invalid() -> None:
    assert problems(Checked, {"size": 1}) == ["$: Value error, one is too few"]
    assert problems(Checked, {"size": 2}) == ["$: KeyError: 'two'"]
    assert judged(Checked, {"size": 3}) == Checked(size=3)


class Strict(BaseModel):
    model_config = pydantic.ConfigDict(strict=True)
    day: dt.date
    big: int


def test_a_strict_model_reads_values_by_the_rules_for_json() -> None:
    big = 10**30
    assert judged(Strict, {"day": "2026-01-02", "big": big}) == Strict(day=dt.date(2026, 1, 2), big=big)
    assert problems(Strict, {"day": "2026-01-02", "big": "1"}) == ["$.big: Input should be a valid integer"]


class Shaped:
    """A class of another library with the two methods of a model."""

    def __init__(self, value: int) -> None:
        self.value = value

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        value = {"allOf": [{"type": "integer"}], "description": "the value"}
        return {"type": "object", "properties": {"value": value}}

    @classmethod
    def model_validate_json(cls, text: bytes) -> Shaped:
        return cls(json.loads(text)["value"])


def test_a_model_is_recognized_by_its_methods() -> None:
    assert schema_of(Shaped)["properties"] == {"value": {"type": "integer", "description": "the value"}}
    assert judged(Shaped, {"value": 2}).value == 2
    assert problems(Shaped, {}) == ["$: KeyError: 'value'"]


# ---------------------------------------------------------------------------------------------------------------- tools


def feed(cat: Cat, keys: Keys, data: Data, mixed: list[Cat | Dog]) -> list[object]:
    """Feed them."""
    return [cat, keys, data, mixed]


def test_parameters_of_tools_may_be_of_all_kinds() -> None:
    tool = Tool.of(feed)
    assert tool.strict
    assert tool.parameters is not None
    assert list(tool.parameters["$defs"]) == ["Cat", "Keys", "Data", "Dog"]
    keys = {"needed": 1, "optional": []}
    arguments = {"cat": {"kind": "cat"}, "keys": keys, "data": {"keys": keys}, "mixed": [{"kind": "dog"}]}
    parsed = tool.parse(json.dumps(arguments))
    assert parsed == {"cat": Cat(kind="cat"), "keys": keys, "data": Data(keys), "mixed": [Dog(kind="dog")]}  # type: ignore[typeddict-item]
    with pytest.raises(ValueError, match=r"\$\.cat\.age: Input should be greater than 0"):
        tool.parse(json.dumps({**arguments, "cat": {"kind": "cat", "age": 0}}))


def test_structured_outputs_do_not_import_pydantic() -> None:
    program = """
import sys, attrs
from trio_openai._protocols.structured.answer_format import answer_format
answer_format(attrs.make_class("A", {"x": attrs.field(type=int)}))
print("pydantic" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
