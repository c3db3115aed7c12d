"""Requests to any endpoint of the server, also to one that has no class here: `client.get`, `client.post` and so on.

A request is prepared in three steps: where it goes (`_request/target.py`), what it sends (`_content`), and what becomes
of the answer (`decoder_of`, or `_Pages` for a list in pages). Each finds the mistakes of its part before anything is
sent. Then it is an `Exchange` like every other request, with its retries, deadlines, limiter and errors.

`_any_methods.py` declares the methods of the client.
"""

from __future__ import annotations

import typing
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from trio_openai._protocols.any_answers import Maker, decoded_object, decoder_of, made, maker_of
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import HiddenHeaders, hide_headers
from trio_openai._request.request import (
    BYTES_HEADERS,
    JSON_HEADERS,
    PreparedRequest,
    as_mapping,
    form_of_parts,
    query_of_params,
)
from trio_openai._request.session import Session
from trio_openai._request.target import target_of
from trio_openai._wire.encode import encode_json
from trio_openai._wire.json import is_array, is_object
from trio_openai.errors import APIResponseValidationError
from trio_openai.types import WireObject

from ._operations import Params
from ._pages import Page
from ._parameters import NO_PARAMETERS

if TYPE_CHECKING:
    from trio_openai._http.multipart import Form

_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
_OTHER_NAMES = {
    "options": "give extra_headers=, query=, extra_body= and timeout= themselves",
    "stream": "use client.stream_request(...) for a stream of events",
    "stream_cls": "use client.stream_request(...) with event_type=",
    "content": "give bytes as body=",
    "json": "give it as body=",
    "params": "give it as query=",
    "headers": "give it as extra_headers=",
    "model": "parameters of the API belong into body=, or into query= for GET",
}
"""Names of openai-python and httpx, and what to write instead."""


def send(
    session: Session, method: str, path: str, cast_to: Any, body: Any, files: Any, query: Any, params: Params
) -> Awaitable[Any]:
    """Check the arguments of a request to any endpoint, and return what sends it and returns its answer.

    Raises:
        TypeError, ValueError: An argument cannot be sent, or `cast_to` cannot be used.
    """
    hide_headers(params)
    if not isinstance(method, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f'the first argument is the HTTP method, such as "POST", not {type(method).__name__}')
    method = method.upper()
    answer = _answer_of(session, method, cast_to)
    for name, instead in _OTHER_NAMES.items():
        if name in params:
            raise TypeError(f"there is no argument {name!r} here: {instead}")
    checked = NO_PARAMETERS.check(params)
    target, own_query = target_of(session.options.url, path)
    body = _with_extra(body, checked.pop("extra_body", None))
    if method in _WITHOUT_BODY and (body is not None or files):
        raise ValueError(f"a {method} request has no body: use query=")
    content, headers = _content(body, files, checked.pop("extra_headers"))
    if method == "POST":  # a deployment of Azure runs models, and has no lists
        target = session.options.path(target, cast("Params", body) if isinstance(body, Mapping) else {})
    asked = {**own_query, **query_of_params(as_mapping(query, "query"))}
    asked |= as_mapping(checked.pop("extra_query", None), "extra_query")
    accept = BYTES_HEADERS if cast_to in (bytes, str) else JSON_HEADERS
    return answer(session.request(method, target, asked, content, accept, headers, **checked))


# What it sends.


def _with_extra(body: object, extra: object) -> object:
    """Return the body as plain JSON, with `extra_body` added."""
    cls: type[object] = body.__class__
    if isinstance(body, WireObject):
        body = body.to_dict()
    elif hasattr(cls, "__attrs_attrs__"):
        import cattrs  # few programs send such objects

        body = cattrs.unstructure(body)
    if not extra:
        return body
    if not isinstance(body, Mapping | None):
        raise TypeError(f"extra_body is added to a body that is a dictionary, and this one is {cls.__name__}")
    return {**as_mapping(body, "body"), **as_mapping(extra, "extra_body")}


