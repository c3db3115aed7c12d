"""The base class of all endpoints, and the types of `with_raw_response`.

`endpoint.with_raw_response` is the same endpoint with a copy of its session in which `is_raw` is set: its methods
return a `RawResponse` that holds the object. For type checkers, an endpoint class is generic in what its methods
return, `Objects` or `RawResponses`. Each method is declared once, with its parameters and the object. `Method` derives
the raw variant from that declaration:

    class Models(Endpoint[ReturnsT]):
        @returns_object
        async def retrieve(self, model: str) -> Model: ...

    Models[Objects].retrieve        # (model: str) -> Coroutine[Any, Any, Model]
    Models[RawResponses].retrieve   # (model: str) -> Coroutine[Any, Any, RawResponse[Model]]

A method with overloads is declared with a leading underscore under `if TYPE_CHECKING`. `direct` and `raw` then derive
the two variants, and `create = Method(_direct, _raw)` publishes them. Type checkers apply `direct` and `raw` to each of
the overloads. mypy needs the two intermediate names, and does not distribute `returns_object` over overloads.

The endpoints of the blocking client (`_sync/endpoints.py`) are built from the same classes.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, overload

import attrs

from ._parameters import by_name_only
from ._signatures import sign_methods

if TYPE_CHECKING:
    from trio_openai._request.raw_response import RawResponse

_P = ParamSpec("_P")
_T = TypeVar("_T")
ReturnsT = TypeVar("ReturnsT")
DirectT = TypeVar("DirectT")
RawT = TypeVar("RawT")


class Objects:
    """Marks the type of an endpoint whose methods return the API's objects."""


class RawResponses:
    """Marks the type of an endpoint below `with_raw_response`: its methods return a `RawResponse`."""


class Declaring(Generic[ReturnsT]):
    """The base of every class whose methods are declared with `Method`. It has nothing but the type of the results."""


class Endpoint(Declaring[ReturnsT]):
    """The base of all endpoints: an attribute of the client, with methods or further endpoints.

    Args:
        session: The state that all endpoints of a client share: a `Session`, or a `SyncSession`.
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        sign_methods(cls)

    if not TYPE_CHECKING:  # each endpoint's class declares the type of its `with_raw_response`

        @property
        def with_raw_response(self) -> Any:
            """This endpoint, with methods that return a `RawResponse` that holds the object."""
            return type(self)(attrs.evolve(self._session, is_raw=True))

        def __getattr__(self, name: str) -> Any:
            from trio_openai._mistakes import no_attribute

            raise no_attribute(self, name)


if TYPE_CHECKING:

    class Method(Generic[DirectT, RawT]):
        """The type of an endpoint's method; at run time the method is a plain function.

        Args:
            direct: the method of an endpoint that returns the object.
            raw: the method of an endpoint below `with_raw_response`.
        """

        def __init__(self, direct: DirectT, raw: RawT) -> None: ...
        @overload
        def __get__(self, endpoint: Declaring[Objects], owner: object) -> DirectT: ...
        @overload
        def __get__(self, endpoint: Declaring[RawResponses], owner: object) -> RawT: ...
        def __get__(self, endpoint: Any, owner: object) -> Any: ...

    def direct(method: Callable[Concatenate[Any, _P], _T]) -> Callable[_P, _T]:
        """Return the type of a bound method."""
        ...

    def raw(
        method: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]],
    ) -> Callable[_P, Coroutine[Any, Any, RawResponse[_T]]]:
        """Return the type of a bound method that wraps its result in a `RawResponse`."""
        ...


def returns_object(
    method: Callable[Concatenate[Any, _P], Coroutine[Any, Any, _T]],
) -> Method[Callable[_P, Coroutine[Any, Any, _T]], Callable[_P, Coroutine[Any, Any, RawResponse[_T]]]]:
    """Declare a method without a streaming variant. It refuses positional arguments that it does not name."""
    return by_name_only(method)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
