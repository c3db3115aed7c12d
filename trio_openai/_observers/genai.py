"""Name the facts of a call as OpenTelemetry's semantic conventions for generative AI do. Imports no OpenTelemetry.

There are two sets of names. Everything here uses the newer one, and `Conventions.named` translates to the older:

* `LATEST` is version 1.41.1 of the semantic conventions (May 2026), the last one with conventions for generative AI.
  Then they moved to a repository of their own, semantic-conventions-genai. Its first version, 0.1.0, keeps nearly all
  attributes and renames the metrics (`gen_ai.client.inference.*`). It is not supported yet.
* `RELEASED` is version 1.36.0 (July 2025). The conventions ask instrumentations to use it by default, and the newer
  names only if `OTEL_SEMCONV_STABILITY_OPT_IN` contains `gen_ai_latest_experimental`.

Names of attempts (`http.*`, `url.*`) are those of the stable conventions for HTTP, which are the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from trio_openai._wire.encode import result_text
from trio_openai._wire.json import decode_json, is_array, is_object
from trio_openai._wire.text import printable
from trio_openai.errors import APIError
from trio_openai.types._base import WireObject
from trio_openai.types._plain import current
from trio_openai.types._raw import Raw, objects_in

from .records import CallEnded, CallRecord, ToolCallEnded, ToolCallStarted

Attributes = dict[str, Any]

_OLDER_NAMES: Mapping[str, str | None] = {
    "gen_ai.provider.name": "gen_ai.system",
    "openai.request.service_tier": "gen_ai.openai.request.service_tier",
    "openai.response.service_tier": "gen_ai.openai.response.service_tier",
    "openai.response.system_fingerprint": "gen_ai.openai.response.system_fingerprint",
    # Version 1.36.0 has no names for these.
    "openai.api.type": None,
    "gen_ai.request.stream": None,
    "gen_ai.response.time_to_first_chunk": None,
    "gen_ai.usage.cache_read.input_tokens": None,
    "gen_ai.usage.reasoning.output_tokens": None,
    "gen_ai.embeddings.dimension.count": None,
    "gen_ai.tool.call.arguments": None,
    "gen_ai.tool.call.result": None,
}


@attrs.frozen
class Conventions:
    """One version of the conventions.

    Attributes:
        schema_url: what names the version to whoever reads the spans.
        is_latest: whether it is the newer set of names.
    """

    schema_url: str
    is_latest: bool

    def named(self, attributes: Attributes) -> Attributes:
        """Return attributes under the names of this version, without those that it has no name for."""
        if self.is_latest:
            return attributes
        older = {_OLDER_NAMES.get(name, name): value for name, value in attributes.items()}
        return {name: value for name, value in older.items() if name is not None}


RELEASED = Conventions("https://opentelemetry.io/schemas/1.36.0", is_latest=False)
LATEST = Conventions("https://opentelemetry.io/schemas/1.41.0", is_latest=True)  # 1.41.1 has no schema of its own
OPT_IN = "gen_ai_latest_experimental"

# The boundaries of the buckets that the conventions (both versions) state for their histograms.
TOKEN_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864]
SECOND_BUCKETS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]


def chosen(opt_in: str) -> Conventions:
    """Return the conventions that a value of `OTEL_SEMCONV_STABILITY_OPT_IN` chooses."""
    return LATEST if OPT_IN in (word.strip() for word in opt_in.split(",")) else RELEASED


# The call.

_OPERATIONS = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/images/generations": "generate_content",
    "/images/edits": "generate_content",
    "/images/variations": "generate_content",
    "/audio/speech": "generate_content",
    "/audio/transcriptions": "generate_content",
    "/audio/translations": "generate_content",
}
_API_TYPES = {"/chat/completions": "chat_completions", "/responses": "responses"}
_OUTPUT_TYPES = {"images": "image", "audio/speech": "speech"}
_AZURE = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com", ".openai.azure.us")


def operation_of(record: CallRecord) -> str | None:
    """Return the name of the operation, or None if the conventions have none: the call does not run a model."""
    return _OPERATIONS.get(record.endpoint) if record.method == "POST" else None


def has_messages(record: CallRecord) -> bool:
    """Return whether the conventions have messages for what a call sends and returns."""
    return operation_of(record) in ("chat", "text_completion")


def provider_of(server: str) -> str:
    """Return the provider: that of the API that the server speaks, as the conventions want it."""
    return "azure.ai.openai" if _host_and_port(server)[0].endswith(_AZURE) else "openai"


def name_of(record: CallRecord) -> str:
    """Return the name of a call's span."""
    operation = operation_of(record)
    if operation is None:
        return name_of_attempt(record)
    return f"{operation} {printable(record.model)}" if record.model else operation