def _content(body: object, files: Any, headers: HiddenHeaders) -> tuple[bytes | Form | None, HiddenHeaders]:
    """Encode the body, and return it with the call's headers."""
    if files:
        if not isinstance(body, Mapping | None):
            raise TypeError(f"with files, body takes a dictionary of the form's fields, not {type(body).__name__}")
        return form_of_parts(as_mapping(body, "body"), _parts(files)), headers
    if body is None:
        return None, headers
    if isinstance(body, bytes | bytearray):
        is_said = any(name.lower() == "content-type" for name in headers)
        kind = {} if is_said else {"Content-Type": "application/octet-stream"}
        return bytes(body), HiddenHeaders({**kind, **headers})
    if isinstance(body, Mapping):
        return encode_json(as_mapping(body, "body")), headers
    if isinstance(body, list | tuple):
        return encode_json([*cast("Iterable[Any]", body)]), headers
    raise TypeError(
        f"body takes a dictionary, a list, an object of attrs or of trio_openai.types, or bytes, not "
        f"{type(body).__name__}"
    )


def _parts(files: Any) -> list[tuple[str, Any]]:
    """Return the names and files of a form. Several files of one name are sent as `name[]`."""
    if isinstance(files, Mapping):
        named = as_mapping(files, "files").items()
        return [part for name, given in named for part in _named(name, given)]
    is_listed = isinstance(files, Iterable) and not isinstance(files, str | bytes)
    parts: list[Any] = [*cast("Iterable[Any]", files)] if is_listed else [None]
    for part in parts:
        if not (isinstance(part, tuple) and len(cast("Any", part)) == 2 and isinstance(part[0], str)):
            raise TypeError('files takes a dictionary such as {"file": Path("data.jsonl")}, or (name, file) pairs')
    return parts


def _named(name: str, given: Any) -> list[tuple[str, Any]]:
    return [(f"{name}[]", one) for one in given] if is_array(given) else [(name, given)]


# What becomes of the answer.


def _answer_of(session: Session, method: str, cast_to: Any) -> Callable[[PreparedRequest], Awaitable[Any]]:
    """Return the function that sends a request and returns its answer as a `cast_to`."""
    if (typing.get_origin(cast_to) or cast_to) is Page:
        if method != "GET":
            raise ValueError(
                f"only GET returns pages that can be continued: with {method}, cast_to takes your own class"
            )
        return _Pages(session, *typing.get_args(cast_to)).first
    decode = decoder_of(cast_to)
    return lambda request: Exchange(session, request).answer(decode)


class _Pages:
    """A list in pages, whose items are of one class. Without a class they are dictionaries.

    A page is an object with the list `data`. The next page begins after the `last_id` of the page, or after the `id` of
    its last item.
    """

    def __init__(self, session: Session, item_class: Any = dict) -> None:
        self._session = session
        self._item_class = item_class
        self._make: Maker = maker_of(item_class)

    def first(self, request: PreparedRequest) -> Awaitable[Page[Any]]:
        """Send the request of the first page, and return the page."""
        return Exchange(self._session, request).answer(self._decoder(request))

    def _decoder(self, first: PreparedRequest) -> Callable[[bytes], Page[Any]]:
        async def fetch(after: str | None) -> Page[Any]:
            request = first if after is None else attrs.evolve(first, query={**first.query, "after": after})
            # Below `with_raw_response`, only the first page is wrapped. The others are fetched for their items.
            return await Exchange(attrs.evolve(self._session, is_raw=False), request).answer(decode)

        def decode(content: bytes) -> Page[Any]:
            raw = decoded_object(content)
            data: object = raw.get("data")
            if data is None and raw.get("object") == "list" and "data" in raw:
                data = list[Any]()  # Ollama sends null if there is nothing
            if not is_array(data):
                raise APIResponseValidationError("the answer is not a page: it has no list 'data'", body=raw)
            items = [made(self._make, self._item_class, item, content) for item in data]
            return Page(items, bool(raw.get("has_more")), _last_id(raw, data), fetch)

        return decode


def _last_id(page: Params, items: list[Any]) -> str | None:
    """Return the id after which the next page begins, or None for an empty page."""
    last: object = items[-1] if items else None
    found: object = page.get("last_id") or (last.get("id") if is_object(last) else None)
    return found if items and isinstance(found, str) else None
