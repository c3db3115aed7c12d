"""Functions as tools: the schema made from signature and docstring, and the parsing of arguments."""

from __future__ import annotations

import datetime as dt
import enum
import functools
import gc
import math
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import attrs
import msgspec
import pytest

from trio_openai import Tool
from trio_openai._tools.output import text_of
from trio_openai._tools.tool import tool_of


class Unit(enum.Enum):
    CELSIUS = "c"
    KELVIN = "k"


@attrs.define
class Place:
    """Somewhere."""

    city: str
    zip: Annotated[str | None, "The code, if there is one."]


@attrs.define
class Tree:
    name: str
    children: list[Tree]


async def weather(
    place: Place,
    unit: Unit,
    day: dt.date,
    kind: Literal["rain", "sun"],
    hours: list[int],
    at_most: Annotated[int | None, msgspec.Meta(description="Results.")],
    note: Annotated[str, "What for."],
) -> NotDefinedAnywhere:  # type: ignore[name-defined]  # noqa: F821
    """Say what the weather will be.

    It looks it up.

    Args:
        place: Where: a city,
            for example.
        unit (Unit): Of the temperature.
        note: Not this one, since the annotation says it.

    Returns:
        What it will be.
    """


def search(query: str, limit: int = 10, place: Place | None = None, *, exact: bool = False) -> None:
    """Search."""


def nothing() -> None: ...


def grow(tree: Tree) -> Tree:
    return tree


def schema_of(function: Any) -> Any:
    return Tool.of(function).parameters


def test_schema_comes_from_signature_and_docstring() -> None:
    tool = Tool.of(weather)
    assert (tool.name, tool.strict) == ("weather", True)
    assert tool.description == "Say what the weather will be.\n\nIt looks it up."
    parameters: Any = tool.parameters
    assert parameters["required"] == ["place", "unit", "day", "kind", "hours", "at_most", "note"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"] == {
        "place": {"anyOf": [{"$ref": "#/$defs/Place"}], "description": "Where: a city, for example."},
        "unit": {"title": "Unit", "enum": ["c", "k"], "type": "string", "description": "Of the temperature."},
        "day": {"type": "string", "format": "date"},
        "kind": {"enum": ["rain", "sun"], "type": "string"},
        "hours": {"type": "array", "items": {"type": "integer"}},
        "at_most": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Results."},
        "note": {"type": "string", "description": "What for."},
    }
    assert parameters["$defs"]["Place"]["properties"]["zip"]["description"] == "The code, if there is one."


def test_schema_with_defaults_is_not_strict_and_contains_them() -> None:
    tool = Tool.of(search)
    assert not tool.strict
    parameters: Any = tool.parameters
    assert parameters["required"] == ["query"]
    assert parameters["properties"]["limit"] == {"type": "integer", "default": 10}
    assert parameters["properties"]["exact"] == {"type": "boolean", "default": False}
    assert "default" not in parameters["properties"]["place"]
    assert tool.parse('{"query": "x", "exact": true}') == {"query": "x", "exact": True}


def test_a_default_that_json_cannot_express_is_left_out() -> None:
    def wait(longest: float = math.inf, least: float = float("nan"), step: float = 0.5) -> None: ...

    assert Tool.of(wait).parameters == {
        "type": "object",
        "properties": {
            "longest": {"type": "number"},
            "least": {"type": "number"},
            "step": {"type": "number", "default": 0.5},
        },
        "required": [],
        "additionalProperties": False,
    }


def test_generator_functions_are_refused() -> None:
    """Refuse a generator, because JSON cannot express it and every call of such a tool failed."""

    def count(to: int) -> Iterator[int]:
        yield to

    async def count_slowly(to: int) -> AsyncIterator[int]:
        yield to

    for function in (count, count_slowly):
        with pytest.raises(
            TypeError, match=f"the tool '{function.__name__}' is a generator, but a tool has one result"
        ):
            tool_of(function)


def test_strictness_can_be_chosen() -> None:
    tool = Tool.of(search, strict=True)
    assert tool.strict
    assert tool.parameters is not None
    assert tool.parameters["required"] == ["query", "limit", "place", "exact"]
    assert "default" not in str(tool.parameters)
    assert not Tool.of(weather, strict=False).strict


def test_a_parameter_of_a_class_is_described_by_the_class() -> None:
    tree = Tool.of(grow).parse('{"tree": {"name": "a", "children": [{"name": "b", "children": []}]}}')["tree"]
    assert tree == Tree("a", [Tree("b", [])])
    assert set(schema_of(grow)["$defs"]) == {"Tree"}


def test_a_function_without_parameters_accepts_an_empty_object_or_blank_text() -> None:
    tool = Tool.of(nothing)
    assert tool.parameters == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert tool.description is None
    assert tool.parse("{}") == tool.parse(" ") == {}


