"""Functions as tools of a model: what it is told of them, and the way from what it writes to the function's arguments.

The schema of a function's arguments is made of its signature by the rules for fields of a class (`schema.py`), and
what the model writes is judged by the same rules (`structured.py`). The docstring tells the model the rest: what stands
before its first section, and a parameter's line under `Args:`.

The strict mode lists every argument as required, so a default would never count. A function with one is therefore
described loosely (`strict: false`), which allows the model to leave the argument out.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
import typing
import weakref
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Literal, cast

import attrs

from trio_openai._protocols.structured import answer_format as structured
from trio_openai._protocols.structured import schema
from trio_openai._protocols.structured.schema import Field, JSONSchema
from trio_openai._wire.encode import result_text
from trio_openai._wire.json import is_object
from trio_openai._wire.text import printable
from trio_openai.types._base import Raw
from trio_openai.types._fields import is_wire
from trio_openai.types._plain import current

Function = Callable[..., Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_DOCUMENTED = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)")
_JSON_DEFAULTS = (str, bool, int, float)


@attrs.frozen(slots=False)  # for the cached property
class _Signature:
    """What is known of a function's arguments, without the function: it can be collected."""

    fields: list[Field]
    schema: JSONSchema
    description: str | None

    @functools.cached_property
    def hooks(self) -> dict[str, structured.Hook]:
        """What makes each argument of a decoded JSON value; made when the function is first called."""
        return structured.hooks_for({field.name: field.annotation for field in self.fields})


