"""The doors of an endpoint that streams: `stream`, `start_stream`, `call` and `create`.

A door is a way to send a request. All doors of an endpoint take the same parameters and lead to the same `Stream`
class. They differ in who reads the socket, and in what ends the stream:

* `stream(...)` is an `async with` block. The task that iterates the stream reads the socket.
* `start_stream(nursery, ...)` starts a task in that nursery, which reads ahead into a bounded buffer.
* `call(...)` sends nothing. It describes a request for `stream_many`, `run_many` or `race`.
* `create(...)` returns the whole result. With `stream=True`, it returns an open stream that the caller has to close.

An endpoint is a subclass that states what differs: its path, its `Parameters`, the class of its stream and the protocol
that reads its events. Everything passes through `_stream_maker`, which checks and encodes the parameters at once, so
that mistakes raise where the program makes them. It returns a function that makes the stream, because `race` and
`run_many` may start a call later, and `run_tools` starts one stream after another.

The types of the doors are declared in each endpoint under `if TYPE_CHECKING`. Python cannot express "a method that
takes the keys of this `TypedDict`" with a type variable, so they cannot be inherited. `_endpoint.py` explains how the
types of `with_raw_response` follow from them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import attrs
import trio

from trio_openai._protocols.plain_answers import Decode, as_object
from trio_openai._request.exchange import Exchange
from trio_openai._request.headers import hide_headers
from trio_openai._request.request import PreparedRequest
from trio_openai._request.session import Session
from trio_openai._stream.source import EventSource
from trio_openai._stream.stream import StreamCall, StreamManager, StreamT, open_stream, start
from trio_openai._wire.protocol import StreamProtocol

from ._endpoint import Endpoint, ReturnsT
from ._operations import Params, fill_path
from ._parameters import Parameters

WholeT = TypeVar("WholeT")
MakeStream = Callable[[EventSource[Any, Any]], StreamT]
MakeProtocol = Callable[[], StreamProtocol[Any, Any]]

DEFAULT_BUFFER = 64
"""The number of events that `start_stream` reads ahead."""


class StreamingEndpoint(Endpoint[ReturnsT], Generic[ReturnsT, StreamT, WholeT]):
    """An endpoint that returns its result as a whole or as a stream.

    All methods take the API's parameters by name. They also take:

    * `extra_headers`, `extra_query`, `extra_body`: dictionaries that are added to the request. `extra_body` is the
      place for parameters that this library does not know.
    * `timeout`: seconds or `Deadlines`, as in `TrioOpenAI`, for this request only.
    """

    _session: Session
    _method: ClassVar[str] = "POST"
    _path: ClassVar[str]  # with places in braces; see `_operations.py`
    _parameters: ClassVar[Parameters]
    _files: ClassVar[tuple[str, ...]] = ()  # names of the parameters that are files; then the body is a form
    _asks_for_stream: ClassVar[Mapping[str, Any]] = {"stream": True}
    _stream_class: MakeStream[StreamT]
    _answer: type[WholeT]
    _format_name: ClassVar[str | None] = None  # the parameter that may be a class; then there is `ask_again`

    # An endpoint overrides these if its stream or its result depends on the parameters.

    def _protocol(self, params: Params) -> MakeProtocol:
        """Return a function that makes the protocol of a stream with these parameters."""
        raise NotImplementedError

    def _makers(self, params: Params) -> tuple[MakeStream[StreamT], MakeProtocol]:
        """Return two functions, which make the stream and its protocol. May change `params`."""
        return self._stream_class, self._protocol(params)

    def _resumes(self, params: Params) -> bool:  # noqa: ARG002
        """Return whether a broken stream is resumed. May change `params`."""
        return False

    def _decode(self, params: Params) -> Decode[WholeT]:  # noqa: ARG002
        """Return a function that makes the whole result of the response's body. May change `params`."""
        return as_object(self._answer)

    def _stream_maker(self, where: tuple[str, ...], params: Params) -> Callable[[], StreamT]:
        """Check and encode the parameters, and return a function that makes a stream each time it is called.

        Raises:
            TypeError, ValueError: A parameter cannot be sent.
        """
        session = self._session
        if self._format_name and params.pop("ask_again", None):
            hide_headers(params)
            raise TypeError("ask_again needs a whole answer: call create(...) without stream=True")
        path, checked = self._check(where, params)
        resume = self._resumes(checked)
        make_stream, make_protocol = self._makers(checked)
        request = self._prepare_stream(path, checked)
        return lambda: make_stream(EventSource(Exchange(session, request), make_protocol, resume=resume))

    # All endpoints share the rest.

    def _check(self, where: tuple[str, ...], params: Params) -> tuple[str, Params]:
        """Return the path and the checked parameters that belong into the body or the query."""
        hide_headers(params)  # changes the dictionary in the caller's frame as well, which a traceback may show
        path, params = fill_path(self._path, where, params)
        return path, self._parameters.check(params)

    def _prepare(self, path: str, checked: Params, *, stream: bool) -> PreparedRequest:
        always = self._asks_for_stream if stream else None
        return self._session.prepare(
            self._method, path, checked, stream=stream, always=always, files=self._files, endpoint=self._path
        )

    def _prepare_stream(self, path: str, checked: Params) -> PreparedRequest:
        """Prepare the request of a stream. With `usage=True`, it has a second form that does not ask for the usage."""
        if not checked.pop("usage", None):
            return self._prepare(path, checked, stream=True)
        options = dict(checked.pop("stream_options", None) or {})
        asking = {**checked, "stream_options": {**options, "include_usage": True}}
        options.pop("include_usage", None)
        silent = {**checked, "stream_options": options} if options else checked
        without = functools.partial(self._prepare, path, silent, stream=True)
        return attrs.evolve(self._prepare(path, asking, stream=True), without_usage=without)

    async def _create_or_stream(self, where: tuple[str, ...], stream: object, params: Params) -> StreamT | WholeT:
        hide_headers(params)
        if stream not in (None, True, False):
            raise TypeError(f"stream takes True or False, not {type(stream).__name__}")
        if stream:
            opened = self._stream_maker(where, params)()
            await open_stream(opened)
            if not self._session.is_raw:
                return opened
            from trio_openai._request.raw_response import raw_stream

            return cast("StreamT", raw_stream(opened))
        again = params.pop("ask_again", None) if self._format_name else None
        path, checked = self._check(where, params)
        checked.pop("usage", None)  # a whole result always has it
        if again:
            return await self._ask_again(again, path, checked)
        return await self._ask(path, checked, self._decode(checked))

    async def _ask(self, path: str, checked: Params, decode: Decode[WholeT]) -> WholeT:
        return await Exchange(self._session, self._prepare(path, checked, stream=False)).answer(decode)

    async def _ask_again(self, times: object, path: str, checked: Params) -> WholeT:
        """Send requests until an answer fits the class. `_ask_again.py` has the rules."""
        hide_headers(checked)
        from ._ask_again import ask_until_valid, check_times, follow_up

        assert self._format_name is not None
        most = check_times(times, checked, self._format_name)
        decode = self._decode(checked)
        return await ask_until_valid(
            lambda params: self._ask(path, params, decode), checked, follow_up, most, is_raw=self._session.is_raw
        )

    if not TYPE_CHECKING:  # each endpoint declares the types of its doors

        def stream(self, *where: str, **params: Any) -> StreamManager[StreamT]:
            """Stream the response inside an `async with` block.

            The request is sent when the block is entered. Leaving the block closes the stream, in whatever way.

            Args:
                where: The id in the path, for endpoints that have one.
                params: The API's parameters.

            Returns:
                A context manager. `as` gives the stream.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
                APIError: Entering the block or iterating the stream failed. The connection is closed.
            """
            return StreamManager(self._stream_maker(where, without_stream(params)))

        async def start_stream(
            self, nursery: trio.Nursery, *where: str, buffer: int = DEFAULT_BUFFER, **params: Any
        ) -> StreamT:
            """Stream the response in a task of your nursery, which reads ahead.

            The task ends with the stream. Cancelling the nursery closes the stream, and so does `stream.aclose()`.

            Args:
                nursery: The nursery that the reading task runs in.
                where: The id in the path, for endpoints that have one.
                buffer: The number of events to read ahead.
                params: The API's parameters.

            Returns:
                The stream, after the response's headers have arrived.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
                APIError: The request failed, now or while iterating. If no task iterates and nothing subscribes, the
                    nursery raises it.
            """
            return await start(self._stream_maker(where, without_stream(params)), nursery, buffer)

        def call(self, *where: str, key: object = None, **params: Any) -> StreamCall[StreamT]:
            """Describe a request for `stream_many`, `run_many` or `race`. Nothing is sent.

            Args:
                where: The id in the path, for endpoints that have one.
                key: Any object that identifies the call in the results.
                params: The API's parameters.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
            """
            return StreamCall(key, self._stream_maker(where, without_stream(params)))


