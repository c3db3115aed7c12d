"""Decoded JSON, as types: what the objects of the API are views of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

Raw = dict[str, Any]
"""A decoded JSON object."""

if TYPE_CHECKING:

    class JSONDict(dict[str, Any]):
        """A JSON object that the library has made, such as `message.to_dict()`. At run time it is a plain `dict`.

        It has a name of its own so that type checkers accept it as a message. A `dict[str, Any]` cannot be accepted,
        because then any dictionary would be, and a misspelled key would go unnoticed.
        """
else:
    JSONDict = dict


def is_object(value: object) -> TypeGuard[Raw]:
    """Return whether a decoded value is a JSON object."""
    return type(value) is dict


def is_array(value: object) -> TypeGuard[list[Any]]:
    """Return whether a decoded value is a JSON array."""
    return type(value) is list


def objects_in(value: object) -> list[Raw]:
    """Return the objects in an array. Return an empty list for anything that is not an array."""
    return [item for item in value if is_object(item)] if is_array(value) else []
