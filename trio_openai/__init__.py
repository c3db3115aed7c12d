"""A trio-native, structured-concurrency streaming client for OpenAI-compatible APIs.

The way of a byte, and the layers, each of which imports only those below it:

    sync         the client for threads; not imported here. _sync_endpoints are
                 its endpoints, _sync_calls their way to those below,
                 _sync_stream its streams, _sync_views other ways to iterate one,
                 _portal the way into a loop
    azure        the client of a resource on Azure; imported when it is used
    _client      the client and its options
    _endpoints   what the API offers, by its names
    _tool_run    a model and the tools that it calls; what happens is in _tool_events
    _many, _race  many calls for many answers, or for one; in a _nursery;
                 _given_calls checks them
    _calls       parameters to a request, a plain answer to an object;
                 _raw an answer with all that HTTP says about it
    _stream      the stream a program holds; _parsed_stream, one whose answer is to
                 be an object of a class
    _deltas      its parts, for who asks for them; _raw_stream what its events are made of
    _pump        a task in the caller's nursery that reads one
    _source      where its events come from: it reads when somebody asks for one;
                 _progress says when what came; _record keeps the beginning of it;
                 _bytes is the same for an answer that is not made of events
    _fanout      more readers of the same stream, each with a policy; _stuck tells
                 one that nobody will ever serve
    _request     one call: attempts, redirects, errors; the border to httpx
                 _keys the API key on its way into it; _secrets keeps it out of what comes back;
                 _tracebacks what an error does not take along;
                 _redirects which ones are followed
    _lifetime    what ends with a client, or with the last reference to a stream
    _limiter     when an attempt may begin; _permits what a call's attempts say to it
    _body        the body of a response, whoever's transport it came through;
                 _upload the files in a request's, read while they are sent
    _transport   httpx's transport interface over trio streams, and the pool
    _proxy       which proxy a URL goes through, and how
    _slots       waits for a free slot of a pool
    _connection, _http1  opens, writes and closes a stream; speaks HTTP
    _reading             a read in a task of its own
    _lenient             repairs responses of sloppy gateways
    _sansio      bytes to events, events to snapshots, errors, policy: no I/O
    _misuse      methods and checks for typical mistakes, whose errors say what to write
    _hints       what to do in place of what another client has: words of errors
    types, errors

A name is imported when it is first asked for, so that a program, and `--help`, pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._late import finder

if TYPE_CHECKING:
    from ._bytes import ByteStream
    from ._client import TrioOpenAI
    from ._endpoints._pages import Listing, Page
    from ._fanout import Subscription
    from ._limiter import (
        AdaptiveLimiter,
        AdaptiveStatistics,
        Attempt,
        Limiter,
        Outcome,
        Permit,
        RateLimiter,
        RateStatistics,
    )
    from ._many import Item, Items, ManyStatistics, Result
    from ._parsed_stream import ParsedChatCompletionStream, ParsedResponseStream
    from ._progress import Timings
    from ._raw import RawResponse
    from ._sansio.policy import Deadlines
    from ._sansio.reader import Verdict
    from ._sansio.sse import ServerSentEvent
    from ._sansio.tools import Tool
    from ._statistics import ClientStatistics, SubscriptionStatistics, TransportStatistics
    from ._stream import (
        ChatCompletionStream,
        CompletionStream,
        ImageStream,
        ResponseStream,
        SpeechStream,
        Stream,
        StreamCall,
        TranscriptionStream,
    )
    from ._tool_events import RoundDone, RoundEvent, RoundStarted, RunEvent, ToolDone, ToolFailed, ToolStarted
    from ._tool_run import ChatToolRun, ResponseToolRun, ToolRun, ToolRunStatistics
    from ._transport import TrioTransport
    from ._version import __version__
    from .azure import AzureOpenAI
    from .errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        ConflictError,
        InternalServerError,
        NotFoundError,
        OpenAIError,
        PermissionDeniedError,
        RaceError,
        RateLimitError,
        StreamTruncatedError,
        ToolRunError,
        UnprocessableEntityError,
    )
    from .types import NamedEvent, UnknownEvent, Unparsed

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AdaptiveLimiter",
    "AdaptiveStatistics",
    "Attempt",
    "AuthenticationError",
    "AzureOpenAI",
    "BadRequestError",
    "ByteStream",
    "ChatCompletionStream",
    "ChatToolRun",
    "ClientStatistics",
    "CompletionStream",
    "ConflictError",
    "Deadlines",
    "ImageStream",
    "InternalServerError",
    "Item",
    "Items",
    "Limiter",
    "Listing",
    "ManyStatistics",
    "NamedEvent",
    "NotFoundError",
    "OpenAIError",
    "Outcome",
    "Page",
    "ParsedChatCompletionStream",
    "ParsedResponseStream",
    "PermissionDeniedError",
    "Permit",
    "RaceError",
    "RateLimitError",
    "RateLimiter",
    "RateStatistics",
    "RawResponse",
    "ResponseStream",
    "ResponseToolRun",
    "Result",
    "RoundDone",
    "RoundEvent",
    "RoundStarted",
    "RunEvent",
    "ServerSentEvent",
    "SpeechStream",
    "Stream",
    "StreamCall",
    "StreamTruncatedError",
    "Subscription",
    "SubscriptionStatistics",
    "Timings",
    "Tool",
    "ToolDone",
    "ToolFailed",
    "ToolRun",
    "ToolRunError",
    "ToolRunStatistics",
    "ToolStarted",
    "TranscriptionStream",
    "TransportStatistics",
    "TrioOpenAI",
    "TrioTransport",
    "UnknownEvent",
    "Unparsed",
    "UnprocessableEntityError",
    "Verdict",
    "__version__",
]

# Where they are, in the order in which to look.
_MODULES = (
    *("_version", "errors", "_client", "_stream", "_fanout", "_limiter", "_many", "_bytes", "_endpoints._pages"),
    *("_statistics", "_sansio.sse", "_sansio.tools", "_raw", "azure", "_parsed_stream", "_tool_run", "types"),
)
_SUBMODULES = ("errors", "types")

if not TYPE_CHECKING:  # a checker would take any name for an attribute
    _find = finder(globals(), _MODULES, "_misuse")

    def __getattr__(name: str) -> object:
        """A name that has not been asked for yet."""
        return importlib.import_module(f"{__name__}.{name}") if name in _SUBMODULES else _find(name)

    def __dir__() -> list[str]:
        """What there is to be asked for."""
        return sorted({*globals(), *__all__, *_SUBMODULES})
