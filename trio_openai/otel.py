"""Spans and metrics of OpenTelemetry for every call of a client.

    from trio_openai.otel import OpenTelemetry

    async with TrioOpenAI(observer=OpenTelemetry()) as client:
        ...

It needs the package `opentelemetry-api` (the extra `otel`). Without an SDK that package does nothing, and so does this.

A call has one span, from its start to its only end. Its attempts are children of it, and so are the tools that its
answer asks for. The names follow the semantic conventions for generative AI; `_observers/genai.py` says which version.

Rules that hold it together:

* The parent of a call's span is the current span of the task that makes the call. That task never sees another current
  span because of us: what is ours is passed on explicitly. Only the task of a tool, which nobody else has, gets the
  tool's span as its current one.
* A span ends whatever happens to the code that describes it, since `ended` is told only once.
* Content is recorded only if the program asks for it. The messages of errors count as content: servers quote requests.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs
import trio

from ._observers import genai, messages
from ._observers.records import (
    AttemptStarted,
    CallEnded,
    CallRecord,
    CallStarted,
    HeadersReceived,
    Observer,
    RetryPlanned,
    ToolCallEnded,
    ToolCallStarted,
)
from ._version import __version__
from ._wire.json import encode_text
from ._wire.text import printable

try:
    from opentelemetry import context, metrics, propagate, trace
    from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode
except ImportError:
    raise ModuleNotFoundError(
        "trio_openai.otel needs opentelemetry-api: pip install 'trio-openai[otel]'", name="opentelemetry"
    ) from None

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanContext, TracerProvider

__all__ = ["OpenTelemetry"]

_CONVENTIONS = "OTEL_SEMCONV_STABILITY_OPT_IN"
_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CONTENT_WORDS = ("true", "span_only", "span_and_event")
_MEASURED = ("gen_ai.response.model", "openai.response.service_tier", "openai.response.system_fingerprint")
_MOST_ENDED = 10_000  # calls that are remembered for the tools that their answers ask for


@attrs.define(eq=False)
class _OpenCall:
    """A call that has not ended.

    Attributes:
        span: its span.
        within: the context for what belongs to the call: its span, and the baggage of the task that made it.
        identity: the attributes that its metrics have.
        began: when it started, on the clock of `time.perf_counter`.
        attempt: the span of the attempt that has not ended.
    """

    span: Span
    within: Context
    identity: dict[str, Any]
    began: float
    attempt: Span | None = None


class OpenTelemetry(Observer):
    """An observer that makes a span for each call, attempt and tool, and the metrics of the conventions.

    Pass it to a client: `TrioOpenAI(observer=OpenTelemetry())`. One object can observe several clients.

    A call that fails or is truncated has the status ERROR, and `error.type` is the name of the exception's class. A
    call that the program left by `break`, by cancellation or by closing the stream has no error. In any case
    `trio_openai.verdict` says how it ended: `done`, `truncated`, `failed` or `closed`.

    The environment variable `OTEL_SEMCONV_STABILITY_OPT_IN` chooses the names, when the object is made. If it contains
    `gen_ai_latest_experimental`, they are those of version 1.41.1 of the semantic conventions, otherwise of 1.36.0.

    Args:
        tracer_provider: makes the spans. By default the global one.
        meter_provider: makes the metrics. By default the global one.
        capture_content: whether to record messages, answers, arguments of tools, and the messages of errors. By default
            the environment variable `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` says it: `true`, `SPAN_ONLY`
            or `SPAN_AND_EVENT`.
        provider: the name of the provider, for a server of which the library does not know it. By default
            `azure.ai.openai` for a resource of Azure, and `openai` for any other server.

    Raises:
        TypeError: An argument has the wrong type.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        capture_content: bool | None = None,
        provider: str | None = None,
    ) -> None:
        _check(tracer_provider, "tracer_provider", "get_tracer", "opentelemetry.sdk.trace.TracerProvider()")
        _check(meter_provider, "meter_provider", "get_meter", "opentelemetry.sdk.metrics.MeterProvider()")
        if provider is not None and (not isinstance(provider, str) or not provider):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"provider takes a name such as 'groq', not {provider!r}")
        if not isinstance(capture_content, bool | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"capture_content takes True, False or None, not {capture_content!r}")
        if capture_content is None:
            capture_content = os.environ.get(_CONTENT, "").strip().lower() in _CONTENT_WORDS
        self._conventions = genai.chosen(os.environ.get(_CONVENTIONS, ""))
        self._captures_content = capture_content
        self._provider = provider
        self._tracer = trace.get_tracer("trio_openai", __version__, tracer_provider, self._conventions.schema_url)
        self._metrics = _Metrics(self._conventions, meter_provider)
        self._calls: dict[int, _OpenCall] = {}
        self._ended: OrderedDict[int, SpanContext] = OrderedDict()
        self._tools: dict[trio.lowlevel.Task, tuple[Span, Token[Context]]] = {}

    def __repr__(self) -> str:
        return f"OpenTelemetry(conventions={self._conventions.schema_url.rpartition('/')[2]})"

    # Calls.

    def started(self, record: CallStarted, /) -> None:
        """Start the span of a call, under the current span of the task that makes it."""
        outside = context.get_current()
        identity = genai.identity_of(record, self._provider)
        span = self._tracer.start_span(
            genai.name_of(record), outside, SpanKind.CLIENT, self._conventions.named(identity)
        )
        within = _inside(span, outside)
        self._calls[record.call_id] = call = _OpenCall(span, within, identity, time.perf_counter())
        if span.is_recording():
            body = genai.body_of(record.body)
            self._set(span, genai.request_attributes(record, body))
            if self._captures_content and genai.has_messages(record):
                self._record_input(call, body)

    def ended(self, record: CallEnded, /) -> None:
        """End the span of a call, and record its metrics."""
        call = self._calls.pop(record.call_id, None)
        if call is None:
            return
        error = _failure(record.error, record.verdict.state)
        try:
            self._end_attempt(call, record.error, error)
            answer = genai.answer_of(record)
            told = genai.answer_attributes(answer) if genai.operation_of(record) else {}
            self._metrics.record(call, record, told, error)
            if call.span.is_recording():
                self._describe_end(call.span, record, {**told, **genai.usage_attributes(record)})
                if self._captures_content and genai.has_messages(record):
                    unfinished = "closed" if error is None else "error"
                    self._record_output(call, messages.output_messages(answer, unfinished))
        finally:
            self._mark(call.span, record.error, error)
            call.span.end()
            self._remember(record.call_id, call.span)

    def _describe_end(self, span: Span, record: CallEnded, told: dict[str, Any]) -> None:
        self._set(span, told)
        self._set(span, {"trio_openai.verdict": record.verdict.state, "trio_openai.attempts": record.attempt})
        if (seconds := record.phases.get("first_event")) is not None:
            self._set(span, {"gen_ai.response.time_to_first_chunk": seconds})

    def _remember(self, call_id: int, span: Span) -> None:
        """Keep the ids of a call's span, since the tools that its answer asks for often start after its end."""
        self._ended[call_id] = span.get_span_context()
        if len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    # Attempts.

    def attempt(self, record: AttemptStarted, /) -> None:
        """Start the span of an attempt, and add the headers by which the server can continue the trace."""
        call = self._calls.get(record.call_id)
        if call is None:
            return
        self._end_attempt(call, None, None)
        call.attempt = self._tracer.start_span(
            genai.name_of_attempt(record), call.within, SpanKind.CLIENT, genai.attempt_attributes(record)
        )
        propagate.inject(record.extra_headers, _inside(call.attempt, call.within))

    def headers(self, record: HeadersReceived, /) -> None:
        """Tell the status of an attempt. Its span ends when its body does."""
        call = self._calls.get(record.call_id)
        if call is not None and call.attempt is not None:
            call.attempt.set_attribute("http.response.status_code", record.status)
            _tell_request_id(call.attempt, record)

    def retry(self, record: RetryPlanned, /) -> None:
        """End the span of an attempt that has failed."""
        if (call := self._calls.get(record.call_id)) is not None:
            if call.attempt is not None:
                _tell_request_id(call.attempt, record)
            self._end_attempt(call, record.error, type(record.error).__name__)

    def _end_attempt(self, call: _OpenCall, raised: BaseException | None, error: str | None) -> None:
        span, call.attempt = call.attempt, None
        if span is None:
            return
        status = getattr(raised, "status_code", None)
        if isinstance(status, int):
            span.set_attribute("http.response.status_code", status)
            error = str(status)
        self._mark(span, raised, error)
        span.end()

    # Tools.

    def tool_started(self, record: ToolCallStarted, /) -> None:
        """Start the span of a tool, as the current one of the tool's task."""
        within = self._tool_context(record.call_id)
        named = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": printable(record.name)}
        kind = SpanKind.INTERNAL
        span = self._tracer.start_span(f"execute_tool {named['gen_ai.tool.name']}", within, kind, named)
        self._set(span, genai.tool_attributes(record, with_content=self._captures_content))
        token = context.attach(_inside(span, within))
        self._tools[trio.lowlevel.current_task()] = span, token

    def tool_ended(self, record: ToolCallEnded, /) -> None:
        """End the span of a tool."""
        started = self._tools.pop(trio.lowlevel.current_task(), None)
        if started is None:
            return
        span, token = started
        context.detach(token)
        try:
            if self._captures_content and record.error is None:
                self._set(span, genai.result_attributes(record))
        finally:
            self._mark(span, record.error, _failure(record.error, ""))
            span.end()

    def _tool_context(self, call_id: int) -> Context:
        """Return the context of this task, with the span of a call as the current one unless it is forgotten."""
        call = self._calls.get(call_id)
        span = call.span.get_span_context() if call is not None else self._ended.get(call_id)
        within = context.get_current()
        return within if span is None else trace.set_span_in_context(NonRecordingSpan(span), within)

    # What spans say.

    def _set(self, span: Span, attributes: dict[str, Any]) -> None:
        span.set_attributes(self._conventions.named(attributes))

    def _mark(self, span: Span, raised: BaseException | None, error: str | None) -> None:
        """Mark a span as failed. `error` is the type of the error, or None if there is none."""
        if error is None:
            return
        span.set_attribute("error.type", error)
        words = printable(str(raised)) if self._captures_content and raised is not None else _safe_words(raised)
        span.set_status(Status(StatusCode.ERROR, words))

    def _record_input(self, call: _OpenCall, body: dict[str, Any]) -> None:
        """Record the messages of a request."""
        span = call.span
        given = messages.input_messages(body)
        system = messages.system_instructions(body)
        if self._conventions.is_latest:
            tools = messages.tool_definitions(body)
            _set_json(span, "gen_ai.system_instructions", system)
            _set_json(span, "gen_ai.input.messages", given)
            _set_json(span, "gen_ai.tool.definitions", tools)
            return
        first = [{"role": "system", "parts": system}] if system else []
        for message in [*first, *given]:
            _add_event(call, *messages.older_event(message))

    def _record_output(self, call: _OpenCall, found: list[dict[str, Any]]) -> None:
        """Record the messages of an answer."""
        if self._conventions.is_latest:
            _set_json(call.span, "gen_ai.output.messages", found)
            return
        for index, message in enumerate(found):
            _add_event(call, *messages.older_choice(index, message))


