"""The methods of a client that reach any endpoint: `request`, `get`, `post`, `put`, `patch` and `delete`.

`any_endpoint.py` does the work, and is imported by the first call. The types are declared once for the three kinds of
signatures. `_endpoint.py` explains how those of `with_raw_response` follow from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, Unpack, overload

from trio_openai._request.headers import hide_headers
from trio_openai.types.params import CallParams, FileInput

from ._endpoint import Declaring, ReturnsT
from ._signatures import sign_methods

if TYPE_CHECKING:
    from ._endpoint import Method, direct, raw
    from ._pages import Page

_T = TypeVar("_T")

Files: TypeAlias = Mapping[str, FileInput | Sequence[FileInput]] | Iterable[tuple[str, FileInput]]
"""The files of a form, by the names of their fields."""


class AnyMethods(Declaring[ReturnsT]):
    """The methods of a client that reach any endpoint of its server, also one that has no class here.

    They share retries, deadlines, limiters and errors with all other methods. They take these arguments:

    * `path`: the path after the `base_url`, such as `"/files"`. It may have a query. A whole URL has to be at the
      server of the `base_url`, since the API key is sent to it.
    * `cast_to`: the class of the answer. None (a dictionary), a class of `trio_openai.types`, your own class of attrs,
      `Page[...]` with the class of the items, `bytes`, `str`, or `object` for any JSON.
    * `query`: parameters of the URL.
    * `body`: a dictionary or list that is sent as JSON, or bytes. With `files`, the fields of the form.
    * `files`: files by the names of their fields. A file on disk is read while it is sent.
    * `extra_headers`, `extra_query`, `extra_body`, `timeout`: as every call takes them.
    """

    _session: Any

    if TYPE_CHECKING:
        # request: the method comes first

        @overload
        async def _request(
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
        async def _request(
            self,
            method: str,
            path: str,
            *,
            cast_to: type[Page[_T]],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Page[_T]: ...
        @overload
        async def _request(
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
        async def _request(self, method: str, path: str, **params: Any) -> Any: ...

        # get: without a body

        @overload
        async def _get(
            self,
            path: str,
            *,
            cast_to: None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> dict[str, Any]: ...
        @overload
        async def _get(
            self,
            path: str,
            *,
            cast_to: type[Page[_T]],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Page[_T]: ...
        @overload
        async def _get(
            self,
            path: str,
            *,
            cast_to: type[_T],
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> _T: ...
        async def _get(self, path: str, **params: Any) -> Any: ...

        # post, put, patch, delete: with a body

        @overload
        async def _send(
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
        async def _send(
            self,
            path: str,
            *,
            cast_to: type[_T],
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> _T: ...
        async def _send(self, path: str, **params: Any) -> Any: ...

        _direct_request, _raw_request = direct(_request), raw(_request)
        _direct_get, _raw_get = direct(_get), raw(_get)
        _direct_send, _raw_send = direct(_send), raw(_send)
        request: Final = Method(_direct_request, _raw_request)
        get: Final = Method(_direct_get, _raw_get)
        post: Final = Method(_direct_send, _raw_send)
        put: Final = Method(_direct_send, _raw_send)
        patch: Final = Method(_direct_send, _raw_send)
        delete: Final = Method(_direct_send, _raw_send)
    else:

        async def request(
            self,
            method: str,
            path: str,
            *,
            cast_to: Any = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a request to any endpoint and return its answer.

            Args:
                method: The HTTP method, such as `"POST"`.
                path: The path after the `base_url`, such as `"/files"`, with a query or without.
                cast_to: The class of the answer. By default the answer is a dictionary.
                body: What is sent as JSON, or bytes. With `files`, the fields of the form.
                files: The files of a form, by the names of their fields: paths, bytes, or open files.
                query: Parameters of the URL.
                params: Options of the request, such as `timeout` and `extra_headers`.

            Returns:
                An object of `cast_to`. With `Page[...]`, the first page; iterate it (`async for`) for all items.

            Raises:
                TypeError, ValueError: An argument cannot be sent. Nothing has been sent.
                APIError: The request failed; `APIResponseValidationError` if the answer does not fit `cast_to`. Its
                    `body` is the answer.
            """
            hide_headers(params)
            from .any_endpoint import send

            return await send(self._session, method, path, cast_to, body, files, query, params)

        async def get(
            self,
            path: str,
            *,
            cast_to: Any = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a GET request to any endpoint. See `request` for the arguments, the answer and the errors."""
            hide_headers(params)
            return await self.request("GET", path, cast_to=cast_to, query=query, **params)

        async def post(
            self,
            path: str,
            *,
            cast_to: Any = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a POST request to any endpoint. See `request` for the arguments, the answer and the errors."""
            hide_headers(params)
            return await self.request("POST", path, cast_to=cast_to, body=body, files=files, query=query, **params)

        async def put(
            self,
            path: str,
            *,
            cast_to: Any = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a PUT request to any endpoint. See `request` for the arguments, the answer and the errors."""
            hide_headers(params)
            return await self.request("PUT", path, cast_to=cast_to, body=body, files=files, query=query, **params)

        async def patch(
            self,
            path: str,
            *,
            cast_to: Any = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a PATCH request to any endpoint. See `request` for the arguments, the answer and the errors."""
            hide_headers(params)
            return await self.request("PATCH", path, cast_to=cast_to, body=body, files=files, query=query, **params)

        async def delete(
            self,
            path: str,
            *,
            cast_to: Any = None,
            body: object = None,
            files: Files | None = None,
            query: Mapping[str, Any] | None = None,
            **params: Unpack[CallParams],
        ) -> Any:
            """Send a DELETE request to any endpoint. See `request` for the arguments, the answer and the errors."""
            hide_headers(params)
            return await self.request("DELETE", path, cast_to=cast_to, body=body, files=files, query=query, **params)


sign_methods(AnyMethods)
