"""One request to the API, from the parameters of a call to the bytes of its body.

A request is prepared once and sent as often as the retries need. With POST the parameters become JSON, or a form if
some of them are files; with GET and DELETE they become the query. Names in a query or form follow openai-python:
`list[]=1&list[]=2&object[member]=3`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs

from trio_openai._deadlines import Deadlines
from trio_openai._http.codings import ACCEPTED_CODINGS
from trio_openai._httpx import httpx
from trio_openai._wire.json import is_array
from trio_openai._wire.text import printable

if TYPE_CHECKING:
    from trio_openai._http.multipart import Form

JSON_HEADERS = {"Accept": "application/json", "Accept-Encoding": ACCEPTED_CODINGS}
# Not compressed: a proxy that compresses a stream may hold events back until a block is full.
STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
BYTES_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PreparedRequest:
    """A request that is ready to be sent, and can be sent again.

    Attributes:
        method: The HTTP method.
        path: The path after the client's `base_url`, or a whole URL at the same server.
        content: The body: JSON, or a form, or None.
        headers: All headers, except the one for the API key, which is added to each attempt.
        query: The parameters of the URL, beside those of the `base_url`.
        deadlines: The deadlines of the call.
        endpoint: The path as the API documents it, such as `/responses/{response_id}`.
        model: The model that the parameters name, or None.
        is_stream: Whether the answer is a stream of events.
        without_usage: Makes the same request without the parameter that requests the usage; None if `usage=True` was
            not given.
        at: Makes the same request for one of several servers; None for a client of one server.
    """

    method: str
    path: str
    content: bytes | Form | None = None
    headers: httpx.Headers = attrs.field(factory=httpx.Headers)
    query: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    deadlines: Deadlines
    endpoint: str = ""
    model: str | None = None
    is_stream: bool = False
    without_usage: Callable[[], PreparedRequest] | None = None
    at: Callable[[Any], PreparedRequest] | None = None


_METHOD = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")
_NOT_IN_A_PATH = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and lone surrogates


def check_target(method: str, path: str) -> None:
    """Raise `ValueError` unless the HTTP method and the path can be sent.

    A newline in one of them would let a program's input add headers of its own to the request.
    """
    if not _METHOD.fullmatch(method):
        raise ValueError(f"{method!r} is not an HTTP method, such as 'POST'")
    if bad := _NOT_IN_A_PATH.search(path):
        raise ValueError(f"the path {path!r} has a character that cannot be sent: {bad[0]!r}")


def as_mapping(given: Any, parameter: str) -> Mapping[str, Any]:
    """Return a parameter that takes a dictionary; an empty one for None.

    Raises:
        TypeError: It is not a mapping.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{parameter} takes a dictionary, not {type(given).__name__}")
    return cast("Mapping[str, Any]", given)


# Parameters as text: in a URL, and in a form.


def query_of_params(params: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Return parameters as the query of a URL. Raise `TypeError` if one cannot be sent as text."""
    query: dict[str, str | list[str]] = {}
    for name, text in _pairs(params):
        query[name] = [*query.get(name, []), text] if name.endswith("[]") else text
    return query


def form_of_params(params: Mapping[str, Any], files: Collection[str]) -> Form:
    """Return parameters as a form with files. A name with several files ends with `[]`."""
    from trio_openai._http.multipart import Form, Upload  # few programs send files

    uploads: list[tuple[str, Upload]] = []
    for name in filter(params.__contains__, files):
        given: Any = params[name]
        if given == []:
            raise ValueError(f"{name} is an empty list; it needs at least one file")
        if is_array(given):
            uploads += [(f"{name}[]", Upload.of(name, one)) for one in given]
        else:
            uploads.append((name, Upload.of(name, given)))
    return Form(_pairs({name: value for name, value in params.items() if name not in files}), uploads)


def form_of_parts(fields: Mapping[str, Any], files: Iterable[tuple[str, Any]]) -> Form:
    """Return a form with fields and files. Unlike `form_of_params`, it sends the names of the files as they are."""
    from trio_openai._http.multipart import Form, Upload  # few programs send files

    return Form(_pairs(fields), [(name, Upload.of(name, file)) for name, file in files])


def _pairs(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the names and values of parameters as text, without those that are None."""
    found = [pair for name, value in params.items() for pair in _flat(str(name), value)]
    return [(printable(name), printable(text)) for name, text in found]


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if value is None:
        return []
    if isinstance(value, Mapping):
        members = cast("Mapping[str, Any]", value)
        return [pair for key, member in members.items() for pair in _flat(f"{name}[{key}]", member)]
    if isinstance(value, list | tuple):
        return [pair for item in cast("list[Any]", value) for pair in _flat(f"{name}[]", item)]
    if isinstance(value, bool):
        return [(name, "true" if value else "false")]
    if isinstance(value, str | int | float):
        return [(printable(name), printable(str(value)))]
    raise TypeError(f"the parameter {name} cannot be sent as text: it is a {type(value).__name__}")
