"""Records that an observer is told: one frozen object for each step of a call.

An observer has some of the methods of `Observer`. They are called in the task that makes the call, between two of its
checkpoints, so they must be quick and cannot wait. They are called per call and not per event, so a stream of a
thousand events costs an observer no more than one of three.

For each call the order is fixed: `started`; then for each attempt `limiter_wait` (with a limiter), `attempt`, and
`headers` or `retry`; then `first_event` and `first_content` of a stream; and `ended`, exactly once, however the call
ends. A stream may also have a `retry` after its `headers`.

No record shows a secret in its `repr`. Attributes that may hold private content or secrets are left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.lifecycle import Verdict
from trio_openai._wire.timings import Timings
from trio_openai.errors import APIError


@attrs.frozen(kw_only=True)
class CallRecord:
    """A call at one moment. Every record of a call has these attributes.

    Attributes:
        call_id: a number that all records of one call share, and no other call of this process has.
        method: the HTTP method, such as `POST`.
        endpoint: the path of the endpoint as the API documents it: `/chat/completions`, `/responses/{response_id}`.
        path: the path of the request after the `base_url`, without the values of secret parameters.
        url: the URL of the request without its query.
        model: the model that the call asks for, or None.
        server: the host and the port: `api.openai.com:443`.
        is_stream: whether the call asks for a stream of events.
        attempt: how many attempts have been sent so far.
        request_id: the `x-request-id` that the server gave the latest attempt, once it is known.
        status: the HTTP status that the server gave the latest attempt, once it is known.
        phases: the phases that are over: `limiter`, `headers`, `first_event`, `first_content`. Each has the time at
            which it was over, in seconds since the call started. The first two are those of the attempt that brought
            the first event.
    """

    call_id: int
    method: str
    endpoint: str
    path: str
    url: str
    model: str | None
    server: str
    is_stream: bool
    attempt: int
    request_id: str | None
    status: int | None
    phases: Mapping[str, float]


@attrs.frozen(kw_only=True)
class CallStarted(CallRecord):
    """A call has started. Nothing has been sent.

    Attributes:
        body: the body of the request: JSON as bytes, or None. It may hold private content.
    """

    body: bytes | None = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class LimiterWaited(CallRecord):
    """The client's limiter has permitted an attempt.

    Attributes:
        seconds: how long the attempt waited for it.
    """

    seconds: float


@attrs.frozen(kw_only=True)
class AttemptStarted(CallRecord):
    """An attempt is about to be sent.

    A stream that is resumed asks for the rest of its response. Then `method`, `endpoint`, `path` and `url` are those of
    that request.

    Attributes:
        extra_headers: headers that an observer may add to this attempt, such as `traceparent`. A header that cannot
            be sent is logged and left out.
    """

    extra_headers: MutableMapping[str, str] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class HeadersReceived(CallRecord):
    """The head of a successful response has arrived.

    Attributes:
        headers: the headers of the response. Names are looked up in any case.
    """

    headers: Mapping[str, str] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class FirstEvent(CallRecord):
    """The first event of a stream has arrived."""


@attrs.frozen(kw_only=True)
class FirstContent(CallRecord):
    """The first text, reasoning, refusal, tool call or audio of a stream has arrived."""


@attrs.frozen(kw_only=True)
class RetryPlanned(CallRecord):
    """An attempt has failed, and another will be made.

    Attributes:
        error: how the attempt failed.
        seconds: how long the call waits before the next attempt.
    """

    error: APIError
    seconds: float


@attrs.frozen(kw_only=True)
class CallEnded(CallRecord):
    """A call has ended. This is the last record of the call.

    Attributes:
        verdict: how the call ended: `done`, `truncated`, `failed`, or `closed` if the program left it or was cancelled.
        timings: when things happened.
        usage: the tokens that the call used, or None if the server has not said it.
        error: the error that the call raised, or that the events reported; None if there is none.
        seconds: how long the call took.
    """

    verdict: Verdict
    timings: Timings
    usage: Usage | None
    error: BaseException | None
    seconds: float
    _answer: Callable[[], Any] = attrs.field(repr=False, eq=False)
    _hide: Callable[[str], str] = attrs.field(repr=False, eq=False)

    @property
    def answer(self) -> Any:
        """The result of the call, or the snapshot of its stream; None if there is nothing. Computed when asked for."""
        return self._answer()

    def hidden(self, text: str) -> str:
        """Return a text that the server sent, such as `verdict.reason`, with the key and other secrets as `***`."""
        return self._hide(text)


@attrs.frozen(kw_only=True)
class RaceEnded:
    """A race has a winner, or has ended without one.

    A call is named by its key. A call without a key is named by its position, from 0.

    Attributes:
        winner: the call that won, or None.
        losers: the calls that were started, had not failed, and did not win. They are closed.
        errors: the calls that failed, each with its error.
        seconds: how long the race took.
        error: what the race raised: `RaceError` if several calls failed, a cancellation, and so on; None with a winner.
    """

    winner: Any
    losers: Sequence[Any]
    errors: Mapping[Any, APIError]
    seconds: float
    error: BaseException | None


@attrs.frozen(kw_only=True)
class ManyEnded:
    """A `run_many` or `stream_many` has ended.

    Attributes:
        function: `run_many` or `stream_many`.
        done: how many calls completed.
        failed: how many calls failed.
        closed: how many calls had been taken from the iterable and were closed before their end.
        usage: the tokens of all calls.
        seconds: how long it took.
        error: the exception that ended it, also one of the program's block or a cancellation; None if there was none.
    """

    function: str
    done: int
    failed: int
    closed: int
    usage: Usage
    seconds: float
    error: BaseException | None


@attrs.frozen(kw_only=True)
class ToolCallStarted:
    """A tool is about to run. The observer is told in the task of the tool.

    Attributes:
        run_id: a number that all records of one `run_tools` share, and no other run of this process has.
        call_id: the `call_id` of the call whose answer asks for the tool.
        name: the name of the tool.
        description: what the model is told of the tool, or None.
        tool_call_id: the id that the model gave the call.
        round: the number of the round, from 1.
        arguments: the arguments as the model wrote them. They may hold private content.
    """

    run_id: int
    call_id: int
    name: str
    description: str | None
    tool_call_id: str | None
    round: int
    arguments: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class ToolCallEnded(ToolCallStarted):
    """A tool has ended. The observer is told in the task of the tool, once for each tool that started.

    Attributes:
        seconds: how long it ran.
        result: what it returned, or None. It may hold private content.
        error: the exception that it raised, also a cancellation; None if it returned.
    """

    seconds: float
    result: Any = attrs.field(repr=False)
    error: BaseException | None


@attrs.frozen(kw_only=True)
class ToolRoundEnded:
    """A round of `run_tools` has ended: one answer of the model, and the tools that it asked for.

    The observer is told of a round that is not complete at the end of the block, when all tools have ended.

    Attributes:
        run_id: a number that all records of one `run_tools` share, and no other run of this process has.
        call_id: the `call_id` of the call that brought the answer; None if its request failed.
        round: the number of the round, from 1.
        tools: the names of the tools that ran, in the order in which they started.
        seconds: how long the round took.
        error: the exception that ended the round before it was complete; None for a complete round.
    """

    run_id: int
    call_id: int | None
    round: int
    tools: Sequence[str]
    seconds: float
    error: BaseException | None


class Observer:
    """The base class of what `TrioOpenAI(observer=...)` takes. Override the methods that you need.

    The others do nothing. The methods are plain functions. They are called in the thread of the event loop that makes
    the call: with `SyncOpenAI` that is the client's own thread, or the loop that the calling worker thread belongs to.

    An exception that a method raises is logged, and changes nothing else. `KeyboardInterrupt` and other exceptions that
    are not an `Exception` reach the program, after the other observers have been told and the connection is released.
    """

    def started(self, record: CallStarted, /) -> None:
        """Hear that a call has started."""

    def limiter_wait(self, record: LimiterWaited, /) -> None:
        """Hear how long the limiter made an attempt wait."""

    def attempt(self, record: AttemptStarted, /) -> None:
        """Hear that an attempt is about to be sent."""

    def headers(self, record: HeadersReceived, /) -> None:
        """Hear that the head of a successful response has arrived."""

    def first_event(self, record: FirstEvent, /) -> None:
        """Hear that the first event of a stream has arrived."""

    def first_content(self, record: FirstContent, /) -> None:
        """Hear that the first content of a stream has arrived."""

    def retry(self, record: RetryPlanned, /) -> None:
        """Hear that an attempt has failed and another will be made."""

    def ended(self, record: CallEnded, /) -> None:
        """Hear that a call has ended. This is called exactly once for each call that started."""

    def race(self, record: RaceEnded, /) -> None:
        """Hear who won a race, and who lost it. This is called once for each race."""

    def many(self, record: ManyEnded, /) -> None:
        """Hear that a `run_many` or `stream_many` has ended. This is called once for each."""

    def tool_started(self, record: ToolCallStarted, /) -> None:
        """Hear that `run_tools` is about to run a tool."""

    def tool_ended(self, record: ToolCallEnded, /) -> None:
        """Hear that a tool has ended."""

    def round(self, record: ToolRoundEnded, /) -> None:
        """Hear that a round of `run_tools` has ended."""


METHODS = tuple(name for name, value in vars(Observer).items() if callable(value) and not name.startswith("_"))
"""The names of the methods that an observer may have."""