def test_arguments_are_converted_to_the_annotated_types() -> None:
    place = '{"city": "Oslo", "zip": null}'
    text = (
        f'{{"place": {place}, "unit": "k", "day": "2026-01-02", "kind": "sun", "hours": [1], "at_most": 2, "note": ""}}'
    )
    assert Tool.of(weather).parse(text) == {
        "place": Place("Oslo", None),
        "unit": Unit.KELVIN,
        "day": dt.date(2026, 1, 2),
        "kind": "sun",
        "hours": [1],
        "at_most": 2,
        "note": "",
    }


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("{", ("it is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",)),
        ("[]", ("$: Expected an object",)),
        ('{"limit": 1}', ("$.query: this argument is missing",)),
        ('{"query": "x", "kimit": 1}', ("$: unknown arguments: 'kimit'",)),
        ('{"query": 1, "limit": "2"}', ("$.query: Expected `str`, got `int`", "$.limit: Expected `int`, got `str`")),
        ('{"query": "x", "place": {"city": 1, "zip": null}}', ("$.place.city: Expected `str`, got `int`",)),
    ],
)
def test_invalid_arguments_are_described_in_sentences(text: str, problems: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Tool.of(search).parse(text)
    assert caught.value.args == problems


class Shop:
    """A shop."""

    def price(self, item: str) -> float:
        """Say what something costs."""
        return len(item)

    def __call__(self, item: str) -> None: ...


def test_methods_partials_and_callable_objects_can_be_tools() -> None:
    method = Tool.of(Shop().price)
    assert method.parameters is not None
    assert (method.name, list(method.parameters["properties"])) == ("price", ["item"])
    assert method(**method.parse('{"item": "tea"}')) == 3
    called = Tool.of(Shop(), name="shop")
    assert called.description == "A shop."
    partial = Tool.of(functools.partial(search, limit=3), name="search_3")
    assert partial.description == "Search."
    assert partial.parameters is not None
    assert partial.parameters["properties"]["limit"] == {"type": "integer", "default": 3}


def bare(city) -> None: ...  # type: ignore[no-untyped-def]
def many(*cities: str) -> None: ...
def named(**cities: str) -> None: ...
def by_place(city: str, /) -> None: ...
def mapping(counts: dict[str, int]) -> None: ...
def generic(pair: tuple[int, str]) -> None: ...
def broken(thing: dt.Nothing) -> None: ...  # type: ignore[name-defined]
def unknown(thing: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (bare, "bare: its parameter city has no annotation: write city: str, for example"),
        (many, r"many takes \*cities.*take one parameter with a list"),
        (named, r"named takes \*\*cities.*write the parameters out"),
        (by_place, "by_place takes city by position only.*remove the /"),
        (
            mapping,
            r"mapping.counts: a strict schema cannot say dict\[str, int\]; it can say .* Tool.of\(function, para",
        ),
        (generic, "generic.pair: a strict schema cannot say"),
        (
            unknown,
            "its annotations use 'Nowhere', which is not defined at the top level of its module; define or import it",
        ),
        (broken, "broken: its annotations cannot be evaluated: .*has no attribute 'Nothing'"),
        (max, "max has no signature that Python can inspect"),
        (print, r"print takes \*args"),
        (Place, "Place is a class: pass a function that takes one"),
        (3, "tools takes functions, Tools, and dictionaries; one of its items is of type int"),
    ],
)
def test_signature_without_a_schema_raises_a_helpful_type_error(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        tool_of(function)


@pytest.mark.parametrize("function", [lambda: None, functools.partial(search), Shop()])
def test_callable_without_a_name_raises_a_helpful_value_error(function: Any) -> None:
    with pytest.raises(ValueError, match=r"has no valid tool name: choose one with Tool.of\(function, name=\.\.\.\)"):
        tool_of(function)


def test_invalid_tool_name_is_refused() -> None:
    for name in ("två", "a b", "", "x" * 65):
        with pytest.raises(ValueError, match="not a valid tool name"):
            Tool(name=name, parameters={}, function=nothing)
    with pytest.raises(TypeError, match="needs a schema of its parameters"):
        Tool(name="x", function=nothing)
    with pytest.raises(TypeError, match="needs a function, not int"):
        Tool(name="x", parameters={}, function=3)  # type: ignore[arg-type]


def test_everything_derived_from_the_function_can_be_overridden() -> None:
    schema = {"type": "object", "properties": {"counts": {"type": "object"}}}
    tool = Tool.of(mapping, name="count", description="Count.", parameters=schema)
    assert tool.for_responses() == {
        "type": "function",
        "name": "count",
        "description": "Count.",
        "parameters": schema,
        "strict": False,
    }
    assert tool.parse('{"counts": {"a": 1}}') == {"counts": {"a": 1}}
    assert tool_of(tool) is tool
    assert attrs.evolve(Tool.of(search), name="find").parse('{"query": "x"}') == {"query": "x"}


def run_code(code: str) -> str:
    """Run code."""
    return code


def test_a_tool_in_the_format_of_both_apis() -> None:
    told = {"name": "nothing", "parameters": schema_of(nothing), "strict": True}
    assert Tool.of(nothing).for_chat() == {"type": "function", "function": told}
    assert Tool.of(nothing).for_responses() == {"type": "function", **told}
    custom = Tool.custom(run_code, format={"type": "text"})
    said = {"name": "run_code", "description": "Run code.", "format": {"type": "text"}}
    assert custom.for_chat() == {"type": "custom", "custom": said}
    assert custom.for_responses() == {"type": "custom", **said}
    assert custom("x") == "x"


@attrs.define
class Sum:
    total: int
    on: dt.date


def test_string_results_stay_unchanged_and_others_become_json() -> None:
    assert text_of('say "hi"') == 'say "hi"'
    assert text_of(None) == "null"
    assert text_of([Sum(3, dt.date(2026, 1, 2)), Unit.KELVIN, {1: (2.5, True)}]) == (
        '[{"total":3,"on":"2026-01-02"},"k",{"1":[2.5,true]}]'
    )
    with pytest.raises(TypeError):
        text_of(object())


def test_schema_is_cached_and_keeps_no_function_alive() -> None:
    def short_lived(city: str) -> None: ...

    assert Tool.of(short_lived).parameters is Tool.of(short_lived).parameters
    gone = weakref.ref(short_lived)
    del short_lived
    gc.collect()
    assert gone() is None


def test_missing_dependency_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def fresh(city: str) -> None: ...

    monkeypatch.setitem(sys.modules, "msgspec", None)
    with pytest.raises(ImportError, match=r"functions as tools need msgspec: pip install 'trio-openai\[structured\]'"):
        Tool.of(fresh)
