"""Signatures of the endpoints' methods for people: in `help()`, in IPython and in editors that look at living objects.

At run time a method takes `**params`, which `Parameters` checks. `inspect.signature` shows what that means: every
parameter of the endpoint with its type and default, `model` and `messages` first. It is made when somebody looks.

The docstring of a method has `params:` in its section `Args:`. It is replaced by a line for each parameter.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, cast

from ._descriptions import descriptions

_FIRST = ("model", "messages", "input")
_EVERY_CALL = ("extra_headers", "extra_query", "extra_body", "timeout")
_NAMED = inspect.Parameter.KEYWORD_ONLY
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")
_ENTRY = r"^( +){name}: .*\n(?:\1 +.*\n)*"
_PLACES_ENTRY, _PARAMS_ENTRY = (re.compile(_ENTRY.format(name=name), re.MULTILINE) for name in ("where", "params"))


class _ClientsOwn:
    """The type of `CLIENTS_OWN`."""

    def __repr__(self) -> str:
        return "<the client's>"


CLIENTS_OWN = _ClientsOwn()
"""What a signature shows as the default of `timeout`, since None means "no limit"."""


class LazySignature(inspect.Signature):
    """A signature that is made when it is first looked at.

    Args:
        make: Returns the signature.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], inspect.Signature]) -> None:
        self._make = make  # `Signature.__init__` would need the parameters

    def __getattr__(self, name: str) -> Any:
        if name not in ("_parameters", "_return_annotation"):
            raise AttributeError(name)
        made: Any = self._make()
        own: Any = self
        own._parameters, own._return_annotation = made._parameters, made._return_annotation
        return getattr(self, name)

    def replace(self, **changes: Any) -> inspect.Signature:  # type: ignore[override]
        """Return a plain signature with changes."""
        given: dict[str, Any] = {
            "parameters": list(self.parameters.values()),
            "return_annotation": self.return_annotation,
            **changes,
        }
        return inspect.Signature(**given)


def with_signature(function: Any, typed_dict: object, places: tuple[str, ...] = (), returns: str | None = None) -> None:
    """Give a function the signature that shows its parameters.

    Args:
        function: A function that takes `**params`.
        typed_dict: The `TypedDict` of these parameters, unless the annotation of `params` names another one.
        places: The names of the arguments in the path, for functions that take them as `*where`.
        returns: The type of the result, if it differs from the annotation.
    """
    shape = _declared(function) or typed_dict
    function.__signature__ = LazySignature(lambda: _signature(function, shape, places, returns))
    if function.__doc__ and shape:  # there are no docstrings under `python -OO`
        function.__doc__ = _with_parameters(function.__doc__, shape, places)


def _declared(function: Any) -> object:
    """Return the `TypedDict` that the annotation of `params` names, if it names one."""
    plain = inspect.unwrap(function)
    declared = _UNPACKED.search(str(plain.__annotations__["params"]))
    return plain.__globals__[declared[1]] if declared else None


def _with_parameters(doc: str, shape: Any, places: tuple[str, ...]) -> str:
    """Return a docstring that describes each place of the path and each parameter instead of `where` and `params`."""
    names = shape.__annotations__
    order = [*(name for name in _FIRST if name in names), *(name for name in names if name not in _FIRST + _EVERY_CALL)]
    ids = [f"{name}: The id of the {name.removesuffix('_id')}." for name in places]
    about = descriptions(shape.__name__)
    lines = [f"{name}: {about[name]}" for name in (*order, *_EVERY_CALL)]
    doc = _PLACES_ENTRY.sub(lambda found: "".join(f"{found[1]}{line}\n" for line in ids), doc)
    return _PARAMS_ENTRY.sub(lambda found: "".join(f"{found[1]}{line}\n" for line in lines), doc)


