"""A trio-native, structured-concurrency streaming client for OpenAI-compatible APIs.

The way of a byte, and the layers, each of which imports only those below it:

    sync         the client for threads; not imported here. _sync_stream are its
                 streams, _portal the way from a thread into a loop
    _client      the client and its options
    _endpoints   what the API offers, by its names
    _many, _race  many calls for many answers, or for one
    _calls       parameters to a request, a plain answer to an object
    _stream      the stream a program holds
    _pump        a task in the caller's nursery that reads one
    _source      where its events come from: it reads when somebody asks for one
    _fanout      more readers of the same stream, each with a policy
    _request     one call: attempts, redirects, errors; the border to httpx
    _limiter     when an attempt may begin
    _body        the body of a response, whoever's transport it came through
    _transport   httpx's transport interface over trio streams, and the pool;
                 _connection opens and closes a stream, _http1 speaks HTTP
    _sansio      bytes to events, events to snapshots, errors, policy: no I/O
    types, errors
"""

from ._client import ClientStatistics, TrioOpenAI
from ._fanout import Subscription, SubscriptionStatistics
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
from ._sansio.policy import Deadlines
from ._sansio.reader import Verdict
from ._source import Timings
from ._stream import ChatCompletionStream, ResponseStream, Stream, StreamCall
from ._transport import TransportStatistics, TrioTransport
from ._version import __version__
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
    UnprocessableEntityError,
)
from .types import UnknownEvent

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
    "BadRequestError",
    "ChatCompletionStream",
    "ClientStatistics",
    "ConflictError",
    "Deadlines",
    "InternalServerError",
    "Item",
    "Items",
    "Limiter",
    "ManyStatistics",
    "NotFoundError",
    "OpenAIError",
    "Outcome",
    "PermissionDeniedError",
    "Permit",
    "RaceError",
    "RateLimitError",
    "RateLimiter",
    "RateStatistics",
    "ResponseStream",
    "Result",
    "Stream",
    "StreamCall",
    "StreamTruncatedError",
    "Subscription",
    "SubscriptionStatistics",
    "Timings",
    "TransportStatistics",
    "TrioOpenAI",
    "TrioTransport",
    "UnknownEvent",
    "UnprocessableEntityError",
    "Verdict",
    "__version__",
]
