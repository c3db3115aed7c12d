"""Checks of a call's arguments, before anything is sent.

The types come from the `TypedDict`s in `types/params.py`, so a parameter is declared once for type checkers and for
these checks. The purpose is to find mistakes of the program early: a misspelled name, a missing parameter, a string
instead of a list. A check looks at a value's class and nothing more, so it costs little. The members of a dictionary,
the range of a number and the spelling of an enumerated string are left to the server, which may know values that are
newer than this library.

None means "not given" for every parameter that is not required. Any iterable passes for a list, because a generator or
a tuple of messages is natural in Python, and is sent as a list.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NoReturn, ParamSpec, TypeGuard, TypeVar, cast

import attrs

from trio_openai._deadlines import Deadlines
from trio_openai._request.headers import hide_headers
from trio_openai._wire.json import is_array
from trio_openai.types import NAMES, SHAPES
from trio_openai.types._base import WireObject
from trio_openai.types.params import CallParams, JSONObject

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EVERY_CALL = frozenset(CallParams.__annotations__)  # such as `timeout`; checked where they are used
_NO_ITEMS = cast("Mapping[str, Callable[[object], object]]", {})
_EXAMPLES = {
    "messages": ', such as [{"role": "user", "content": "..."}]',
    "model": ', such as "gpt-4o-mini"',
}


@attrs.frozen(eq=False, repr=False)
class _Accepted:
    """The values that a parameter accepts.

    Attributes:
        exact: Classes whose direct instances pass without another check. This is the fast path.
        classes: Classes whose instances pass, including those of subclasses.
        is_list: Whether any iterable passes, and is sent as a list.
        of_objects: Whether the items of a list have to be dictionaries or wire objects.
        words: A description for error messages, such as "a string or a list".
    """

    exact: frozenset[type]
    classes: tuple[type, ...]
    is_list: bool
    of_objects: bool
    words: str


class Parameters:
    """The parameters of one endpoint.

    Args:
        typed_dict: The `TypedDict` that declares them.
        unchecked: Names of parameters that are checked where they are used.
        items: For parameters that are lists, a function that makes the JSON of an item. `tools` needs one, because its
            items may be functions.
    """

    def __init__(
        self,
        typed_dict: Any,
        unchecked: Collection[str] = (),
        items: Mapping[str, Callable[[object], object]] = _NO_ITEMS,
    ) -> None:
        self.typed_dict = typed_dict
        self._items = items
        self._unchecked = _EVERY_CALL.union(unchecked)
        self._required: frozenset[str] = typed_dict.__required_keys__
        self.are_expected = typed_dict is not CallParams

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as they are sent. Other iterables have become lists.

        Raises:
            TypeError: A parameter is missing, is unknown, or has the wrong type.
        """
        if not self._required <= given.keys():
            raise TypeError(_missing(sorted(self._required - given.keys())))
        # A generator can be read only once, so it becomes a list here and not at each attempt.
        for name, make in self._items.items():
            if _is_listable(items := given.get(name)):
                given = {**given, name: [make(item) for item in items]}
        checked = dict(given)
        accepted = self._accepted
        for name, value in given.items():
            takes = accepted.get(name, _UNKNOWN)
            if takes is None:
                continue
            if takes is _UNKNOWN:
                raise TypeError(_unknown(name, accepted))
            if type(value) not in takes.exact:
                checked[name] = self._convert(name, value, takes)
            if takes.of_objects:
                _check_items(name, checked[name], takes)
        return checked

    def _convert(self, name: str, value: Any, takes: _Accepted) -> Any:
        if value is None and name not in self._required:
            return None
        # True is an int in Python, but `n=True` is a mistake.
        if isinstance(value, takes.classes) and not (isinstance(value, bool) and bool not in takes.classes):
            return value
        if takes.is_list and _is_listable(value):
            return list(value)
        raise TypeError(f"{name} takes {takes.words}{_EXAMPLES.get(name, '')}, not {_class_name(value)}")

    @cached_property
    def _accepted(self) -> dict[str, _Accepted | None]:
        # Evaluating the annotations takes milliseconds, so it waits until a program uses the endpoint.
        hints = typing.get_type_hints(self.typed_dict, localns=_annotation_names())
        return {name: None if name in self._unchecked else _accepted_by(hint) for name, hint in hints.items()}