@attrs.frozen(kw_only=True)
class Tool:
    """A function that a model may call.

    Where a function is given as a tool, this is made of it. Make one yourself to say otherwise what the model is told:
    by `Tool.of`, by `Tool.custom`, or whole. It can be called as the function can.

    Attributes:
        name: by which the model calls it: letters, digits, `_` and `-`, at most 64.
        description: what it does and when to use it, for the model.
        parameters: the JSON schema of its arguments. None with a custom tool.
        strict: whether the server holds the model to the schema.
        function: the function, sync or async. A sync one runs in the event loop: what blocks belongs in an async one
            that awaits `trio.to_thread.run_sync`.
        kind: "function"; or "custom", whose only argument is the text that the model writes.
        format: of a custom tool's text, such as a grammar, as the API takes it.

    Raises:
        TypeError: the function is none.
        ValueError: the name is none that the API takes.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    function: Function = attrs.field()
    kind: Literal["function", "custom"] = "function"
    format: Mapping[str, Any] | None = None
    _signature: _Signature | None = attrs.field(default=None, repr=False, eq=False, alias="signature")

    def __attrs_post_init__(self) -> None:
        """Check what cannot be sent."""
        if not callable(self.function):
            raise TypeError(f"the tool {self.name!r} needs a function, not {type(self.function).__name__}")
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise TypeError(f"the tool {self.name!r} yields, and a model is told one result: return it, as a list, say")
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is no name for a tool: letters, digits, _ and -, at most 64; "
                "give another one as Tool.of(function, name=...)"
            )
        if self.kind == "function" and self.parameters is None:
            raise TypeError(f"the tool {self.name!r} needs the schema of its parameters: let Tool.of(function) make it")

    @classmethod
    def of(
        cls,
        function: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        strict: bool | None = None,
    ) -> Tool:
        """A tool made of a function's signature and docstring.

        Args:
            function: sync or async; each parameter has an annotation that a schema can be made of.
            name: by default the function's.
            description: by default the docstring, up to its first section.
            parameters: a JSON schema of your own. The signature is not looked at then, and the function gets the
                decoded JSON.
            strict: by default, whether every parameter has to be given. With True, so has one that has a default.

        Raises:
            TypeError: there is no schema for the signature.
            ValueError: the name is none that the API takes.
            ImportError: what is needed for schemas is not installed.
        """
        name = name or _name_of(function)
        if parameters is not None:
            described = description or _documented(function)[0]
            return cls(name=name, description=described, parameters=parameters, strict=bool(strict), function=function)
        signature = _signature_of(function)
        is_strict = all(field.is_required for field in signature.fields) if strict is None else strict
        return cls(
            name=name,
            description=description or signature.description,
            parameters=signature.schema if is_strict else _loose(signature, function),
            strict=is_strict,
            function=function,
            signature=signature,
        )

    @classmethod
    def custom(
        cls,
        function: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        format: Mapping[str, Any] | None = None,
    ) -> Tool:
        """A custom tool: what the model writes is any text, and the function's only argument.

        Args:
            function: sync or async, of one argument.
            name: by default the function's.
            description: by default the docstring, up to its first section.
            format: what the text has to look like, such as `{"type": "grammar", "syntax": "regex", ...}`.

        Raises:
            ValueError: the name is none that the API takes.
        """
        described = description or _documented(function)[0]
        name = name or _name_of(function)
        return cls(name=name, description=described, function=function, kind="custom", format=format)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def parse(self, arguments: str) -> dict[str, Any]:
        """The function's arguments, of what a model wrote: each as an object of its annotation.

        Raises:
            ValueError: they do not fit. Its `args` are sentences.
        """
        value = structured.decoded(arguments if arguments.strip() else "{}")
        if not is_object(value):
            raise ValueError("$: Expected an object")
        if self._signature is None:
            return value
        return _structured(self._signature, value)

    def for_chat(self) -> Raw:
        """As Chat Completions take it."""
        return {"type": self.kind, self.kind: self._told()}

    def for_responses(self) -> Raw:
        """As Responses take it."""
        return {"type": self.kind, **self._told()}

    def _told(self) -> Raw:
        told: Raw = {"name": self.name}
        if self.description:
            told["description"] = self.description
        if self.kind == "function":
            return {**told, "parameters": self.parameters, "strict": self.strict}
        return {**told, "format": self.format} if self.format is not None else told


def tool_of(given: object) -> Tool:
    """What was given as a tool, as one.

    Raises:
        TypeError: it cannot be one.
        ValueError: its name is none that the API takes.
    """
    if isinstance(given, Tool):
        return given
    if isinstance(given, type):
        raise TypeError(f"tools takes functions, and {given.__name__} is a class: give a function that takes one")
    if not callable(given):
        raise TypeError(
            f"tools takes functions, Tools, and dictionaries; one of its items is of type {type(given).__name__}"
        )
    return Tool.of(given)


def text_of(result: object) -> str:
    """What a function returned, as the model is told: a string as it is, anything else as JSON.

    In a string, what has no UTF-8 (as in the name of a file) is replaced.

    Raises:
        TypeError: there is no JSON for it.
    """
    return printable(result) if isinstance(result, str) else result_text(_converter().unstructure(result))


@functools.cache
def _converter() -> Any:
    from cattrs.preconf.json import make_converter

    converter = make_converter()
    converter.register_unstructure_hook_func(is_wire, current)
    converter.register_unstructure_hook(bytes, _refuse_bytes)  # which would be told in base 85
    return converter


def _refuse_bytes(_: bytes) -> str:
    raise TypeError("bytes are no text and have no JSON: return them decoded")


# -------------------------------------------------------------------------------------------------------- the signature

_signatures: weakref.WeakKeyDictionary[Function, _Signature] = weakref.WeakKeyDictionary()


def _signature_of(function: Function) -> _Signature:
    """That of a function is made once, since it takes about as long as to stream a hundred events."""
    found = _signatures.get(function) if inspect.isfunction(function) else None
    if found is None:
        found = _read(function)
        if inspect.isfunction(function):
            _signatures[function] = found
    return found


def _read(function: Function) -> _Signature:
    structured.need_msgspec()
    where = f"the tool {_short_name(function)}"
    hints, (description, documented) = _hints(function, where), _documented(function)
    fields: list[Field] = []
    for name, parameter in _parameters(function, where).items():
        if name not in hints:
            raise TypeError(f"{where}: its parameter {name} has no annotation: write {name}: str, say")
        told = schema.remark_of(hints[name]) or documented.get(name)
        fields.append(Field(name, hints[name], told, parameter.default is parameter.empty))
    try:
        made = schema.object_schema(fields, where)
    except TypeError as error:
        raise TypeError(f"{error}. Otherwise give a schema of your own: Tool.of(function, parameters=...)") from None
    return _Signature(fields, made, description)


_REFUSED: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "takes any number of arguments (*{name}), and a schema names each: "
    "make it a list",
    inspect.Parameter.VAR_KEYWORD: "takes any names (**{name}), and a schema lists them: write the parameters out",
    inspect.Parameter.POSITIONAL_ONLY: "takes {name} by its position only, and a model gives it by its name: "
    "take the / out of the signature",
}


def _parameters(function: Function, where: str) -> Mapping[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise TypeError(
            f"{where} has no signature that Python knows of: call it from a function that has annotations"
        ) from None
    for name, parameter in parameters.items():
        if refused := _REFUSED.get(parameter.kind):
            raise TypeError(f"{where} {refused.format(name=name)}")
    return parameters


def _hints(function: Function, where: str) -> dict[str, Any]:
    """The annotations of a function's parameters; what it returns may be of a class that is not there."""
    plain = _plain_function(function)
    written = {name: what for name, what in getattr(plain, "__annotations__", {}).items() if name != "return"}
    names = getattr(inspect.unwrap(plain), "__globals__", {})
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=written), names, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{where}: the name {error.name!r} in its signature is not known where it is defined; "
            "define or import it at the top level of that module"
        ) from None
    except (AttributeError, SyntaxError, TypeError) as error:
        raise TypeError(f"{where}: its annotations cannot be read: {error}") from None


