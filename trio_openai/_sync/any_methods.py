"""The methods of the blocking clients that reach any endpoint. `_endpoints/_any_methods.py` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from trio_openai._endpoints._any_methods import Files
from trio_openai._endpoints._endpoint import Declaring, ReturnsT
from trio_openai._endpoints._pages import Page
from trio_openai.types.params import CallParams

from .calls import Plain, SyncPage

if TYPE_CHECKING:
    from trio_openai._endpoints._endpoint import Method, direct

    from .calls import sync_raw

_T = TypeVar("_T")


class SyncAnyMethods(Declaring[ReturnsT]):
    """The methods of a blocking client that reach any endpoint of its server. See those of `TrioOpenAI`.

    With `cast_to=Page[...]` they return a `SyncPage`.
    """

    if TYPE_CHECKING:

        @overload
        def _request(
            self,
            method: str,
            path: str,
            *,
            cast_to: None = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> dict[str, Any]: ...
        @overload
        def _request(
            self,
            method: str,
            path: str,
            *,
            cast_to: type[Page[_T]],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> SyncPage[_T]: ...
        @overload
        def _request(
            self,
            method: str,
            path: str,
            *,
            cast_to: type[_T],
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> _T: ...
        def _request(self, method: str, path: str, **params: Any) -> Any: ...
        @overload
        def _get(
            self,
            path: str,
            *,
            cast_to: None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> dict[str, Any]: ...
        @overload
        def _get(
            self,
            path: str,
            *,
            cast_to: type[Page[_T]],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> SyncPage[_T]: ...
        @overload
        def _get(
            self,
            path: str,
            *,
            cast_to: type[_T],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> _T: ...
        def _get(self, path: str, **params: Any) -> Any: ...
        @overload
        def _send(
            self,
            path: str,
            *,
            cast_to: None = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> dict[str, Any]: ...
        @overload
        def _send(
            self,
            path: str,
            *,
            cast_to: type[_T],
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> _T: ...
        def _send(self, path: str, **params: Any) -> Any: ...

        _direct_request, _raw_request = direct(_request), sync_raw(_request)
        _direct_get, _raw_get = direct(_get), sync_raw(_get)
        _direct_send, _raw_send = direct(_send), sync_raw(_send)
        request: Final = Method(_direct_request, _raw_request)
        get: Final = Method(_direct_get, _raw_get)
        post: Final = Method(_direct_send, _raw_send)
        put: Final = Method(_direct_send, _raw_send)
        patch: Final = Method(_direct_send, _raw_send)
        delete: Final = Method(_direct_send, _raw_send)
    else:
        request = Plain(lambda client: client.request)
        get = Plain(lambda client: client.get)
        post = Plain(lambda client: client.post)
        put = Plain(lambda client: client.put)
        patch = Plain(lambda client: client.patch)
        delete = Plain(lambda client: client.delete)
