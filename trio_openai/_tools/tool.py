"""`Tool`: a Python function that a model can call.

The problem: the model needs a JSON schema and a description, the function needs typed arguments, and what the schema
promises must be exactly what the parser accepts.

The idea: one set of rules for both directions. `_signature_of` turns each parameter into a field and builds the schema
with the code for structured outputs (`_protocols/structured/schema.py`). `Tool.parse` reads what the model wrote with
the hooks of the same code (`_protocols/structured/answer_format.py`).

Rules that hold it together:

* The description is the docstring up to its first section; a parameter's description is its line under `Args:`.
* In strict mode the API requires every argument, so a default could never apply. A function with a default therefore
  gets `strict: false`, which lets the model leave that argument out (`_loose`).
* A signature is read once per function, and the cache does not keep the function alive (`_signatures`).
* Whatever cannot be described raises `TypeError` when the tool is made, never when the model calls it.

Where to look next: `run.py` runs tools, `normalize.py` handles what a model got wrong.
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
from trio_openai._wire.json import is_object
from trio_openai.types._raw import JSONDict, Raw

from .hooks import Approve, OnError, check_approve, check_on_error

Function = Callable[..., Any]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns|Raises|Yields|Examples?|Notes?):\s*$")
_DOCUMENTED = re.compile(r"\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)")
_JSON_DEFAULTS = (str, bool, int, float)


@attrs.frozen(slots=False)  # for the cached property
class _Signature:
    """A function's arguments. It holds no reference to the function, so that the function can be collected."""

    fields: list[Field]
    schema: JSONSchema
    description: str | None

    @functools.cached_property
    def hooks(self) -> dict[str, structured.Hook]:
        """The hooks that convert decoded JSON to each argument. They are made when the function is first called."""
        return structured.hooks_for({field.name: field.annotation for field in self.fields})