def _plain_function(function: Any) -> Any:
    """What has the annotations: of an object that is called, its method; of a partial call, what is called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _name_of(function: Function) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{_short_name(function)} needs a name that a model can call: Tool.of(function, name=...)")
    return name


def _short_name(function: Function) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _loose(signature: _Signature, function: Function) -> JSONSchema:
    """The schema where what has a default can be left out."""
    parameters = inspect.signature(function).parameters
    loose = {**signature.schema, "properties": dict(signature.schema["properties"])}
    loose["required"] = [field.name for field in signature.fields if field.is_required]
    for field in signature.fields:
        default, described = parameters[field.name].default, loose["properties"][field.name]
        has_json = type(default) in _JSON_DEFAULTS and not (type(default) is float and not math.isfinite(default))
        if has_json and "$ref" not in described:
            loose["properties"][field.name] = {**described, "default": default}
    return loose


# ------------------------------------------------------------------------------------------------------------ arguments


def _structured(signature: _Signature, value: Raw) -> dict[str, Any]:
    problems: list[str] = []
    arguments: dict[str, Any] = {}
    for field in signature.fields:
        if field.name in value:
            try:
                arguments[field.name] = signature.hooks[field.name](value[field.name], field.annotation)
            except structured.UNFIT as error:
                problems += structured.problems(error, f"$.{field.name}")
        elif field.is_required:
            problems.append(f"$.{field.name}: it is missing")
    if unknown := value.keys() - {field.name for field in signature.fields}:
        problems.append(f"$: there is no {' or '.join(sorted(map(repr, unknown)))}")
    if problems:
        raise ValueError(*problems)
    return arguments


# ------------------------------------------------------------------------------------------------------------ docstring


def _documented(function: Function) -> tuple[str | None, dict[str, str]]:
    """What a docstring of Google's form says of a function, and of its parameters."""
    sections: dict[str, list[str]] = {"": []}
    lines = sections[""]
    for line in _docstring(function).splitlines():
        if found := _SECTION.match(line):
            lines = sections.setdefault(found[1], [])
        else:
            lines.append(line)
    told = [line for name in ("Args", "Arguments", "Parameters") for line in sections.get(name, ())]
    return "\n".join(sections[""]).strip() or None, _documented_parameters(told)


def _docstring(function: Any) -> str:
    """That of a function; of an object that is called, its method's, else its class's."""
    text = _plain_function(function).__doc__
    if not text and not inspect.isroutine(function) and not isinstance(function, functools.partial):
        text = cast("object", function).__class__.__doc__
    return inspect.cleandoc(text or "")


def _documented_parameters(lines: list[str]) -> dict[str, str]:
    """`name: text` or `name (type): text`; lines that are indented further go on with it."""
    told: dict[str, list[str]] = {}
    margin, current = None, cast("list[str]", [])
    for line in filter(str.strip, lines):
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        found = _DOCUMENTED.match(line.strip()) if indent <= margin else None
        if found:
            current = told.setdefault(found[1], [found[2]])
        else:
            current.append(line.strip())
    return {name: " ".join(filter(None, texts)) for name, texts in told.items()}
