"""The parameters of a call, checked before anything is sent, by the types that `types/params.py` declares.

A check is meant to find a slip of the program, and costs a look at the value's class: a dictionary's members, the range
of a number and the meaning of a word are for the server to judge. None passes wherever it stands for "not given".
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
from trio_openai.types._base import WireObject
from trio_openai.types.params import CallParams

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EVERY_CALL = frozenset(CallParams.__annotations__)  # checked where they are used
_NOTHING_MADE = cast("Mapping[str, Callable[[object], object]]", {})
_EXAMPLES = {
    "messages": ', such as [{"role": "user", "content": "..."}]',
    "model": ', such as "gpt-4o-mini"',
}


@attrs.frozen(eq=False, repr=False)
class _Kind:
    """What a parameter may be.

    Attributes:
        exact: classes of values that need no closer look.
        classes: classes whose instances are welcome.
        is_listed: whether any iterable is, which is sent as a list.
        of_objects: whether its items have to be objects.
        words: what that is, in a sentence.
    """

    exact: frozenset[type]
    classes: tuple[type, ...]
    is_listed: bool
    of_objects: bool
    words: str


class Parameters:
    """The parameters of one endpoint.

    Args:
        typed_dict: the `TypedDict` that declares them.
        unchecked: names of those that are looked at where they are used.
        items: what makes an item of a list what is sent of it, by the name of the parameter.
    """

    def __init__(
        self,
        typed_dict: Any,
        unchecked: Collection[str] = (),
        items: Mapping[str, Callable[[object], object]] = _NOTHING_MADE,
    ) -> None:
        self._typed_dict = typed_dict
        self._items = items
        self._unchecked = _EVERY_CALL.union(unchecked)
        self._required: frozenset[str] = typed_dict.__required_keys__

    def check(self, given: dict[str, Any]) -> dict[str, Any]:
        """The parameters as they are sent: the same, with lists in place of other iterables.

        Raises:
            TypeError: one is missing, or is not of its type, or not known here.
        """
        if not self._required <= given.keys():
            raise TypeError(_missing(sorted(self._required - given.keys())))
        for name, make in self._items.items():
            if _is_listable(items := given.get(name)):
                given = {**given, name: [make(item) for item in items]}
        checked = dict(given)
        kinds = self._kinds
        for name, value in given.items():
            kind = kinds.get(name, _NONE)
            if kind is None:
                continue
            if kind is _NONE:
                raise TypeError(_unknown(name, kinds))
            if type(value) not in kind.exact:
                checked[name] = self._looked_at(name, value, kind)
            if kind.of_objects:
                _check_items(name, checked[name], kind)
        return checked

    def _looked_at(self, name: str, value: Any, kind: _Kind) -> Any:
        if value is None and name not in self._required:
            return None
        if isinstance(value, kind.classes) and not (isinstance(value, bool) and bool not in kind.classes):
            return value
        if kind.is_listed and _is_listable(value):
            return list(value)
        raise TypeError(f"{name} takes {kind.words}{_EXAMPLES.get(name, '')}, not {_class_name(value)}")

    @cached_property
    def _kinds(self) -> dict[str, _Kind | None]:
        """What each may be; made when it is first needed, since few programs use all endpoints."""
        hints = typing.get_type_hints(self._typed_dict, localns={"Deadlines": Deadlines})
        return {name: None if name in self._unchecked else _kind(hint) for name, hint in hints.items()}


_NONE = _Kind(frozenset(), (), is_listed=False, of_objects=False, words="")  # of no parameter


def _check_items(name: str, items: object, kind: _Kind) -> None:
    for item in items if is_array(items) else ():
        if type(item) is not dict and not isinstance(item, Mapping | WireObject):
            words = f"{name} takes {kind.words}{_EXAMPLES.get(name, '')}"
            raise TypeError(f"{words}; one of its items is of type {_class_name(item)}")


def _kind(annotation: Any) -> _Kind:
    members = set(_members(annotation))
    lists = [member for member in members if typing.get_origin(member) in _LISTS]
    plain = {_plain(member) for member in members.difference(lists)}
    classes = tuple(cls for one in plain for cls in _CLASSES[one])
    return _Kind(
        exact=frozenset(cls for cls in (*classes, *([list] if lists else [])) if cls is not Mapping),
        classes=classes,
        is_listed=bool(lists),
        of_objects=any(not set(_members(arg)).isdisjoint((WireObject,)) for one in lists for arg in one.__args__),
        words=" or ".join([_WORDS[one] for one in _WORDS if one in plain] + (["a list"] if lists else [])),
    )


def _members(annotation: Any) -> tuple[Any, ...]:
    """Those of a union, or the one."""
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


_SAME = {"messages": "input", "input": "messages", "max_tokens": "max_output_tokens", "response_format": "text_format"}
"""What one API calls otherwise than the other."""


def _unknown(name: str, known: Iterable[str]) -> str:
    import difflib  # not for a program that is right

    known = list(known)
    close = [_SAME[name]] if _SAME.get(name) in known else difflib.get_close_matches(name, known, n=1)
    perhaps = f"did you mean {close[0]!r}? Otherwise " if close else ""
    return f"there is no parameter {name!r} here: {perhaps}give it as extra_body={{{name!r}: ...}}"


# Arguments without a keyword.


def by_name_only(method: Callable[_P, _T]) -> Callable[_P, _T]:
    """Have an endpoint's method say which arguments it takes by name, if it is given more without one."""
    takes: int = cast("Any", method).__code__.co_argcount - 1

    @functools.wraps(method)
    def checked(self: Any, *where: Any, **params: Any) -> _T:
        hide_headers(params)  # which a traceback shows in this frame as well
        if len(where) > takes:
            refuse_positional(len(where), takes)
        made: _T = cast("Any", method)(self, *where, **params)
        return made

    return cast("Callable[_P, _T]", checked)


def refuse_positional(given: int, takes: int = 0) -> NoReturn:
    """Raise the error for arguments that have to be given by name."""
    raise TypeError(
        f"without a keyword this takes {takes or 'no'} argument(s), and {given} were given: give the others by their "
        "names, such as model=..."
    )