def identity_of(record: CallRecord, provider: str | None) -> Attributes:
    """Return what is known of a call before it starts, for the decision to sample it and for metrics."""
    host, port = _host_and_port(record.server)
    what: Attributes = {"gen_ai.operation.name": operation_of(record), "gen_ai.request.model": record.model}
    if what["gen_ai.operation.name"] is None:
        what = {"http.request.method": record.method, "url.template": record.endpoint}
    return _stated(
        **what,
        **{"gen_ai.provider.name": provider or provider_of(record.server), "server.address": host, "server.port": port},
    )


def _host_and_port(server: str) -> tuple[str, int | None]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else None


# The request.

_NUMBERS: Mapping[str, tuple[str, type]] = {
    "temperature": ("gen_ai.request.temperature", float),
    "top_p": ("gen_ai.request.top_p", float),
    "top_k": ("gen_ai.request.top_k", float),  # servers other than OpenAI's have it
    "frequency_penalty": ("gen_ai.request.frequency_penalty", float),
    "presence_penalty": ("gen_ai.request.presence_penalty", float),
    "seed": ("gen_ai.request.seed", int),
    "max_tokens": ("gen_ai.request.max_tokens", int),
    "max_output_tokens": ("gen_ai.request.max_tokens", int),
    "max_completion_tokens": ("gen_ai.request.max_tokens", int),
    "dimensions": ("gen_ai.embeddings.dimension.count", int),
}


def body_of(content: bytes | None) -> Raw:
    """Return the decoded body of a request; an empty one if it is not a JSON object."""
    if not content:
        return {}
    try:
        body = decode_json(content)
    except ValueError:
        return {}
    return body if is_object(body) else {}


def request_attributes(record: CallRecord, body: Raw) -> Attributes:
    """Return the attributes that tell the parameters of a request."""
    if operation_of(record) is None:
        return {}
    numbers = {name: kind(value) for key, (name, kind) in _NUMBERS.items() if _is_number(value := body.get(key))}
    choices, tier, stop = body.get("n"), body.get("service_tier"), body.get("stop")
    encoding, conversation = body.get("encoding_format"), body.get("conversation")
    others = {
        "gen_ai.request.choice.count": choices if type(choices) is int and choices != 1 else None,
        "gen_ai.request.stop_sequences": [stop] if isinstance(stop, str) else stop if is_array(stop) else None,
        "gen_ai.request.encoding_formats": [encoding] if isinstance(encoding, str) else None,
        "gen_ai.request.stream": record.is_stream or None,
        "gen_ai.output.type": _output_type(record, body),
        "gen_ai.conversation.id": _text(conversation.get("id") if is_object(conversation) else conversation),
        "openai.request.service_tier": None if tier == "auto" else _text(tier),
        "openai.api.type": _API_TYPES.get(record.endpoint),
    }
    return {**numbers, **_stated(**others)}


def _output_type(record: CallRecord, body: Raw) -> str | None:
    for path, output in _OUTPUT_TYPES.items():
        if record.endpoint.startswith(f"/{path}"):
            return output
    text = body.get("text")
    wanted = body.get("response_format") or (text.get("format") if is_object(text) else None)
    kind = wanted.get("type") if is_object(wanted) else None
    return "json" if kind in ("json_object", "json_schema") else "text" if kind == "text" else None


# The answer.


