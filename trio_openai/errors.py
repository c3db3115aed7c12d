"""Every error that a server, the network or a deadline can cause.

```text
OpenAIError                           the client cannot be created, for example without an API key
├── BatchJobError                     a batch job cannot read its input or write its output       .unsaved
├── InvalidWebhookSignatureError      a webhook does not come from OpenAI, or is too old (also a `ValueError`)
└── APIError                          a request failed, or the server reported an error inside a stream
    │                                 .message .code .type .param .body .request_id .partial
    ├── APIConnectionError            the server was not reached, or the connection broke     .is_final
    │   ├── APITimeoutError           a deadline passed (also a `TimeoutError`)               .phase
    │   └── StreamTruncatedError      the stream ended before it was complete
    ├── APIStatusError                the server answered 4xx or 5xx         .response .status_code
    │   ├── BadRequestError           400
    │   ├── AuthenticationError       401
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── ConflictError             409
    │   ├── UnprocessableEntityError  422
    │   ├── RateLimitError            429
    │   └── InternalServerError       500 and above
    ├── APIResponseValidationError    the response does not follow the protocol
    ├── RaceError                     every call of a race failed            .errors
    └── ToolRunError                  the model and its tools did not come to an end
```

The attributes of a class are shown to its right, and its subclasses have them too. The names are openai-python's. Every
error raised after the request was sent carries what is known of the response: `request_id`, and `partial`, which is the
snapshot so far. So a program never loses the text that it has already paid for (promise 3).

Mistakes of the program are outside this tree: `TypeError`, `ValueError`, `RuntimeError`, `trio.BusyResourceError` and
`trio.ClosedResourceError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_openai._httpx import httpx


class OpenAIError(Exception):
    """The base class of this library's errors."""


class BatchJobError(OpenAIError):
    """A batch job cannot go on: its input cannot be read, or its output cannot be written.

    Attributes:
        unsaved: the output lines, as dictionaries, of answers that could not be written.
    """

    def __init__(self, message: str, unsaved: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.unsaved: tuple[dict[str, Any], ...] = tuple(unsaved)

    def __reduce__(self) -> tuple[type[BatchJobError], tuple[str, tuple[dict[str, Any], ...]]]:
        return BatchJobError, (str(self), self.unsaved)


class InvalidWebhookSignatureError(OpenAIError, ValueError):
    """A webhook was not signed with the secret, or is too old. Do not act on it."""


class APIError(OpenAIError):
    """A request failed.

    Attributes:
        message: what happened, in one sentence.
        code: the error code that the server sent (usually a string, sometimes an integer), or None.
        type: the kind of error that the server sent, or None.
        param: the parameter that the server blames, or None.
        body: the server's error as decoded JSON, as text if it is not JSON, or None.
        request_id: the `x-request-id` of the response, or None.
        partial: everything received before the error (a `ChatCompletion` or a `Response`), or None if the request has
            no stream or nothing arrived.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | int | None = None,
        type: str | None = None,
        param: str | None = None,
        body: object = None,
        request_id: str | None = None,
        partial: Any = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.type = type
        self.param = param
        self.body = body
        self.request_id = request_id
        self.partial = partial


class APIConnectionError(APIError):
    """The server could not be reached, or the connection broke.

    Attributes:
        is_final: True if another attempt would fail in the same way, so there is no retry. For example, the response is
            not HTTP, or a proxy refuses.
    """

    is_final: bool = False


class APITimeoutError(APIConnectionError, TimeoutError):
    """A deadline passed.

    Attributes:
        phase: the deadline: `connect`, `headers`, `first_event`, `first_content`, `idle` or `total`.
    """

    phase: str | None = None


class StreamTruncatedError(APIConnectionError):
    """The stream ended before it was complete.

    There was no terminal event and no `[DONE]`, a choice was unfinished, or the last event was incomplete. Everything
    that arrived has been delivered and is in `partial`.
    """


class APIResponseValidationError(APIError):
    """The response does not follow the protocol: invalid JSON or UTF-8, an oversized event, or not an event stream."""


class RaceError(APIError):
    """Every call of a race failed.

    Attributes:
        errors: the errors of the calls, in the order of the calls.
    """

    def __init__(self, errors: Sequence[APIError]) -> None:
        words = "; ".join(str(error) for error in errors)
        partial = next((error.partial for error in errors if error.partial is not None), None)
        super().__init__(f"all {len(errors)} calls of the race failed: {words}", partial=partial)
        self.errors: tuple[APIError, ...] = tuple(errors)
        # An exception group shows every traceback.
        self.__cause__: BaseException | None = ExceptionGroup("the calls of the race", list(errors))

    def __reduce__(self) -> tuple[type[RaceError], tuple[tuple[APIError, ...]]]:
        # Exception.__reduce__ would call the class with the message, which is not what __init__ takes.
        return RaceError, (self.errors,)


class ToolRunError(APIError):
    """The model and its tools did not come to an end: there were too many rounds, or calls that cannot be made.

    `partial` is the model's message of the last round.
    """


class APIStatusError(APIError):
    """The server answered 4xx or 5xx.

    Attributes:
        response: the `httpx.Response`. Its body has been read and its connection released.
        status_code: the HTTP status.
    """

    response: httpx.Response
    status_code: int


class BadRequestError(APIStatusError):
    """400: a parameter is invalid."""


class AuthenticationError(APIStatusError):
    """401: the API key is missing or wrong."""


class PermissionDeniedError(APIStatusError):
    """403: the API key has no permission for this."""


class NotFoundError(APIStatusError):
    """404: the model, object or path does not exist."""


class ConflictError(APIStatusError):
    """409: somebody else changed the object at the same time."""


class UnprocessableEntityError(APIStatusError):
    """422: the server understands the request and refuses it."""


class RateLimitError(APIStatusError):
    """429: there were too many requests or tokens, or the quota is exhausted."""


class InternalServerError(APIStatusError):
    """500 and above: the server failed or is overloaded."""


_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableEntityError,
    429: RateLimitError,
}


def status_error_class(status_code: int) -> type[APIStatusError]:
    """Return the error class for an HTTP status of 400 or above."""
    return _BY_STATUS.get(status_code, InternalServerError if status_code >= 500 else APIStatusError)
