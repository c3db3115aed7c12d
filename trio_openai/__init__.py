"""A trio-native, structured-concurrency streaming client for OpenAI-compatible APIs.

The way of a byte, and the layers, each of which imports only those below it:

    sync         the client for threads; not imported here. _sync_endpoints are
                 its endpoints, _sync_calls their way to those below,
                 _sync_stream its streams, _portal the way into a loop
    _client      the client and its options
    _endpoints   what the API offers, by its names
    _many, _race  many calls for many answers, or for one
    _calls       parameters to a request, a plain answer to an object
    _stream      the stream a program holds
    _pump        a task in the caller's nursery that reads one
    _source      where its events come from: it reads when somebody asks for one;
                 _bytes is the same for an answer that is not made of events
    _fanout      more readers of the same stream, each with a policy
    _request     one call: attempts, redirects, errors; the border to httpx
    _limiter     when an attempt may begin
    _body        the body of a response, whoever's transport it came through;
                 _upload the files in a request's, read while they are sent
    _transport   httpx's transport interface over trio streams, and the pool
    _proxy       which proxy a URL goes through, and how
    _connection, _http1  opens, writes and closes a stream; speaks HTTP
    _sansio      bytes to events, events to snapshots, errors, policy: no I/O
    types, errors
"""

from ._bytes import ByteStream
from ._client import ClientStatistics, TrioOpenAI
from ._endpoints._pages import Listing, Page
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
from .types import NamedEvent, UnknownEvent

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
    "ByteStream",
    "ChatCompletionStream",
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
    "PermissionDeniedError",
    "Permit",
    "RaceError",
    "RateLimitError",
    "RateLimiter",
    "RateStatistics",
    "ResponseStream",
    "Result",
    "SpeechStream",
    "Stream",
    "StreamCall",
    "StreamTruncatedError",
    "Subscription",
    "SubscriptionStatistics",
    "Timings",
    "TranscriptionStream",
    "TransportStatistics",
    "TrioOpenAI",
    "TrioTransport",
    "UnknownEvent",
    "UnprocessableEntityError",
    "Verdict",
    "__version__",
]