class CreatingEndpoint(StreamingEndpoint[ReturnsT, StreamT, WholeT]):
    """A streaming endpoint with a `create` method, such as `client.chat.completions`."""

    if not TYPE_CHECKING:

        async def create(self, *where: str, stream: bool | None = None, **params: Any) -> StreamT | WholeT:
            """Send a request and return its whole result, or with `stream=True` an open stream.

            Close such a stream with `aclose()` or `async with`. If you do not, it stays open until the client closes.

            Args:
                where: The id in the path, for endpoints that have one.
                stream: Whether to return a stream.
                params: The API's parameters.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
                APIError: The request failed. The connection is closed.
            """
            return await self._create_or_stream(where, stream, params)


class CalledEndpoint(StreamingEndpoint[ReturnsT, StreamT, WholeT]):
    """A streaming endpoint that is itself called, such as `await client.images.generate(...)`."""

    if not TYPE_CHECKING:

        async def __call__(self, *where: str, stream: bool | None = None, **params: Any) -> StreamT | WholeT:
            """Send a request and return its whole result, or with `stream=True` an open stream.

            Close such a stream with `aclose()` or `async with`. If you do not, it stays open until the client closes.

            Args:
                where: The id in the path, for endpoints that have one.
                stream: Whether to return a stream.
                params: The API's parameters.

            Raises:
                TypeError, ValueError: A parameter cannot be sent.
                APIError: The request failed. The connection is closed.
            """
            return await self._create_or_stream(where, stream, params)


def without_stream(params: Params) -> Params:
    """Remove a `stream=True` from the parameters of a door that always streams.

    Programs ported from openai-python often still pass it.

    Raises:
        TypeError: `stream` is something else.
    """
    if params.pop("stream", True) is not True:
        hide_headers(params)
        raise TypeError("this always streams: remove stream=..., or call create(...) for the whole result")
    return params
