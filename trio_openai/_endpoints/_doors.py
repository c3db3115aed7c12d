"""The doors of an endpoint that streams: `stream`, `start_stream`, `call`, and `create`. All of them are here.

An endpoint says in its class's attributes what is its own. The types of its doors stand there too, under `if
TYPE_CHECKING`: they are the parameters' `TypedDict` and the classes of its stream and of its plain answer, and there is
no other way to tell a type checker of a method that takes another `TypedDict` in each subclass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import attrs
import trio

from trio_openai._protocols.answers import Decode, as_object
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import hide_headers
from trio_openai._request.request import PreparedRequest
from trio_openai._request.session import Session
from trio_openai._stream.source import EventSource
from trio_openai._stream.stream import StreamCall, StreamManager, StreamT, open_stream, start
from trio_openai._wire.protocol import StreamProtocol
from trio_openai._wire.text import path_segment

from ._endpoint import Endpoint, ReturnsT
from ._parameters import Parameters, refuse_positional

WholeT = TypeVar("WholeT")
Params = dict[str, Any]
MakeProtocol = Callable[[], StreamProtocol[Any, Any]]

DEFAULT_BUFFER = 64
"""Events that a task may read ahead of whoever iterates the stream."""


class StreamingEndpoint(Endpoint[ReturnsT], Generic[ReturnsT, StreamT, WholeT]):
    """An endpoint that answers plainly or by a stream.

    Parameters are the API's, and the same at every door. Beside them, every call takes:

    * `extra_headers`, `extra_query`, `extra_body`: added to the request;
    * `timeout`: as for `TrioOpenAI`.

    A parameter that this library does not know goes into `extra_body`.
    """

    _session: Session
    _method: ClassVar[str] = "POST"
    _path: ClassVar[str]  # with `{names}` of what is given without a keyword
    _parameters: ClassVar[Parameters]
    _files: ClassVar[tuple[str, ...]] = ()  # parameters that are files: then the body is a form
    _asks_for_stream: ClassVar[Mapping[str, Any]] = {"stream": True}
    _stream_class: Callable[[EventSource[Any, Any]], StreamT]
    _answer: type[WholeT]

    # What an endpoint may have of its own.

    def _protocol(self, params: Params) -> MakeProtocol:
        """What makes the protocol of a stream that was asked for with these parameters."""
        raise NotImplementedError

    def _kind(self, params: Params) -> tuple[Callable[[EventSource[Any, Any]], StreamT], MakeProtocol]:
        """What makes such a stream, and what makes its protocol."""
        return self._stream_class, self._protocol(params)

    def _decode(self, params: Params) -> Decode[WholeT]:  # noqa: ARG002
        """What makes an object of the plain answer."""
        return as_object(self._answer)

    def _opening(self, where: tuple[str, ...], params: Params) -> Callable[[], StreamT]:
        """Check and encode the parameters of a stream. Returns what makes it, as often as that is wanted."""
        session = self._session
        path, checked = self._checked(where, params)
        make_stream, make_protocol = self._kind(checked)
        request = self._prepared(path, checked, stream=True)
        return lambda: make_stream(EventSource(Exchange(session, request), make_protocol))

    # What all have in common.

    def _checked(self, where: tuple[str, ...], params: Params) -> tuple[str, Params]:
        """The path, and the parameters that are not in it."""
        hide_headers(params)  # where the caller's frame has them too
        path, params = at(self._path, where, params)
        return path, self._parameters.check(params)

    def _prepared(self, path: str, checked: Params, *, stream: bool) -> PreparedRequest:
        always = self._asks_for_stream if stream else None
        return self._session.prepare(self._method, path, checked, stream=stream, always=always, files=self._files)

    async def _make(self, where: tuple[str, ...], stream: object, params: Params) -> StreamT | WholeT:
        hide_headers(params)
        if stream not in (None, True, False):
            raise TypeError("stream takes True or False")
        if stream:
            opened = self._opening(where, params)()
            await open_stream(opened)
            if not self._session.is_raw:
                return opened
            from trio_openai._request.raw_response import raw_stream

            return cast("StreamT", raw_stream(opened))
        path, checked = self._checked(where, params)
        decode = self._decode(checked)
        return await Exchange(self._session, self._prepared(path, checked, stream=False)).answer(decode)

    if not TYPE_CHECKING:  # a checker finds the doors of each endpoint in its own class

        def stream(self, *where: str, **params: Any) -> StreamManager[StreamT]:
            """Stream the answer inside an `async with` block. The request is sent when the block is entered.

            Raises:
                TypeError, ValueError: a parameter cannot be sent.
                APIError: on entering the block, and while iterating.
            """
            return StreamManager(self._opening(where, streamed(params)))

        async def start_stream(
            self, nursery: trio.Nursery, *where: str, buffer: int = DEFAULT_BUFFER, **params: Any
        ) -> StreamT:
            """Stream the answer inside a nursery: a task in it reads the stream, into a buffer of so many events.

            The task ends with the stream. Cancelling the nursery, or `aclose()`, closes the stream.

            Raises:
                TypeError, ValueError: a parameter cannot be sent.
                APIError: now, and while iterating. Out of the nursery, if nobody iterates and nobody has subscribed.
            """
            return await start(self._opening(where, streamed(params)), nursery, buffer)

        def call(self, *where: str, key: object = None, **params: Any) -> StreamCall[StreamT]:
            """A call to be made by `stream_many`, `run_many` or `race`; `key` is what tells it apart.

            Raises:
                TypeError, ValueError: a parameter cannot be sent.
            """
            return StreamCall(key, self._opening(where, streamed(params)))


class CreatingEndpoint(StreamingEndpoint[ReturnsT, StreamT, WholeT]):
    """One whose third door, and whose plain answer, is called `create`."""

    if not TYPE_CHECKING:

        async def create(self, *where: str, stream: bool | None = None, **params: Any) -> StreamT | WholeT:
            """Make a call and return the whole answer; with `stream=True`, its stream.

            Such a stream is closed by `aclose()` or `async with`, and with the client at the latest.

            Raises:
                TypeError, ValueError: a parameter cannot be sent.
                APIError: it failed.
            """
            return await self._make(where, stream, params)


class CalledEndpoint(StreamingEndpoint[ReturnsT, StreamT, WholeT]):
    """One that is called itself, as a method: `await client.images.generate(...)`."""

    if not TYPE_CHECKING:

        async def __call__(self, *where: str, stream: bool | None = None, **params: Any) -> StreamT | WholeT:
            """As `create` of other endpoints."""
            return await self._make(where, stream, params)


@attrs.frozen(eq=False, repr=False)
class Asking(Generic[WholeT]):
    """An endpoint that only answers plainly.

    Attributes:
        method: of HTTP.
        path: with `{names}` of what is given without a keyword.
        parameters: the API's.
        decode: makes an object of the answer.
    """

    method: str
    path: str
    parameters: Parameters
    decode: Decode[WholeT]

    async def __call__(self, session: Session, where: tuple[str, ...], params: Params) -> WholeT:
        """Make a call."""
        return await Exchange(session, self.prepared(session, where, params)).answer(self.decode)

    def prepared(self, session: Session, where: tuple[str, ...], params: Params) -> PreparedRequest:
        """Check and encode the parameters.

        Raises:
            TypeError, ValueError: one cannot be sent.
        """
        hide_headers(params)
        path, params = at(self.path, where, params)
        return session.prepare(self.method, path, self.parameters.check(params), stream=False)


def at(path: str, where: tuple[str, ...], params: Params) -> tuple[str, Params]:
    """A path with its places filled by what was given for them, without a keyword or with one; and the rest.

    Raises:
        TypeError: there are too few, too many, or others than strings.
        ValueError: one is empty, or leads elsewhere.
    """
    if "{" not in path and not where:
        return path, params
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    if len(where) > len(names):
        refuse_positional(len(where), len(names))
    rest = dict(params)
    for number, name in enumerate(names):
        if number < len(where) and name in rest:
            raise TypeError(f"{name} is given twice")
        if number >= len(where) and name not in rest:
            raise TypeError(f"{name} is missing: give it as the first argument")
        given = where[number] if number < len(where) else rest.pop(name)
        path = path.replace(f"{{{name}}}", segment(name, given))
    return path, rest


def segment(name: str, given: object) -> str:
    """Quote an id so that it is one segment of a path.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty, or it leads to another path.
    """
    if not isinstance(given, str):
        raise TypeError(f"{name} takes a string, not {type(given).__name__}")
    if given.strip() in ("", ".", ".."):
        raise ValueError(f"{name} takes the id of an object, not {given!r}")
    return path_segment(given)


def streamed(params: Params) -> Params:
    """The parameters of a call that streams without being told."""
    if params.pop("stream", True) is not True:
        hide_headers(params)
        raise TypeError("this always streams; for a plain answer leave the door out, as in create(...)")
    return params
