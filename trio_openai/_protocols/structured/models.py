"""Classes that make their own JSON schema and check their own values, such as pydantic models.

They are recognized by their methods `model_json_schema` and `model_validate_json`, so this library neither imports nor
needs pydantic. Their schemas say more than OpenAI's strict mode can. There are three cases:

* What only describes or narrows a value is left out: defaults, examples, a `format` that the API does not know. The
  class checks its values itself, so nothing is lost.
* What has an equivalent is rewritten: every property becomes required, objects allow no other properties, `oneOf`
  becomes `anyOf`, and a `$ref` with a description beside it is wrapped.
* The rest raises `TypeError` with the names of the class and the field: a dictionary, `Any`, a tuple of fixed length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, cast

import attrs
import cattrs

from trio_openai._wire.json import encode_text, is_object
from trio_openai._wire.text import utf8

JSONSchema = dict[str, Any]
Hook = Callable[[Any, Any], Any]

_DEFS = "#/$defs/"
_KEPT = frozenset({
    "anyOf", "const", "description", "enum", "exclusiveMaximum", "exclusiveMinimum", "format", "items", "maxItems",
    "maxLength", "maximum", "minItems", "minLength", "minimum", "multipleOf", "pattern", "title", "type",
})  # fmt: skip
_FORMATS = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
_REFUSED = {
    "prefixItems": "a tuple of fixed length: use a class with a field for each item",
    "patternProperties": "a dictionary: use a list of objects with a key and a value",
    "not": "'not'",
    "if": "'if'",
    "dependentRequired": "'dependentRequired'",
    "dependentSchemas": "'dependentSchemas'",
}
_DICTIONARY = "a dictionary: use a class with fields, or a list of objects with a key and a value"
_ANYTHING = "Any: give it a type"


def is_model(annotation: Any) -> TypeGuard[type[Any]]:
    """Return whether this is a class with the methods of a pydantic model."""
    return isinstance(annotation, type) and all(
        callable(getattr(annotation, name, None)) for name in ("model_json_schema", "model_validate_json")
    )


# ----------------------------------------------------------------------------------------------------------- the schema


def own_schema(cls: type[Any]) -> tuple[JSONSchema, dict[str, JSONSchema]]:
    """Return the schema that a model makes of itself, and the definitions that it refers to by their names.

    Raises:
        TypeError: the class cannot make a schema, or it is not one of an object.
    """
    try:
        made: JSONSchema = dict(cast("Any", cls).model_json_schema())
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(f"{cls.__name__} cannot make a JSON schema: {reason}") from error
    definitions: dict[str, JSONSchema] = made.pop("$defs", {})
    root: JSONSchema = definitions[made["$ref"].removeprefix(_DEFS)] if "$ref" in made else made
    if root.get("type") != "object" or "properties" not in root:
        raise TypeError(
            f"{cls.__name__} is not an object with fields in JSON, and the API requires one: use {cls.__name__} as the "
            "type of a field of another class"
        )
    return made, definitions


def strict_model(cls: type[Any], name: str, new_name: Callable[[str], str]) -> tuple[JSONSchema, dict[str, JSONSchema]]:
    """Return the strict schema of a model, and the definitions that it refers to.

    Args:
        cls: the class.
        name: the name by which the class itself is known among all definitions.
        new_name: returns a free name for a definition.

    Raises:
        TypeError: the strict mode cannot express the class.
    """
    schema, definitions = own_schema(cls)
    itself = schema["$ref"].removeprefix(_DEFS) if "$ref" in schema else None
    names = {own: name if own == itself else new_name(own) for own in definitions}
    strict = _Strict(names)
    made = {names[own]: strict.value(part, part.get("title", own)) for own, part in definitions.items()}
    return (made.pop(name) if itself else strict.value(schema, cls.__name__)), made


@attrs.frozen
class _Strict:
    """Rewrites schemas for the strict mode. `names` are the new names of definitions by the old ones."""

    names: dict[str, str]

    def value(self, schema: Any, where: str) -> JSONSchema:
        """Return the strict schema of a value. `where` names the class and the field for an error message."""
        if not is_object(schema):
            raise _refusal(where, _ANYTHING if schema is True else "False")
        schema = _with_single_base(schema, where)
        for key, words in _REFUSED.items():
            if key in schema:
                raise _refusal(where, words)
        if "$ref" in schema:
            return self._reference(schema)
        made = {key: part for key, part in schema.items() if key in _KEPT}
        if made.get("format", "date") not in _FORMATS:
            del made["format"]
        members = schema.get("anyOf") or schema.get("oneOf")
        if members:
            made["anyOf"] = [self.value(member, where) for member in members]
        elif schema.get("type") == "object":
            made.update(self._members(schema, where))
        elif schema.get("type") == "array":
            made["items"] = self.value(schema.get("items", True), where)
        elif not {"type", "enum", "const"} & schema.keys():
            raise _refusal(where, _ANYTHING)
        return made

    def _members(self, schema: JSONSchema, where: str) -> JSONSchema:
        if "properties" not in schema:
            raise _refusal(where, _DICTIONARY)
        properties: dict[str, Any] = schema["properties"]
        return {
            "properties": {name: self.value(part, f"{where}.{name}") for name, part in properties.items()},
            "required": list(properties),
            "additionalProperties": False,
        }

    def _reference(self, schema: JSONSchema) -> JSONSchema:
        ref = {"$ref": _DEFS + self.names[schema["$ref"].removeprefix(_DEFS)]}
        return {"anyOf": [ref], "description": schema["description"]} if "description" in schema else ref


def _with_single_base(schema: JSONSchema, where: str) -> JSONSchema:
    """Return a schema without `allOf`, which some versions of pydantic use to describe a reference."""
    bases = schema.get("allOf")
    if bases is None:
        return schema
    if len(bases) != 1:
        raise _refusal(where, "'allOf'")
    return {**bases[0], **{key: part for key, part in schema.items() if key != "allOf"}}


def _refusal(where: str, words: str) -> TypeError:
    return TypeError(f"{where}: a strict schema cannot say {words}")


# --------------------------------------------------------------------------------------------------- telling them apart


def tags_of_model(cls: type[Any]) -> dict[str, set[tuple[type, object]]]:
    """Return the properties of a model that allow only certain values, with these values."""
    tags: dict[str, set[tuple[type, object]]] = {}
    for name, part in _properties(cls).items():
        if "const" in part or "enum" in part:
            values = [part["const"]] if "const" in part else part["enum"]
            tags[name] = {(value.__class__, value) for value in values}
    return tags


def keys_of_model(cls: type[Any]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the properties that a model requires, and of all its properties."""
    schema, definitions = own_schema(cls)
    root = definitions[schema["$ref"].removeprefix(_DEFS)] if "$ref" in schema else schema
    return frozenset(root.get("required", ())), frozenset(root["properties"])


