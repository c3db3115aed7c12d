"""From an endpoint's parameters to an exchange: what goes into the body, the URL and the headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import attrs
import httpx

from ._body import ACCEPTED_CODINGS
from ._http1 import check_headers
from ._request import Call, Exchange, Session, encode_json
from ._sansio.convert import hook_for
from ._sansio.dialects import Dialect
from ._sansio.failures import api_error, decode_body
from ._sansio.json import decode_json, is_object
from ._sansio.policy import Deadlines
from ._source import EventSource, EventT, WholeT
from .errors import APIError, APIResponseValidationError

_T = TypeVar("_T")


class NotGiven:
    """The type of `NOT_GIVEN`, which stands for an argument that was left out where None means something else."""

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN = NotGiven()

_JSON = {"Content-Type": "application/json"}
_PLAIN_HEADERS = {**_JSON, "Accept": "application/json", "Accept-Encoding": ACCEPTED_CODINGS}
_STREAM_HEADERS = {**_JSON, "Accept": "text/event-stream", "Accept-Encoding": "identity"}
# identity: what compresses a stream on its way may hold its events back


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


def add_headers(headers: httpx.Headers, given: HiddenHeaders) -> None:
    """Add a user's headers to ours.

    Raises:
        TypeError: a value is no string.
        ValueError: a name or value has a character that HTTP forbids. The value, which may be a secret, is not shown.
    """
    if bad := [name for name, value in given.items() if not isinstance(value, str)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"the header {bad[0]!r} has a value that is no string")
    if bad := [name for name, value in given.items() if not (name.isascii() and value.isascii())]:
        raise ValueError(f"the header {bad[0]!r} has a character that cannot be sent: encode it in ASCII")
    check_headers(given)
    headers.update(given)


@attrs.define(kw_only=True, eq=False)
class Caller:
    """What a client's endpoints share: its connections, and what it adds to every request.

    Attributes:
        open_sources: the streams that closing the client closes.
    """

    session: Session
    headers: httpx.Headers = attrs.field(repr=False)
    query: Mapping[str, Any]
    deadlines: Deadlines
    max_retries: int
    open_sources: set[EventSource[Any, Any]] = attrs.field(factory=set[EventSource[Any, Any]])

    def prepare(self, path: str, params: Mapping[str, Any], *, stream: bool) -> Call:
        """Make a call ready. `params` are the body's, and those that every call takes. Nothing is sent yet.

        Raises:
            TypeError: a parameter cannot be sent as JSON, or is not of the type it has to be.
            ValueError: a header has a character that HTTP forbids.
        """
        body = dict(params)
        extra_headers, extra_query = body.pop("extra_headers"), body.pop("extra_query", None)
        extra_body, timeout = body.pop("extra_body", None), body.pop("timeout", NOT_GIVEN)
        body.update(extra_body or {})
        if stream:
            body["stream"] = True
        content = encode_json(body)
        deadlines = self.deadlines if isinstance(timeout, NotGiven) else Deadlines.of(timeout)
        headers = self.headers.copy()
        headers.update(_STREAM_HEADERS if stream else _PLAIN_HEADERS)
        add_headers(headers, extra_headers)
        return Call(
            method="POST",
            path=path,
            json=content,
            headers=headers,
            query={**self.query, **(extra_query or {})},
            deadlines=deadlines if stream else deadlines.for_plain_answers(),
            max_retries=self.max_retries,
        )

    def source(
        self, call: Call, make_dialect: Callable[[], Dialect[EventT, WholeT]], *, resume: bool = False
    ) -> EventSource[EventT, WholeT]:
        """A stream of a call's events, to be opened."""
        return EventSource(Exchange(self.session, call), make_dialect, self.open_sources, resume=resume)

    async def plain(self, path: str, params: Mapping[str, Any], cls: type[_T]) -> _T:
        """Make a call and read its whole answer.

        Raises:
            APIError: it failed; `APIResponseValidationError` if the answer is no JSON object.
        """
        exchange = Exchange(self.session, self.prepare(path, params, stream=False))
        response, content = await exchange.fetch()
        try:
            return _decoded(content, cls)
        except APIError as error:
            content = b""  # it stays out of the traceback's locals
            error.request_id = response.headers.get("x-request-id")
            raise exchange.cleaned(error) from None


def _decoded(content: bytes, cls: type[_T]) -> _T:
    """A plain answer as an object."""
    try:
        raw = decode_json(content)
    except ValueError:
        raw = None
    if not is_object(raw):
        shown = content[:200].decode(errors="replace")
        raise APIResponseValidationError(f"the answer is not a JSON object: {shown!r}", body=decode_body(content))
    if raw.get("error") and raw.keys().isdisjoint(("choices", "output")):
        raise api_error(APIError, raw)
    return cast("_T", hook_for(cls)(raw, None))