def answer_of(record: CallEnded) -> Raw:
    """Return what a call returned as a JSON object; an empty one if there is nothing, or no object."""
    answer = record.answer
    if callable(parse := getattr(answer, "parse", None)):  # a `RawResponse`
        try:
            answer = parse()
        except APIError:  # the program hears of it if it calls `parse` itself
            return {}
    if isinstance(answer, WireObject):
        return current(answer)
    return {}


def answer_attributes(answer: Raw) -> Attributes:
    """Return the attributes that tell what came back. A finish reason is there only if the server has sent one."""
    return _stated(
        **{
            "gen_ai.response.id": _text(answer.get("id")),
            "gen_ai.response.model": _text(answer.get("model")),
            "gen_ai.response.finish_reasons": [reason for reason in finish_reasons(answer) if reason] or None,
            "openai.response.service_tier": _text(answer.get("service_tier")),
            "openai.response.system_fingerprint": _text(answer.get("system_fingerprint")),
        }
    )


def finish_reasons(answer: Raw) -> list[str | None]:
    """Return why each choice of an answer ended, or None for one that has not.

    A response has one choice. It has no finish reason, so its status is told in the words of chat completions.
    """
    if is_array(answer.get("choices")):
        return [_text(choice.get("finish_reason")) for choice in objects_in(answer["choices"])]
    status = answer.get("status")
    if status == "completed":
        called = any(item.get("type") in ("function_call", "custom_tool_call") for item in _output_items(answer))
        return ["tool_calls" if called else "stop"]
    if status == "incomplete":
        details = answer.get("incomplete_details")
        reason = _text(details.get("reason")) if is_object(details) else None
        return ["length" if reason == "max_output_tokens" else reason or "incomplete"]
    return ["error"] if status == "failed" else ["cancelled"] if status == "cancelled" else []


def _output_items(answer: Raw) -> list[Raw]:
    return objects_in(answer.get("output"))


def usage_attributes(record: CallEnded) -> Attributes:
    """Return the attributes that tell the tokens that a call used, if the server has told them."""
    usage = record.usage
    if usage is None:
        return {}
    output = operation_of(record) != "embeddings"  # they have no output to count
    return _stated(
        **{
            "gen_ai.usage.input_tokens": usage.input_tokens,
            "gen_ai.usage.output_tokens": usage.output_tokens if output else None,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        }
    )


# Attempts.


def name_of_attempt(record: CallRecord) -> str:
    """Return the name of an attempt's span: the method and the path as the API documents it."""
    return f"{record.method} {record.endpoint}"


def attempt_attributes(record: CallRecord) -> Attributes:
    """Return the attributes that tell an attempt's request."""
    host, port = _host_and_port(record.server)
    return _stated(
        **{
            "http.request.method": record.method,
            "url.full": record.url,
            "url.template": record.endpoint,
            "server.address": host,
            "server.port": port,
            "http.request.resend_count": record.attempt - 1 or None,
        }
    )


# Tools.


def tool_attributes(record: ToolCallStarted, *, with_content: bool) -> Attributes:
    """Return the attributes that tell what a tool is and, if asked for, with which arguments it was called."""
    return _stated(
        **{
            "gen_ai.tool.description": record.description,
            "gen_ai.tool.call.id": record.tool_call_id,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.arguments": record.arguments if with_content else None,
        }
    )


def result_attributes(record: ToolCallEnded) -> Attributes:
    """Return the attribute that tells what a tool returned, as JSON text."""
    result = record.result
    return _stated(**{"gen_ai.tool.call.result": result if isinstance(result, str) else result_text(result)})


# Values. A server or a program may give any JSON value for anything, and an attribute has to be of one type.


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) else None


def _value(value: object) -> Any:
    """Return the value of an attribute, or None if the given value cannot be one."""
    if is_array(value):
        return [printable(item) for item in value if isinstance(item, str)] or None
    return _text(value) if isinstance(value, str) else value if isinstance(value, int | float) else None


def _stated(**attributes: object) -> Attributes:
    """Return the attributes that have a value."""
    return dict(_with_values(attributes))


def _with_values(attributes: Mapping[str, object]) -> Iterator[tuple[str, Any]]:
    for name, given in attributes.items():
        if (value := _value(given)) is not None:
            yield name, value
