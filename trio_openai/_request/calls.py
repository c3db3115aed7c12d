"""From an endpoint's parameters to an exchange: what goes into the body, the URL and the headers."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeAlias, TypeVar, cast

import attrs
import httpx

from trio_openai._deadlines import Deadlines
from trio_openai._http.codings import ACCEPTED_CODINGS
from trio_openai._http.exchange import Exchange
from trio_openai._http.http1 import check_headers
from trio_openai._http.session import Call, Session
from trio_openai._protocols.answers import check_no_error, made_of
from trio_openai._stream.source import EventSource, EventT, WholeT
from trio_openai._wire.encode import encode_json
from trio_openai._wire.failures import decode_body
from trio_openai._wire.json import decode_json, is_array, is_object
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.text import printable
from trio_openai.errors import APIError, APIResponseValidationError

from .hints import check_in_trio

if TYPE_CHECKING:
    from trio_openai._http.multipart import Form

_P = ParamSpec("_P")
_T = TypeVar("_T")


class NotGiven:
    """The type of `NOT_GIVEN`, which stands for an argument that was left out where None means something else."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()

Decode: TypeAlias = Callable[[bytes], _T]
"""What makes an object of a plain answer's body. It raises `APIError` if it cannot."""

Route: TypeAlias = Callable[[str, Mapping[str, Any]], str]
"""From the path of an endpoint and the parameters to the path that is asked."""

_JSON = {"Content-Type": "application/json"}
_PLAIN_HEADERS = {"Accept": "application/json", "Accept-Encoding": ACCEPTED_CODINGS}
_STREAM_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
_BYTES_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity"}
# identity: what compresses a stream on its way may hold its events back


_FRAMING = frozenset({"content-length", "transfer-encoding"})  # another value would split the request in two


class HiddenHeaders(dict[str, str]):
    """A user's headers. They may be keys, so a traceback shows no more of them than their names."""

    @classmethod
    def of(cls, given: Any, parameter: str) -> HiddenHeaders:
        """Those of a parameter, which may be None."""
        if not isinstance(given, Mapping | None):
            raise TypeError(f"{parameter} takes a dictionary of strings, not {type(given).__name__}")
        return cls(cast("Mapping[str, str]", given or {}))

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """As they are sent."""
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in self.items()]

    def __repr__(self) -> str:
        return f"<headers {', '.join(map(repr, self))}>"


def hide_headers(params: dict[str, Any]) -> None:
    """Wrap a call's `extra_headers` where the parameters are, which every frame below holds."""
    params["extra_headers"] = HiddenHeaders.of(params.get("extra_headers"), "extra_headers")


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


def add_headers(headers: httpx.Headers, given: HiddenHeaders) -> None:
    """Add a user's headers to ours.

    Raises:
        TypeError: a value is no string.
        ValueError: a name or value has a character that HTTP forbids, or the header says how long the body is. The
            value, which may be a secret, is not shown.
    """
    if bad := [name for name, value in given.items() if not isinstance(value, str)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the header {bad[0]!r} has a value that is no string")
    if bad := [name for name, value in given.items() if not (name.isascii() and value.isascii())]:
        raise ValueError(f"the header {bad[0]!r} has a character that cannot be sent: encode it in ASCII")
    if bad := [name for name in given if name.lower() in _FRAMING]:
        raise ValueError(f"the header {bad[0]!r} cannot be set: it follows from the body, and is added to the request")
    check_headers(given)
    headers.update(given)


@attrs.define(kw_only=True, eq=False, repr=False)
class Caller:
    """What a client's endpoints share: its connections, and what it adds to every request.

    Attributes:
        route: gives the path to ask, where that depends on the parameters.
    """

    session: Session
    headers: httpx.Headers
    query: Mapping[str, Any]
    deadlines: Deadlines
    max_retries: int
    route: Route | None = None

    def prepare(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any],
        *,
        stream: bool,
        always: Mapping[str, Any] | None = None,
        files: Collection[str] = (),
        raw: bool = False,
    ) -> Call:
        """Make a call ready. Nothing is sent yet.

        Args:
            method: of HTTP; with GET and DELETE the parameters go into the URL, else into the body.
            path: after the base URL.
            params: the API's, and those that every call takes.
            stream: whether the answer is a stream.
            always: parameters that `extra_body` does not change.
            files: names of parameters that are files. If there are any, the body is a form.
            raw: whether the answer is bytes, and no JSON.

        Raises:
            TypeError: a parameter cannot be sent, or is not of the type it has to be.
            ValueError: the path or a header has a character that HTTP forbids, or a file cannot be read twice.
        """
        body = dict(params)
        extra_headers, extra_query = body.pop("extra_headers"), _mapping(body.pop("extra_query", None), "extra_query")
        extra_body, timeout = _mapping(body.pop("extra_body", None), "extra_body"), body.pop("timeout", NOT_GIVEN)
        body.update(extra_body)
        body.update(always or {})
        path = self.route(path, body) if self.route is not None else path
        _check_target(method, path)
        query = {**self.query, **extra_query}
        deadlines = self.deadlines if isinstance(timeout, NotGiven) else Deadlines.of(timeout)
        headers = self.headers.copy()
        headers.update(_STREAM_HEADERS if stream else _BYTES_HEADERS if raw else _PLAIN_HEADERS)
        content: bytes | Form | None = None
        if method in ("GET", "DELETE"):
            query = {**query, **_query(body)}
        elif files:
            content = _form(body, files)
        elif body:
            headers.update(_JSON)
            content = encode_json(body)
        add_headers(headers, extra_headers)
        return Call(
            method=method,
            path=path,
            content=content,
            headers=headers,
            query=query,
            deadlines=deadlines if stream else deadlines.for_plain_answers(),
            max_retries=self.max_retries,
        )

    def exchange(self, call: Call) -> Exchange:
        """The attempts of a call, to be made."""
        check_in_trio()
        return Exchange(self.session, call)

    def source(
        self, call: Call, make_protocol: Callable[[], StreamProtocol[EventT, WholeT]], *, resume: bool = False
    ) -> EventSource[EventT, WholeT]:
        """A stream of a call's events, to be opened."""
        return EventSource(self.exchange(call), make_protocol, resume=resume)

    async def answer(self, call: Call, decode: Decode[_T]) -> _T:
        """Make a call and read its whole answer.

        Raises:
            APIError: it failed; `APIResponseValidationError` if the answer is not what it has to be.
        """
        exchange = self.exchange(call)
        response, content = await exchange.fetch()
        try:
            return decode(content)
        except APIError as error:
            content = b""  # it stays out of the traceback's locals
            error.request_id = response.headers.get("x-request-id")
            raise exchange.cleaned(error) from None

    # What `with_raw_response` does otherwise: see `_request/raw_response.py`.

    def opened(self, stream: _T) -> _T:
        """What a method returns that has opened a stream."""
        return stream

    def plainly(self) -> Caller:
        """One that returns the objects themselves."""
        return self


