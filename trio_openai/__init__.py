"""A trio-native, structured-concurrency streaming client for OpenAI-compatible APIs.

The folders, from top to bottom. Each imports only what is below it. Its `__init__.py` says which file to read first.

    _cli         the command line and its demo
    testing      a scripted server for tests; `local` runs a model on this machine
    batch        files of requests; `_batch` has its implementation
    sync         the blocking client; `_sync` has its implementation
    azure        the client for Azure OpenAI
    _client      the client
    _endpoints   the endpoints of the API, under its own names
    _tools       runs of a model with Python functions as tools
    _concurrent  many requests at a time: run_many, stream_many, race
    _stream      the streams that a program iterates, and their subscribers
    _request     the options, one request and its attempts
    _http        the pool, connections, HTTP/1.1, proxies, uploads
    _limits      rate limits and adaptive limits
    _protocols   the events of each API, and the result that they add up to; no I/O
    _wire        SSE, JSON, the lifecycle of a stream, retries; no I/O
    types        the objects and parameters of the API
    errors       the exceptions

A byte goes from the socket through `_http/connection.py` to `_stream/source.py`, which feeds `_wire/lifecycle.py` and
hands out typed events.

A public name is imported when a program first uses it. trio, httpx and the client take some 100 ms to import, which
`--help` and a program that only needs `errors` should not pay for.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING

from ._lazy_names import import_name

if TYPE_CHECKING:
    from ._client import TrioOpenAI as TrioOpenAI
    from ._concurrent.progress import progress as progress
    from ._deadlines import Deadlines as Deadlines
    from ._endpoints._pages import Listing as Listing, Page as Page
    from ._http.transport import TrioTransport as TrioTransport
    from ._limits.limiter import (
        AdaptiveLimiter as AdaptiveLimiter,
        AdaptiveStatistics as AdaptiveStatistics,
        Attempt as Attempt,
        Limiter as Limiter,
        Outcome as Outcome,
        Permit as Permit,
        RateLimiter as RateLimiter,
        RateStatistics as RateStatistics,
    )
    from ._observers.records import (
        AttemptStarted as AttemptStarted,
        CallEnded as CallEnded,
        CallRecord as CallRecord,
        CallStarted as CallStarted,
        FirstContent as FirstContent,
        FirstEvent as FirstEvent,
        HeadersReceived as HeadersReceived,
        LimiterWaited as LimiterWaited,
        ManyEnded as ManyEnded,
        Observer as Observer,
        RaceEnded as RaceEnded,
        RetryPlanned as RetryPlanned,
        ToolCallEnded as ToolCallEnded,
        ToolCallStarted as ToolCallStarted,
        ToolRoundEnded as ToolRoundEnded,
    )
    from ._request.raw_response import RawResponse as RawResponse
    from ._statistics import (
        ClientStatistics as ClientStatistics,
        ServersStatistics as ServersStatistics,
        ServerStatus as ServerStatus,
        SubscriptionStatistics as SubscriptionStatistics,
        TransportStatistics as TransportStatistics,
        Usage as Usage,
    )
    from ._stream.bytes import ByteStream as ByteStream
    from ._stream.fanout import Subscription as Subscription
    from ._stream.parsed import (
        ParsedChatCompletionStream as ParsedChatCompletionStream,
        ParsedResponseStream as ParsedResponseStream,
    )
    from ._stream.kinds import (
        ChatCompletionStream as ChatCompletionStream,
        CompletionStream as CompletionStream,
        ImageStream as ImageStream,
        ResponseStream as ResponseStream,
        SpeechStream as SpeechStream,
        TranscriptionStream as TranscriptionStream,
    )
    from ._stream.results import (
        Item as Item,
        Items as Items,
        ItemsManager as ItemsManager,
        ManyStatistics as ManyStatistics,
        Result as Result,
    )
    from ._stream.stream import Stream as Stream, StreamCall as StreamCall
    from ._tools.events import (
        RoundDone as RoundDone,
        RoundEvent as RoundEvent,
        RoundStarted as RoundStarted,
        RunEvent as RunEvent,
        ToolDone as ToolDone,
        ToolFailed as ToolFailed,
        ToolRefused as ToolRefused,
        ToolStarted as ToolStarted,
    )
    from ._tools.hooks import ToolRequest as ToolRequest
    from ._tools.plan import ToolRunStatistics as ToolRunStatistics
    from ._tools.run import (
        ChatToolRun as ChatToolRun,
        ResponseToolRun as ResponseToolRun,
        ToolRun as ToolRun,
    )
    from ._tools.tool import Tool as Tool
    from ._version import __version__ as __version__
    from ._wire.lifecycle import Verdict as Verdict
    from ._wire.sse_block import ServerSentEvent as ServerSentEvent
    from ._wire.timings import Timings as Timings
    from .azure import AzureOpenAI as AzureOpenAI
    from .errors import (
        APIConnectionError as APIConnectionError,
        APIError as APIError,
        APIResponseValidationError as APIResponseValidationError,
        APIStatusError as APIStatusError,
        APITimeoutError as APITimeoutError,
        AuthenticationError as AuthenticationError,
        BadRequestError as BadRequestError,
        BatchJobError as BatchJobError,
        ConflictError as ConflictError,
        InternalServerError as InternalServerError,
        InvalidWebhookSignatureError as InvalidWebhookSignatureError,
        NotFoundError as NotFoundError,
        OpenAIError as OpenAIError,
        PermissionDeniedError as PermissionDeniedError,
        RaceError as RaceError,
        RateLimitError as RateLimitError,
        StreamTruncatedError as StreamTruncatedError,
        ToolRunError as ToolRunError,
        UnprocessableEntityError as UnprocessableEntityError,
    )
    from .servers import Server as Server, Servers as Servers
    from .sync import SyncAzureOpenAI as SyncAzureOpenAI, SyncOpenAI as SyncOpenAI
    from .types import (
        AnswerAttempt as AnswerAttempt,
        NamedEvent as NamedEvent,
        UnknownEvent as UnknownEvent,
        Unparsed as Unparsed,
        WireObject as WireObject,
    )

# The module of each public name. The imports above say the same to type checkers, and a test compares the two.
_NAMES = {
    "_client": "TrioOpenAI",
    "_concurrent.progress": "progress",
    "_endpoints._pages": "Listing Page",
    "_http.transport": "TrioTransport",
    "_observers.records": (
        "AttemptStarted CallEnded CallRecord CallStarted FirstContent FirstEvent HeadersReceived LimiterWaited "
        "ManyEnded Observer RaceEnded RetryPlanned ToolCallEnded ToolCallStarted ToolRoundEnded"
    ),
    "_limits.limiter": "AdaptiveLimiter AdaptiveStatistics Attempt Limiter Outcome Permit RateLimiter RateStatistics",
    "_request.raw_response": "RawResponse",
    "_statistics": ("ClientStatistics ServersStatistics ServerStatus SubscriptionStatistics TransportStatistics Usage"),
    "_stream.bytes": "ByteStream",
    "_stream.fanout": "Subscription",
    "_stream.parsed": "ParsedChatCompletionStream ParsedResponseStream",
    "_stream.kinds": (
        "ChatCompletionStream CompletionStream ImageStream ResponseStream SpeechStream TranscriptionStream"
    ),
    "_stream.results": "Item Items ItemsManager ManyStatistics Result",
    "_stream.stream": "Stream StreamCall",
    "_tools.events": "RoundDone RoundEvent RoundStarted RunEvent ToolDone ToolFailed ToolRefused ToolStarted",
    "_tools.hooks": "ToolRequest",
    "_tools.plan": "ToolRunStatistics",
    "_tools.run": "ChatToolRun ResponseToolRun ToolRun",
    "_tools.tool": "Tool",
    "_version": "__version__",
    "_deadlines": "Deadlines",
    "_wire.lifecycle": "Verdict",
    "_wire.sse_block": "ServerSentEvent",
    "_wire.timings": "Timings",
    "azure": "AzureOpenAI",
    "errors": (
        "APIConnectionError APIError APIResponseValidationError APIStatusError APITimeoutError "
        "AuthenticationError BadRequestError BatchJobError ConflictError InternalServerError "
        "InvalidWebhookSignatureError NotFoundError OpenAIError "
        "PermissionDeniedError RaceError RateLimitError StreamTruncatedError ToolRunError "
        "UnprocessableEntityError"
    ),
    "servers": "Server Servers",
    "sync": "SyncAzureOpenAI SyncOpenAI",
    "types": "AnswerAttempt NamedEvent UnknownEvent Unparsed WireObject",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}
_SUBMODULES = ("batch", "errors", "types")

if not TYPE_CHECKING:  # with `__getattr__`, type checkers would accept any name
    __all__ = list(_MODULE_OF)

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for (PEP 562)."""
        if name in _SUBMODULES:
            return importlib.import_module(f"{__name__}.{name}")
        return import_name(globals(), _MODULE_OF, name, hints="_mistakes")

    def __dir__() -> list[str]:
        """List the public names, including those that have not been imported yet."""
        return sorted({*globals(), *__all__, *_SUBMODULES})


if _level := os.environ.get("TRIO_OPENAI_LOG"):
    from ._observers.environment import set_up_log

    set_up_log(_level)