class _Metrics:
    """The histograms of the conventions for clients.

    Args:
        conventions: their names.
        provider: makes them. By default the global one.
    """

    def __init__(self, conventions: genai.Conventions, provider: MeterProvider | None) -> None:
        meter = metrics.get_meter("trio_openai", __version__, provider, conventions.schema_url)
        self._conventions = conventions
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=genai.SECOND_BUCKETS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=genai.TOKEN_BUCKETS,
        )
        # The older names have none. The metric per chunk is not made: observers are told per call, not per event.
        self._first_chunk = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            unit="s",
            description="Time to receive the first chunk of a streaming response.",
            explicit_bucket_boundaries_advisory=genai.SECOND_BUCKETS,
        )

    def record(self, call: _OpenCall, record: CallEnded, told: dict[str, Any], error: str | None) -> None:
        """Record a call that has ended. A call that runs no model has no metrics."""
        operation = genai.operation_of(record)
        if operation is None:
            return
        more = {name: value for name, value in told.items() if name in _MEASURED}
        about = self._conventions.named({**call.identity, **more})
        failed = {"error.type": error} if error is not None else {}
        within = call.within  # for exemplars, which lead from a metric to a span
        self._duration.record(time.perf_counter() - call.began, {**about, **failed}, within)
        if record.usage is not None:
            self._tokens.record(record.usage.input_tokens, {**about, "gen_ai.token.type": "input"}, within)
            if operation != "embeddings":
                self._tokens.record(record.usage.output_tokens, {**about, "gen_ai.token.type": "output"}, within)
        if self._conventions.is_latest and (seconds := record.phases.get("first_event")) is not None:
            self._first_chunk.record(seconds, about, within)