@attrs.frozen(kw_only=True)
class Tool:
    """A function that a model may call.

    A plain function passed as a tool becomes a `Tool` automatically. Make one yourself, by `Tool.of`, `Tool.custom` or
    the constructor, to change what the model is told. A `Tool` can be called like its function.

    Attributes:
        name: the name by which the model calls it: letters, digits, `_` and `-`, at most 64 characters.
        description: what the tool does and when to use it, for the model.
        parameters: the JSON schema of its arguments. None for a custom tool.
        strict: whether the server makes the model follow the schema exactly.
        function: the function, sync or async. A sync function without a timeout runs in the event loop, so blocking
            work belongs in an async function that awaits `trio.to_thread.run_sync`. The blocking client runs it in a
            worker thread.
        kind: "function", or "custom" for a tool whose only argument is the text that the model writes.
        format: the format of a custom tool's text, such as a grammar, as the API expects it.
        timeout: the longest time in seconds that a call may take. Then it is cancelled, and fails with
            `trio.TooSlowError`. A sync function runs in a worker thread, which is left behind then, because a thread
            cannot be stopped.
        max_concurrent: the number of calls of this tool that run at the same time. None: only the run has a limit.
        on_error: what happens if this tool fails. See `run_tools`. None: as in the run.
        approve: decides whether a call of this tool may run. See `run_tools`. None: as in the run.

    Raises:
        TypeError: `function` is not callable or is a generator, or `parameters` is missing.
        ValueError: the API does not allow this name, or a limit is invalid.
    """

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    strict: bool = False
    function: Function = attrs.field()
    kind: Literal["function", "custom"] = "function"
    format: Mapping[str, Any] | None = None
    timeout: float | None = attrs.field(default=None, repr=False)
    max_concurrent: int | None = attrs.field(default=None, repr=False)
    on_error: OnError | None = attrs.field(default=None, repr=False)
    approve: Approve | None = attrs.field(default=None, repr=False)
    _signature: _Signature | None = attrs.field(default=None, repr=False, eq=False, alias="signature")

    def __attrs_post_init__(self) -> None:
        """Refuse a tool that could not be sent."""
        if not callable(self.function):
            raise TypeError(f"the tool {self.name!r} needs a function, not {type(self.function).__name__}")
        if inspect.isgeneratorfunction(self.function) or inspect.isasyncgenfunction(self.function):
            raise TypeError(
                f"the tool {self.name!r} is a generator, but a tool has one result: return it, for example as a list"
            )
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not a valid tool name (1-64 letters, digits, _ and -): "
                "choose another with Tool.of(function, name=...)"
            )
        if self.kind == "function" and self.parameters is None:
            raise TypeError(
                f"the tool {self.name!r} needs a schema of its parameters: Tool.of(function) makes one from a signature"
            )
        self._check_limits()

    def _check_limits(self) -> None:
        seconds: object = self.timeout
        is_time = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < math.inf
        if seconds is not None and not is_time:
            raise ValueError(f"the timeout of the tool {self.name!r} takes seconds, more than 0")
        number: object = self.max_concurrent
        if number is not None and (type(number) is not int or number < 1):
            raise ValueError(f"max_concurrent of the tool {self.name!r} takes a whole number, at least 1")
        if self.on_error is not None:
            check_on_error(self.on_error)
        if self.approve is not None:
            check_approve(self.approve)

    @classmethod
    def of(
        cls,
        function: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        strict: bool | None = None,
        timeout: float | None = None,
        max_concurrent: int | None = None,
        on_error: OnError | None = None,
        approve: Approve | None = None,
    ) -> Tool:
        """Make a tool from a function's signature and docstring.

        Args:
            function: sync or async. Each parameter needs an annotation that can be expressed as a JSON schema.
            name: the tool's name. Default: the function's name.
            description: the tool's description. Default: the docstring up to its first section.
            parameters: a JSON schema of your own. Then the signature is ignored, and the function gets the decoded
                JSON.
            strict: whether the model must follow the schema exactly, which makes every parameter required. Default:
                True if no parameter has a default.
            timeout: the longest time in seconds that a call may take.
            max_concurrent: the number of calls of this tool that run at the same time.
            on_error: what happens if this tool fails. Default: as in the run.
            approve: decides whether a call of this tool may run. Default: as in the run.

        Raises:
            TypeError: the signature cannot be expressed as a schema.
            ValueError: the API does not allow this name.
            ImportError: the extra `structured` is not installed.
        """
        name = name or _name_of(function)
        limits: Any = {"timeout": timeout, "max_concurrent": max_concurrent, "on_error": on_error, "approve": approve}
        if parameters is not None:
            described = description or _documented(function)[0]
            return cls(
                name=name,
                description=described,
                parameters=parameters,
                strict=bool(strict),
                function=function,
                **limits,
            )
        signature = _signature_of(function)
        is_strict = all(field.is_required for field in signature.fields) if strict is None else strict
        return cls(
            name=name,
            description=description or signature.description,
            parameters=signature.schema if is_strict else _loose(signature, function),
            strict=is_strict,
            function=function,
            signature=signature,
            **limits,
        )

    @classmethod
    def custom(
        cls,
        function: Function,
        *,
        name: str | None = None,
        description: str | None = None,
        format: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        max_concurrent: int | None = None,
        on_error: OnError | None = None,
        approve: Approve | None = None,
    ) -> Tool:
        """Make a custom tool: the model writes free text, which is the function's only argument.

        Args:
            function: sync or async, with one parameter.
            name: the tool's name. Default: the function's name.
            description: the tool's description. Default: the docstring up to its first section.
            format: the format of the text, such as `{"type": "grammar", "syntax": "regex", ...}`.
            timeout: the longest time in seconds that a call may take.
            max_concurrent: the number of calls of this tool that run at the same time.
            on_error: what happens if this tool fails. Default: as in the run.
            approve: decides whether a call of this tool may run. Default: as in the run.

        Raises:
            ValueError: the API does not allow this name.
        """
        described = description or _documented(function)[0]
        name = name or _name_of(function)
        return cls(
            name=name,
            description=described,
            function=function,
            kind="custom",
            format=format,
            timeout=timeout,
            max_concurrent=max_concurrent,
            on_error=on_error,
            approve=approve,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Parse the arguments that a model wrote: decode the JSON and convert each value to its annotated type.

        Raises:
            ValueError: the arguments are invalid. Its `args` are one sentence for each problem.
        """
        value = structured.decoded(arguments if arguments.strip() else "{}")
        if not is_object(value):
            raise ValueError("$: Expected an object")
        if self._signature is None:
            return value
        return _structured(self._signature, value)

    def for_chat(self) -> JSONDict:
        """Return the tool as Chat Completions expects it."""
        return JSONDict({"type": self.kind, self.kind: self._described()})

    def for_responses(self) -> JSONDict:
        """Return the tool as the Responses API expects it."""
        return JSONDict({"type": self.kind, **self._described()})

    def _described(self) -> Raw:
        described: Raw = {"name": self.name}
        if self.description:
            described["description"] = self.description
        if self.kind == "function":
            return {**described, "parameters": self.parameters, "strict": self.strict}
        return {**described, "format": self.format} if self.format is not None else described


def tool_of(given: object) -> Tool:
    """Return `given` as a `Tool`.

    Raises:
        TypeError: it is neither a function nor a `Tool`.
        ValueError: the API does not allow its name.
    """
    if isinstance(given, Tool):
        return given
    if isinstance(given, type):
        raise TypeError(f"tools takes functions, and {given.__name__} is a class: pass a function that takes one")
    if not callable(given):
        raise TypeError(
            f"tools takes functions, Tools, and dictionaries; one of its items is of type {type(given).__name__}"
        )
    return Tool.of(given)


# -------------------------------------------------------------------------------------------------------- the signature

_signatures: weakref.WeakKeyDictionary[Function, _Signature] = weakref.WeakKeyDictionary()


def _signature_of(function: Function) -> _Signature:
    """Return a function's signature, cached because reading it costs as much as streaming a hundred events."""
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
            raise TypeError(f"{where}: its parameter {name} has no annotation: write {name}: str, for example")
        described = schema.remark_of(hints[name]) or documented.get(name)
        fields.append(Field(name, hints[name], described, parameter.default is parameter.empty))
    try:
        made = schema.object_schema(fields, where)
    except TypeError as error:
        raise TypeError(f"{error}. Or pass a schema of your own: Tool.of(function, parameters=...)") from None
    return _Signature(fields, made, description)


_REFUSED: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "takes *{name}, but a schema must name every argument: "
    "take one parameter with a list instead",
    inspect.Parameter.VAR_KEYWORD: "takes **{name}, but a schema must name every argument: write the parameters out",
    inspect.Parameter.POSITIONAL_ONLY: "takes {name} by position only, but a model passes arguments by name: "
    "remove the / from the signature",
}