def _properties(cls: type[Any]) -> dict[str, JSONSchema]:
    """Return the properties of a model, in which a reference is replaced by what it refers to."""
    schema, definitions = own_schema(cls)
    root = definitions[schema["$ref"].removeprefix(_DEFS)] if "$ref" in schema else schema
    parts: dict[str, JSONSchema] = root["properties"]
    return {name: definitions.get(part.get("$ref", "").removeprefix(_DEFS), part) for name, part in parts.items()}


# -------------------------------------------------------------------------------------------------- JSON to an instance


def model_hook(cls: type[Any]) -> Hook:
    """Return the function that makes an instance of a model of decoded JSON.

    It goes through text because a model has other rules for JSON than for Python objects: in strict mode, for example,
    it accepts a date as a string only in JSON.
    """
    validate: Callable[[bytes], Any] = cast("Any", cls).model_validate_json

    def structure(value: Any, _: Any) -> Any:
        try:
            return validate(utf8(encode_text(value)))
        except Exception as error:  # noqa: BLE001 - of the program's own validators, too
            raise _as_group(error, cls) from None

    return structure


def _as_group(error: Exception, cls: type[Any]) -> Exception:
    """Return the error of a model in the form of cattrs, which has a path for each problem."""
    list_problems = getattr(error, "errors", None)
    if not isinstance(error, ValueError) or not callable(list_problems):  # of the program's own validators
        return validation_error([error], cls)
    found = cast("list[dict[str, Any]]", list_problems())
    problems = [_at(problem.get("loc", ()), ValueError(_sentence(problem)), cls) for problem in found]
    return validation_error(problems, cls)


def validation_error(errors: list[Exception], cls: type[Any], *, in_list: bool = False) -> Exception:
    """Return an error of cattrs for the problems of an object, or of a list in it."""
    group: Any = cattrs.IterableValidationError if in_list else cattrs.ClassValidationError
    made: Exception = group("", errors, cls)
    return made


def _sentence(problem: dict[str, Any]) -> str:
    if problem.get("type") == "missing":
        return "it is missing"
    return str(problem.get("msg", "it is not valid"))


def _at(path: tuple[object, ...], error: Exception, cls: type[Any]) -> Exception:
    """Return an error with notes that say where in a value the problem is."""
    if not path:
        return error
    place, rest = path[0], path[1:]
    in_list = bool(rest) and isinstance(rest[0], int)
    noted = validation_error([_at(rest, error, cls)], cls, in_list=in_list) if rest else error
    if isinstance(place, int):
        noted.add_note(cattrs.IterableValidationNote("", place, Any))
    else:
        noted.add_note(cattrs.AttributeValidationNote("", str(place), Any))
    return noted