def _check(provider: object, name: str, method: str, example: str) -> None:
    """Raise `TypeError` unless a provider has the method that is needed of it."""
    if provider is not None and not callable(getattr(provider, method, None)):
        raise TypeError(f"{name} takes an object such as {example}, not {type(provider).__name__}")


def _inside(span: Span, outside: Context) -> Context:
    """Return a context with a span as the current one. Without an SDK, a span may be none, and the parent stays."""
    return trace.set_span_in_context(span, outside) if span.get_span_context().is_valid else outside


def _failure(error: BaseException | None, state: str) -> str | None:
    """Return the type of the error with which a call or a tool ended; None if it is none.

    A cancellation, a closed client and Ctrl-C are the program's own doing.
    """
    if isinstance(error, Exception) and not isinstance(error, trio.ClosedResourceError):
        return type(error).__name__
    return state if state in ("failed", "truncated") else None


def _safe_words(error: BaseException | None) -> str | None:
    """Describe an error in our own words, since its message may quote the request."""
    status = getattr(error, "status_code", None)
    code = getattr(error, "code", None)
    words = [f"HTTP {status}" if isinstance(status, int) else "", code if isinstance(code, str) else ""]
    return printable(" ".join(filter(None, words))) or None


def _tell_request_id(span: Span, record: CallRecord) -> None:
    if record.request_id is not None:
        span.set_attribute("http.response.header.x-request-id", [record.request_id])


def _add_event(call: _OpenCall, name: str, fields: dict[str, Any]) -> None:
    """Add one of the events of version 1.36.0. Its fields are attributes, since a span's events have no body."""
    plain = {key: value if isinstance(value, str | int) else encode_text(value) for key, value in fields.items()}
    safe = {key: printable(value) if isinstance(value, str) else value for key, value in plain.items()}
    call.span.add_event(name, {"gen_ai.system": call.identity["gen_ai.provider.name"], **safe})


def _set_json(span: Span, name: str, value: list[dict[str, Any]]) -> None:
    """Set an attribute to JSON text, which the conventions allow where a span cannot hold structured values."""
    if value:
        span.set_attribute(name, printable(encode_text(value)))