def as_object(cls: type[_T]) -> Decode[_T]:
    """Return what makes an object of a wire class of a plain answer. It raises as `made_of` does."""

    def decode(content: bytes) -> _T:
        try:
            raw = decode_json(content)
        except ValueError:
            raw = None
        if is_object(raw):
            return made_of(cls, raw, content)
        check_no_error(content)
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not a JSON object: {shown!r}", body=decode_body(content))

    return decode


def as_text(content: bytes) -> str:
    """Return a plain answer as text. Raise `APIError` if it is a server's error."""
    check_no_error(content)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not text in UTF-8: {shown!r} ({error})", body=shown) from None


def as_nothing(content: bytes) -> None:
    """Return None for an answer that only says it was done. Raise `APIError` if it is a server's error."""
    check_no_error(content, may_have_message=True)


def as_bytes(content: bytes) -> bytes:
    """Return a plain answer as it came. Raise `APIError` if it is a server's error."""
    check_no_error(content)
    return content


_METHOD = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")
_NOT_IN_A_PATH = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters, and halves of a character


def _check_target(method: str, path: str) -> None:
    """Raise `ValueError` if the method or path has a character that cannot be sent."""
    if not _METHOD.fullmatch(method):
        raise ValueError(f"{method!r} is not a method of HTTP, such as 'POST'")
    if bad := _NOT_IN_A_PATH.search(path):
        raise ValueError(f"the path {path!r} has a character that cannot be sent: {bad[0]!r}")


def _mapping(given: Any, parameter: str) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{parameter} takes a dictionary, not {type(given).__name__}")
    return cast("Mapping[str, Any]", given)


# Parameters as text: in a URL, and in a form.


def _query(params: Mapping[str, Any]) -> dict[str, str | list[str]]:
    query: dict[str, str | list[str]] = {}
    for name, text in _pairs(params):
        query[name] = [*query.get(name, []), text] if name.endswith("[]") else text
    return query


def _form(params: Mapping[str, Any], files: Collection[str]) -> Form:
    """A form of files and other fields; of several files with one name, the name ends with `[]`."""
    from trio_openai._http.multipart import Form, Upload  # few programs send files

    uploads: list[tuple[str, Upload]] = []
    for name in filter(params.__contains__, files):
        given: Any = params[name]
        if given == []:
            raise ValueError(f"{name} is an empty list; give at least one file")
        if is_array(given):
            uploads += [(f"{name}[]", Upload.of(name, one)) for one in given]
        else:
            uploads.append((name, Upload.of(name, given)))
    return Form(_pairs({name: value for name, value in params.items() if name not in files}), uploads)


def _pairs(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values as openai-python sends them: `list[]=1&list[]=2&object[member]=3`; None is left out."""
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