def _signature(function: Any, shape: object, places: tuple[str, ...], returns: str | None) -> inspect.Signature:
    own = inspect.Signature.from_callable(_bare(function))
    positional = [one for one in own.parameters.values() if one.kind is _POSITIONAL]
    positional += [inspect.Parameter(name, _POSITIONAL, annotation=str) for name in places]
    given = {name: one for name, one in own.parameters.items() if one.kind is _NAMED}
    others = {name: one for name, one in _parameters(shape) if name not in given}
    given = {**given, **others}
    required = [name for name, one in given.items() if one.default is one.empty]
    first = [name for name in _FIRST if name in given]
    last = [name for name in _EVERY_CALL if name in given]
    order = dict.fromkeys([*first, *required, *(name for name in given if name not in last), *last])
    named = [given[name] for name in order]
    return inspect.Signature([*positional, *named], return_annotation=returns or own.return_annotation)


def _bare(function: Any) -> Any:
    """Return the function that was written, without our `__signature__`."""
    plain = cast("types.FunctionType", inspect.unwrap(function))
    bare = types.FunctionType(plain.__code__, plain.__globals__, plain.__name__, plain.__defaults__, plain.__closure__)
    bare.__kwdefaults__, bare.__annotations__ = plain.__kwdefaults__, plain.__annotations__
    return bare


def _parameters(typed_dict: Any) -> Iterator[tuple[str, inspect.Parameter]]:
    for name, annotation in typed_dict.__annotations__.items():
        is_required = name in typed_dict.__required_keys__
        kind = _shown(annotation, is_required=is_required)
        default = inspect.Parameter.empty if is_required else CLIENTS_OWN if name == "timeout" else None
        yield name, inspect.Parameter(name, _NAMED, default=default, annotation=kind)


def _shown(annotation: Any, *, is_required: bool) -> Any:
    """Return an annotation as it is shown. One that was written as a string stays one, because it is shorter."""
    if typing.get_origin(annotation) is typing.Required:
        annotation = annotation.__args__[0]
    if isinstance(annotation, typing.ForwardRef):
        text = annotation.__forward_arg__
        return text if is_required or text.endswith("| None") else f"{text} | None"
    return annotation if is_required or types.NoneType in typing.get_args(annotation) else annotation | None


# ------------------------------------------------------------------------------------------------------- classes

_DOORS = ("stream", "start_stream", "call", "create", "__call__")


def sign_methods(cls: Any) -> None:
    """Give the methods of an endpoint's class their signatures. They are copied from the base if they are inherited."""
    members = dict(cast("type", cls).__dict__)
    for name, value in members.items():
        if (
            isinstance(value, types.FunctionType)
            and "params" in value.__code__.co_varnames
            and (name[0] != "_" or name in _DOORS)
        ):
            with_signature(value, getattr(getattr(cls, "_parameters", None), "typed_dict", None))
    if not hasattr(cls, "_parameters"):
        return
    path: str = cls._path
    places = tuple(part[1:-1] for part in path.split("/") if part.startswith("{"))
    for name in _DOORS:
        door = getattr(cls, name, None)
        if isinstance(door, types.FunctionType) and name not in vars(cls):
            copy = _bare(door)
            copy.__doc__, copy.__module__ = door.__doc__, cls.__module__
            copy.__qualname__ = f"{cls.__qualname__}.{name}"
            shape = cls._parameters.typed_dict
            asks_again = name == "create" and getattr(cls, "_format_name", None)
            with_signature(copy, _WithAskAgain(shape) if asks_again else shape, places, _result(cls, name))
            setattr(cls, name, copy)


class _WithAskAgain:
    """The shape of parameters with `ask_again`, which only `create` takes. It is read when somebody looks."""

    def __init__(self, typed_dict: Any) -> None:
        self._typed_dict = typed_dict
        self.__name__ = typed_dict.__name__
        self.__required_keys__ = typed_dict.__required_keys__

    @property
    def __annotations__(self) -> dict[str, Any]:  # type: ignore[override]
        return {**self._typed_dict.__annotations__, "ask_again": int}


def _result(cls: Any, door: str) -> str | None:
    stream: str = cls._stream_class.__name__
    if door in ("create", "__call__"):
        # An endpoint whose result depends on the parameters has no `_answer`. Its base names a class or a union.
        answer = getattr(cls, "_answer", None) or cls.__orig_bases__[0].__args__[2]
        return " | ".join([*(one.__name__ for one in typing.get_args(answer) or (answer,)), stream])
    return {"stream": f"StreamManager[{stream}]", "call": f"StreamCall[{stream}]"}.get(door, stream)