def _parameters(function: Function, where: str) -> Mapping[str, inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        raise TypeError(
            f"{where} has no signature that Python can inspect: wrap it in a function with annotations"
        ) from None
    for name, parameter in parameters.items():
        if refused := _REFUSED.get(parameter.kind):
            raise TypeError(f"{where} {refused.format(name=name)}")
    return parameters


def _hints(function: Function, where: str) -> dict[str, Any]:
    """Return the evaluated annotations of a function's parameters."""
    plain = plain_function(function)
    # Without the return annotation: it may name something that is imported for type checkers only.
    written = {name: what for name, what in getattr(plain, "__annotations__", {}).items() if name != "return"}
    names = getattr(inspect.unwrap(plain), "__globals__", {})
    try:
        return typing.get_type_hints(SimpleNamespace(__annotations__=written), names, include_extras=True)
    except NameError as error:
        raise TypeError(
            f"{where}: its annotations use {error.name!r}, which is not defined at the top level of its module; "
            "define or import it there"
        ) from None
    except (AttributeError, SyntaxError, TypeError) as error:
        raise TypeError(f"{where}: its annotations cannot be evaluated: {error}") from None


def plain_function(function: Any) -> Any:
    """Return the function that has the annotations: a callable object's `__call__`, a partial's inner function."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if inspect.isroutine(function) else type(function).__call__


def _name_of(function: Function) -> str:
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{_short_name(function)} has no valid tool name: choose one with Tool.of(function, name=...)")
    return name


def _short_name(function: Function) -> str:
    return getattr(function, "__name__", None) or repr(function)


def _loose(signature: _Signature, function: Function) -> JSONSchema:
    """Return the schema in which parameters with a default are optional, with the default if JSON can express it."""
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
            problems.append(f"$.{field.name}: this argument is missing")
    if unknown := value.keys() - {field.name for field in signature.fields}:
        problems.append(f"$: unknown arguments: {', '.join(sorted(map(repr, unknown)))}")
    if problems:
        raise ValueError(*problems)
    return arguments


# ------------------------------------------------------------------------------------------------------------ docstring


def _documented(function: Function) -> tuple[str | None, dict[str, str]]:
    """Return the description of a function and of its parameters from a Google-style docstring."""
    sections: dict[str, list[str]] = {"": []}
    lines = sections[""]
    for line in _docstring(function).splitlines():
        if found := _SECTION.match(line):
            lines = sections.setdefault(found[1], [])
        else:
            lines.append(line)
    described = [line for name in ("Args", "Arguments", "Parameters") for line in sections.get(name, ())]
    return "\n".join(sections[""]).strip() or None, _documented_parameters(described)


def _docstring(function: Any) -> str:
    """Return the docstring of a function; for a callable object, of its `__call__` or else of its class."""
    text = plain_function(function).__doc__
    if not text and not inspect.isroutine(function) and not isinstance(function, functools.partial):
        text = cast("object", function).__class__.__doc__
    return inspect.cleandoc(text or "")


def _documented_parameters(lines: list[str]) -> dict[str, str]:
    """Parse lines of `name: text` or `name (type): text`. Lines that are indented further continue the text."""
    described: dict[str, list[str]] = {}
    margin, current = None, cast("list[str]", [])
    for line in filter(str.strip, lines):
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        found = _DOCUMENTED.match(line.strip()) if indent <= margin else None
        if found:
            current = described.setdefault(found[1], [found[2]])
        else:
            current.append(line.strip())
    return {name: " ".join(filter(None, texts)) for name, texts in described.items()}
