"""Every error that a server, the network or time can cause.

```text
OpenAIError
└── APIError                          a request failed; it says how far it got
    ├── APIConnectionError            no answer, or not the whole of it
    │   ├── APITimeoutError           a deadline of ours passed (also a `TimeoutError`)
    │   └── StreamTruncatedError      the stream ended before it was whole
    ├── APIStatusError                the server answered 4xx or 5xx
    │   ├── BadRequestError           400
    │   ├── AuthenticationError       401
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── ConflictError             409
    │   ├── UnprocessableEntityError  422
    │   ├── RateLimitError            429
    │   └── InternalServerError       500 and above
    ├── APIResponseValidationError    what came is not the protocol
    ├── RaceError                     every call of a race failed
    └── ToolRunError                  a model and its tools did not come to an end
```

A plain `APIError` is an error that the server reported inside a stream that had begun with status 200. `OpenAIError`
itself is raised for a client that cannot be made, such as one without a key. Misuse is outside this tree: `TypeError`,
`ValueError`, `RuntimeError`, `trio.BusyResourceError`, `trio.ClosedResourceError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx


class OpenAIError(Exception):
    """The root of this library's errors."""


class APIError(OpenAIError):
    """A request failed.

    Attributes:
        message: what happened, in one sentence.
        code: the error's code as the server gave it (often a string, sometimes an integer), or None.
        type: the kind of error as the server gave it, or None.
        param: the parameter that the server blames, or None.
        body: what the server said of it: a decoded JSON value, or text if it was not JSON, or None.
        request_id: the `x-request-id` of the response, or None.
        partial: what had been accumulated when it happened (a `ChatCompletion` or a `Response`), or None if the request
            had no stream or nothing had arrived.
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
        is_final: True if another attempt would fail the same way, so there is none: the answer is not HTTP, say, or a
            proxy refuses.
    """

    is_final: bool = False


class APITimeoutError(APIConnectionError, TimeoutError):
    """A deadline passed.

    Attributes:
        phase: which one: `connect`, `headers`, `first_event`, `first_content`, `idle` or `total`.
    """

    phase: str | None = None


class StreamTruncatedError(APIConnectionError):
    """The stream ended, but what came is not whole.

    There was no terminal event and no `[DONE]`, or a choice was not finished, or half an event was left over.
    Everything that did arrive has been delivered, and is in `partial`.
    """


class APIResponseValidationError(APIError):
    """The server sent what is not the protocol: bad JSON or UTF-8, an event over the limit, no event stream at all."""


class RaceError(APIError):
    """Every call of a race failed.

    Attributes:
        errors: what each of them failed with, in the order of the calls.
    """

    def __init__(self, errors: Sequence[APIError]) -> None:
        words = "; ".join(str(error) for error in errors)
        partial = next((error.partial for error in errors if error.partial is not None), None)
        super().__init__(f"all {len(errors)} calls of the race failed: {words}", partial=partial)
        self.errors = tuple(errors)
        self.__cause__ = ExceptionGroup("the calls of the race", list(errors))  # for whoever reads the traceback

    def __reduce__(self) -> tuple[type[RaceError], tuple[tuple[APIError, ...]]]:
        return RaceError, (self.errors,)


class ToolRunError(APIError):
    """A model and its tools did not come to an end: too many rounds, or calls that cannot be made.

    `partial` is what the model said in the last round.
    """


class APIStatusError(APIError):
    """The server answered 4xx or 5xx.

    Attributes:
        response: the `httpx.Response`, its body read and its connection released.
        status_code: the HTTP status.
    """

    response: httpx.Response
    status_code: int


class BadRequestError(APIStatusError):
    """400: a parameter is wrong."""


class AuthenticationError(APIStatusError):
    """401: no key, or a wrong one."""


class PermissionDeniedError(APIStatusError):
    """403: the key may not do this."""


class NotFoundError(APIStatusError):
    """404: no such model, object or path."""


class ConflictError(APIStatusError):
    """409: somebody else changed it meanwhile."""


class UnprocessableEntityError(APIStatusError):
    """422: the server understands the request and refuses it."""


class RateLimitError(APIStatusError):
    """429: too many requests or tokens, or the quota is used up."""


class InternalServerError(APIStatusError):
    """500 and above: the server failed, or is overloaded."""


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
    """The class for an HTTP status of 400 or above."""
    return _BY_STATUS.get(status_code, InternalServerError if status_code >= 500 else APIStatusError)
