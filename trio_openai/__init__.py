"""A trio-native, structured-concurrency streaming client for OpenAI-compatible APIs.

The folders, from the top down. Each imports only what is below it, and says in its `__init__.py` what to read first:

    _cli         the command line and its demo
    testing      a scripted server for tests; local, a model on this machine
    sync         the client for threads; _sync, what is behind it
    azure        the client of a resource on Azure
    _client      the client
    _endpoints   what the API offers, under its own names
    _tools       a model and the functions that it calls
    _concurrent  many calls for many answers, or for one
    _stream      what a program iterates, and who else gets the events
    _request     the options, one request and its attempts
    _http        the pool, connections, HTTP/1.1, proxies, uploads
    _limits      when an attempt may begin
    _protocols   each API's events and what they add up to: no I/O
    _wire        SSE, JSON, the life of a stream, retries: no I/O
    types        the objects that the API sends and takes
    errors       what can go wrong

A byte goes from the socket through `_http/connection.py` to `_stream/source.py`, which feeds `_wire/lifecycle.py` and
hands out typed events.

A name is imported when it is first asked for, so that a program, and `--help`, pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ._lazy_names import import_name

if TYPE_CHECKING:
    from ._client import TrioOpenAI
    from ._concurrent.many import Item, Items, ManyStatistics, Result
    from ._deadlines import Deadlines
    from ._endpoints._pages import Listing, Page
    from ._http.transport import TrioTransport
    from ._limits.limiter import (
        AdaptiveLimiter,
        AdaptiveStatistics,
        Attempt,
        Limiter,
        Outcome,
        Permit,
        RateLimiter,
        RateStatistics,
    )
    from ._request.raw_response import RawResponse
    from ._statistics import ClientStatistics, SubscriptionStatistics, TransportStatistics
    from ._stream.bytes import ByteStream
    from ._stream.fanout import Subscription
    from ._stream.parsed import ParsedChatCompletionStream, ParsedResponseStream
    from ._stream.stream import (
        ChatCompletionStream,
        CompletionStream,
        ImageStream,
        ResponseStream,
        SpeechStream,
        Stream,
        StreamCall,
        TranscriptionStream,
    )
    from ._stream.timings import Timings
    from ._tools.events import RoundDone, RoundEvent, RoundStarted, RunEvent, ToolDone, ToolFailed, ToolStarted
    from ._tools.run import ChatToolRun, ResponseToolRun, ToolRun, ToolRunStatistics
    from ._tools.tool import Tool
    from ._version import __version__
    from ._wire.lifecycle import Verdict
    from ._wire.sse import ServerSentEvent
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

# Where each public name is. It is imported when it is first asked for.
_NAMES = {
    "_client": "TrioOpenAI",
    "_concurrent.many": "Item Items ManyStatistics Result",
    "_endpoints._pages": "Listing Page",
    "_http.transport": "TrioTransport",
    "_limits.limiter": "AdaptiveLimiter AdaptiveStatistics Attempt Limiter Outcome Permit RateLimiter RateStatistics",
    "_request.raw_response": "RawResponse",
    "_statistics": "ClientStatistics SubscriptionStatistics TransportStatistics",
    "_stream.bytes": "ByteStream",
    "_stream.fanout": "Subscription",
    "_stream.parsed": "ParsedChatCompletionStream ParsedResponseStream",
    "_stream.stream": (
        "ChatCompletionStream CompletionStream ImageStream ResponseStream SpeechStream Stream StreamCall "
        "TranscriptionStream"
    ),
    "_stream.timings": "Timings",
    "_tools.events": "RoundDone RoundEvent RoundStarted RunEvent ToolDone ToolFailed ToolStarted",
    "_tools.run": "ChatToolRun ResponseToolRun ToolRun ToolRunStatistics",
    "_tools.tool": "Tool",
    "_version": "__version__",
    "_deadlines": "Deadlines",
    "_wire.lifecycle": "Verdict",
    "_wire.sse": "ServerSentEvent",
    "azure": "AzureOpenAI",
    "errors": (
        "APIConnectionError APIError APIResponseValidationError APIStatusError APITimeoutError "
        "AuthenticationError BadRequestError ConflictError InternalServerError NotFoundError OpenAIError "
        "PermissionDeniedError RaceError RateLimitError StreamTruncatedError ToolRunError "
        "UnprocessableEntityError"
    ),
    "types": "NamedEvent UnknownEvent Unparsed",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
_SUBMODULES = ("errors", "types")

if not TYPE_CHECKING:  # a checker would take any name for an attribute

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        return import_name(globals(), _MODULE_OF, name, hints="_mistakes")

    def __dir__() -> list[str]:
        """List the public names, also those that are not imported yet."""
        return sorted({*globals(), *__all__, *_SUBMODULES})