NO_PARAMETERS = Parameters(CallParams)
"""The parameters of an operation that has none of its own: only those that every call takes."""


@functools.cache
def _annotation_names() -> dict[str, object]:
    """Return the names that string annotations use. Any dictionary passes here for one of a certain shape."""
    shapes = [name for module, names in NAMES.items() if module in SHAPES for name in names.split()]
    return {"Deadlines": Deadlines, **dict.fromkeys(shapes, JSONObject)}


_UNKNOWN = _Accepted(frozenset(), (), is_list=False, of_objects=False, words="")


def _check_items(name: str, items: object, takes: _Accepted) -> None:
    for item in items if is_array(items) else ():
        if type(item) is not dict and not isinstance(item, Mapping | WireObject):
            words = f"{name} takes {takes.words}{_EXAMPLES.get(name, '')}"
            raise TypeError(f"{words}; one of its items is of type {_class_name(item)}")


def _accepted_by(annotation: Any) -> _Accepted:
    """Read an annotation such as `str | Iterable[JSONObject] | None`."""
    members = set(_members(annotation))
    lists = [member for member in members if typing.get_origin(member) in _LISTS]
    plain = {_plain(member) for member in members.difference(lists)}
    classes = tuple(cls for one in plain for cls in _CLASSES[one])
    return _Accepted(
        # No value has `Mapping` as its direct class: it is abstract. `_CLASSES` adds `dict` for the fast path.
        exact=frozenset(cls for cls in (*classes, *([list] if lists else [])) if cls is not Mapping),
        classes=classes,
        is_list=bool(lists),
        of_objects=any(not set(_members(arg)).isdisjoint((WireObject,)) for one in lists for arg in one.__args__),
        words=" or ".join([_WORDS[one] for one in _WORDS if one in plain] + (["a list"] if lists else [])),
    )


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union without None, or the annotation itself."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(member for member in typing.get_args(annotation) if member is not types.NoneType)
    return (annotation,)


def _plain(member: Any) -> type:
    return cast("type", typing.get_origin(member) or member)


_LISTS = (Iterable, Sequence)
_CLASSES: dict[type, tuple[type, ...]] = {
    str: (str,),
    bool: (bool,),
    int: (int,),
    float: (float, int),
    Mapping: (Mapping, dict),
    WireObject: (WireObject,),
    type: (type,),
}
_WORDS = {
    str: "a string",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Mapping: "a dictionary",
    type: "a class",
}


def _is_listable(value: object) -> TypeGuard[Iterable[Any]]:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | set | frozenset)


def _class_name(value: object) -> str:
    return type(value).__name__


def _missing(names: list[str]) -> str:
    what = " and ".join(names)
    return f"{what} {'is' if len(names) == 1 else 'are'} missing: give {', '.join(f'{name}=...' for name in names)}"


_OTHER_NAMES = {
    "messages": "input",
    "input": "messages",
    "max_tokens": "max_output_tokens",
    "response_format": "text_format",
}
"""Parameters that Chat Completions and Responses name differently."""


def _unknown(name: str, known: Iterable[str]) -> str:
    import difflib  # only for error messages

    known = list(known)
    close = [_OTHER_NAMES[name]] if _OTHER_NAMES.get(name) in known else difflib.get_close_matches(name, known, n=1)
    perhaps = f"did you mean {close[0]!r}? Otherwise " if close else ""
    return f"there is no parameter {name!r} here: {perhaps}give it as extra_body={{{name!r}: ...}}"


# Positional arguments.


def by_name_only(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Make a method raise a helpful error if it is given too many positional arguments.

    Python's own error would not say that parameters such as `model` have to be given by name.
    """
    takes: int = cast("Any", method).__code__.co_argcount - 1  # without `self`

    @functools.wraps(method)
    def checked(self: Any, *where: Any, **params: Any) -> _T:
        hide_headers(params)  # a traceback that shows local variables shows those of this frame, too
        if len(where) > takes:
            refuse_positional(len(where), takes)
        made: _T = cast("Any", method)(self, *where, **params)
        return made

    return cast("Callable[_P, _T]", checked)


def refuse_positional(given: int, takes: int = 0) -> NoReturn:
    """Raise the error for too many positional arguments."""
    raise TypeError(
        f"this takes {takes or 'no'} positional argument(s), and {given} were given: give the others by name, such as "
        "model=..."
    )
