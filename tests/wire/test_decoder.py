"""The decoder and the verdict: which events a body gives and how the stream ends, wherever the body is truncated.

Most tests play a body three ways (whole, in pieces and byte by byte), because the result must not depend on the split.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import (
    BROKEN,
    CLEAN,
    DONE,
    FULL_CHAT,
    FULL_RESPONSES,
    Played,
    any_json,
    chat,
    chunk,
    made,
    responses,
    spoiled_streams,
    sse,
    texts,
)

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.completions import CompletionProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire.decoder import NEED_DATA, Decoder
from trio_openai._wire.lifecycle import Decision, Lifecycle, Verdict
from trio_openai.errors import APIConnectionError, APIError, APIResponseValidationError, StreamTruncatedError

CHAT = [
    sse(chunk("Hé")),
    b": ping\n\n",
    sse(chunk(" wörld 🦫")).replace(b"\n", b"\r\n"),
    sse(chunk(finish="stop")),
    sse({"id": "c1", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}}),
    DONE,
]
AT = {"item_id": "m1", "output_index": 0, "content_index": 0}
COMPLETED = {
    "type": "response.completed",
    "response": {
        "id": "r1",
        "status": "completed",
        "output": [{"type": "message", "id": "m1", "content": [{"type": "output_text", "text": "Hé wörld"}]}],
    },
}
RESPONSES = [
    sse(
        {"type": "response.created", "response": {"id": "r1", "status": "in_progress", "output": []}},
        "response.created",
    ),
    sse(
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {"type": "message", "id": "m1", "content": []},
        }
    ),
    sse({"type": "keepalive", "sequence_number": 3}, "keepalive"),
    sse({"type": "response.output_text.delta", **AT, "delta": "Hé"}),
    sse({"type": "response.output_text.delta", **AT, "delta": " wörld"}).replace(b"\n", b"\r"),
    sse({"type": "response.output_text.done", **AT, "text": "Hé wörld"}),
    sse(COMPLETED, "response.completed"),
]


# ---------------------------------------------------------------------------------------------------------- verdict


def test_comments_and_empty_events_are_not_events() -> None:
    decoder: Decoder[Any] = Decoder(ChatProtocol())
    decoder.receive_data(b": OPENROUTER PROCESSING\n\nid: 1\n\nevent: ping\n\nretry: 5\n\ndata:\n\n")
    assert decoder.next_event() is NEED_DATA
    assert decoder.events == 0


ENDS: dict[str, tuple[Callable[..., Played], list[bytes], str, Verdict, str]] = {
    "[DONE]": (chat, CHAT, CLEAN, Verdict("done", "[DONE]", "stop"), "done by [DONE] (stop)"),
    "[DONE], and the connection broke after it": (
        chat,
        CHAT,
        BROKEN,
        Verdict("done", "[DONE]", "stop"),
        "done by [DONE] (stop)",
    ),
    "[DONE] without a finish reason": (
        chat,
        [CHAT[0], DONE],
        CLEAN,
        Verdict("done", "[DONE]"),
        "done by [DONE]",
    ),
    "a finish reason": (
        chat,
        CHAT[:4],
        CLEAN,
        Verdict("done", "finish_reason", "stop"),
        "done by finish_reason (stop)",
    ),
    "a finish reason and usage": (
        chat,
        CHAT[:5],
        CLEAN,
        Verdict("done", "finish_reason", "stop"),
        "done by finish_reason (stop)",
    ),
    "a finish reason, but the connection broke": (
        chat,
        CHAT[:4],
        BROKEN,
        Verdict("truncated", None, "stop"),
        "truncated (stop)",
    ),
    "no finish reason": (chat, CHAT[:3], CLEAN, Verdict("truncated"), "truncated"),
    "response.completed": (
        responses,
        RESPONSES,
        CLEAN,
        Verdict("done", "terminal_event", "response.completed"),
        "done by terminal_event (response.completed)",
    ),
    "response.completed and [DONE]": (
        responses,
        [*RESPONSES, DONE],
        CLEAN,
        Verdict("done", "terminal_event", "response.completed"),
        "done by terminal_event (response.completed)",
    ),
    "response.incomplete": (
        responses,
        [*RESPONSES[:4], sse({"type": "response.incomplete", "response": {"status": "incomplete"}})],
        CLEAN,
        Verdict("done", "terminal_event", "response.incomplete"),
        "done by terminal_event (response.incomplete)",
    ),
    "response.failed": (
        responses,
        [*RESPONSES[:4], sse({"type": "response.failed", "response": {"status": "failed"}})],
        CLEAN,
        Verdict("done", "terminal_event", "response.failed"),
        "done by terminal_event (response.failed)",
    ),
    "no terminal event": (responses, RESPONSES[:6], CLEAN, Verdict("truncated"), "truncated"),
    "an error": (chat, [CHAT[0], sse({"error": {"message": "no"}})], CLEAN, Verdict("failed"), "failed"),
    "not the protocol": (chat, [CHAT[0], b"data: {\n\n"], CLEAN, Verdict("failed"), "failed"),
}


@pytest.mark.parametrize(("make", "pieces", "cut_by", "verdict", "phrase"), ENDS.values(), ids=ENDS.keys())
def test_the_verdict_says_how_the_stream_ended(
    make: Callable[..., Played], pieces: list[bytes], cut_by: str, verdict: Verdict, phrase: str
) -> None:
    for parts in (pieces, [b"".join(pieces)], [bytes([byte]) for byte in b"".join(pieces)]):
        played = make(*parts, cut_by=cut_by)
        assert played.verdict == verdict
        assert str(played.verdict) == phrase
        assert (played.error is None) == (verdict.state == "done")


# ------------------------------------------------------------------------------------- truncated at every byte position


def fold(protocol: Any, raws: list[Any]) -> Any:
    for raw in raws:
        protocol.add([made(protocol, raw)])
    return protocol.snapshot()


def check_prefix(played: Played, whole: Played, protocol: Any) -> None:
    """Check what holds wherever a body is truncated: its events are a prefix and its partial result fits to them."""
    assert played.raws == whole.raws[: len(played.events)]
    assert played.verdict.state in ("done", "truncated")
    if played.verdict.state == "truncated":
        assert type(played.error) is StreamTruncatedError
        expected = fold(protocol, played.raws) if played.events else None
        assert played.error.partial == expected
    assert played.snapshot == fold(type(protocol)(), played.raws)


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("cut_by", [CLEAN, BROKEN], ids=["clean end", "broken"])
def test_a_chat_stream_truncated_at_any_byte_is_never_complete(cut_by: str) -> None:
    body, whole = b"".join(CHAT), chat(*CHAT)
    finished = len(b"".join(CHAT[:3])) + len(CHAT[3].rstrip())  # the last brace of the event with the finish reason
    boundaries = {
        len(b"".join(CHAT[:4])),
        len(b"".join(CHAT[:5])),
    }  # positions between two events, without half an event
    for at in range(len(body) + 1):
        played = chat(body[:at], cut_by=cut_by)
        check_prefix(played, whole, ChatProtocol())
        if body[:at].rstrip().endswith(b"data: [DONE]"):
            assert played.verdict == Verdict("done", "[DONE]", "stop"), at
        elif cut_by or at < finished:
            assert played.verdict.state == "truncated", at
        elif at in boundaries:
            assert played.verdict == Verdict("done", "finish_reason", "stop"), at


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("cut_by", [CLEAN, BROKEN], ids=["clean end", "broken"])
def test_a_responses_stream_truncated_at_any_byte_is_never_complete(cut_by: str) -> None:
    body, whole = b"".join(RESPONSES), responses(*RESPONSES)
    complete = len(body.rstrip())
    for at in range(len(body) + 1):
        played = responses(body[:at], cut_by=cut_by)
        check_prefix(played, whole, ResponseProtocol())
        assert played.verdict.state == ("done" if at >= complete else "truncated"), at


@pytest.mark.promise(n=4)
@pytest.mark.parametrize("line_end", [b"\n", b"\r", b"\r\n"], ids=repr)
@pytest.mark.parametrize("stream", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_a_truncated_stream_gives_the_same_result_whole_and_byte_by_byte(stream: list[bytes], line_end: bytes) -> None:
    """Check that a truncated body gives the same events and verdict whole and byte by byte."""
    make = chat if stream is CHAT else responses
    body = b"".join(stream[-3:]).replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", line_end)
    for at in range(len(body) + 1):
        one, many = make(body[:at]), make(*(body[i : i + 1] for i in range(at)))
        assert one.raws == many.raws
        assert one.verdict == many.verdict, at
        assert type(one.error) is type(many.error)


@pytest.mark.parametrize("at", range(16))
def test_a_stream_truncated_in_its_first_line_is_truncated(at: int) -> None:
    body = b'data: {"id": "c1"}\n\n'
    for start in (b"", b"\xef\xbb\xbf", b"\r\n", b": ping\n\n", b"event: x\n"):
        played = chat((start + body)[:at])
        assert type(played.error) is StreamTruncatedError, (start, at)
        assert played.error.partial is None


@pytest.mark.parametrize(
    "head", [b"\xef", b"\xef\xbb", b"\xef\xbb\xbf", b"eve", b"i", b"re", b"retry", b"id"], ids=repr
)
def test_a_stream_truncated_in_a_field_name_or_byte_order_mark_is_truncated(head: bytes) -> None:
    assert type(chat(head).error) is StreamTruncatedError


@pytest.mark.promise(n=4)
@given(st.integers(0, len(b"".join(CHAT))), st.integers(1, 60), st.sampled_from([CLEAN, BROKEN]))
def test_a_truncated_stream_gives_the_same_result_for_every_piece_size(at: int, size: int, cut_by: str) -> None:
    body = b"".join(CHAT)[:at]
    pieces = [body[i : i + size] for i in range(0, len(body), size)]
    one, many = chat(body, cut_by=cut_by), chat(*pieces, cut_by=cut_by)
    assert (one.raws, one.verdict, type(one.error)) == (many.raws, many.verdict, type(many.error))


def test_every_choice_needs_a_finish_reason() -> None:
    one, both = (
        [sse(chunk("a")), sse(chunk(finish="stop"))],
        [sse(chunk("b", index=1)), sse(chunk(finish="length", index=1))],
    )
    assert type(chat(*one, n=2).error) is StreamTruncatedError
    assert type(chat(*one, both[0], n=2).error) is StreamTruncatedError
    assert type(chat(*one, both[0]).error) is StreamTruncatedError
    assert chat(*one, *both, n=2).verdict == Verdict("done", "finish_reason", "stop")


def test_the_message_of_a_truncated_stream_names_the_cause() -> None:
    assert BROKEN in str(chat(CHAT[0], cut_by=BROKEN).error)
    assert "cut" in str(chat(CHAT[0]).error)


# ------------------------------------------------------------------------------------- the end and what follows it


DONES = {
    "as it should be": b"data: [DONE]\n\n",
    "without a space": b"data:[DONE]\n\n",
    "with spaces": b"data:  [DONE]  \n\n",
    "with CR LF": b"data: [DONE]\r\n\r\n",
    "with CR": b"data: [DONE]\r\r",
    "with a name": b"event: done\ndata: [DONE]\n\n",
    "with an id": b"id: 9\ndata: [DONE]\n\n",
    "without its empty line": b"data: [DONE]\n",
    "without its line end": b"data: [DONE]",
    "with a space and no line end": b"data: [DONE] ",
    "after a comment": b": bye\ndata: [DONE]\n\n",
    "twice": b"data: [DONE]\n\ndata: [DONE]\n\n",
    "and garbage after it": b"data: [DONE]\n\ndata: {oops\n\n\xff\xff<html>",
    "and an event after it": b'data: [DONE]\n\ndata: {"choices":[{"index":0,"delta":{"content":"!"}}]}\n\n',
    "and an error after it": b'data: [DONE]\n\ndata: {"error":"late"}\n\nerror: {}\n\n',
}


@pytest.mark.parametrize("done", DONES.values(), ids=DONES.keys())
def test_done_ends_the_stream_in_every_spelling(done: bytes) -> None:
    for pieces in ([done], [bytes([byte]) for byte in done]):
        played = chat(CHAT[0], *pieces)
        assert played.error is None
        assert len(played.events) == 1
        assert played.verdict == Verdict("done", "[DONE]")


@pytest.mark.parametrize("text", ["[DONE", "DONE", "[done]", "[ERROR]", "[]", "1", "[DONE]x", "[DONE]: ok", '"[DONE]"'])
def test_text_that_resembles_done_is_an_error(text: str) -> None:
    played = chat(CHAT[0], sse(text))
    assert type(played.error) is APIResponseValidationError
    assert text in str(played.error)
    assert played.error.partial.choices[0].message.content == "Hé"


def test_nothing_is_delivered_after_the_terminal_event() -> None:
    played = responses(*RESPONSES, RESPONSES[3], sse({"type": "error", "message": "late"}), b"data: {oops\n\n")
    assert len(played.events) == len(RESPONSES)
    assert played.error is None
    assert played.snapshot.output_text == "Hé wörld"


def test_the_terminal_event_completes_the_stream_before_the_body_ends() -> None:
    played = responses(*RESPONSES, cut_by=None)
    assert played.verdict.state == "done"
    assert chat(*CHAT, cut_by=None).verdict.state == "done"


def test_a_finish_reason_does_not_end_the_stream_before_the_body_ends() -> None:
    played = chat(*CHAT[:4], cut_by=None)
    assert played.verdict == Verdict("open", None, "stop")


def test_the_last_event_is_delivered_without_its_empty_line() -> None:
    for end in (b"", b"\n", b"\r", b"\r\n", b"\n: bye"):
        played = chat(*CHAT[:3], CHAT[3].rstrip() + end)
        assert played.verdict == Verdict("done", "finish_reason", "stop"), end
        assert len(played.events) == 3


def test_half_an_event_after_a_finish_reason_is_a_truncated_stream() -> None:
    played = chat(*CHAT[:4], b'data: {"choices": [], "usage": {"prompt')
    assert type(played.error) is StreamTruncatedError
    assert len(played.events) == 3


def test_half_a_comment_after_a_finish_reason_is_a_complete_stream() -> None:
    assert chat(*CHAT[:4], b": bye").verdict.state == "done"


# --------------------------------------------------------------------------------------------------- invalid events


BAD_JSON = {
    "half an object": b'{"id": "c1"',
    "a trailing comma": b'{"id": "c1",}',
    "two objects": b'{"id": "c1"}{"id": "c2"}',
    "single quotes": b"{'id': 'c1'}",
    "a word": b"ping",
    "HTML": b"<html><body>502</body></html>",
    "UTF-16": '{"id": "c1"}'.encode("utf-16-le"),
    "a control character in a string": b'{"id": "a\x01b"}',
    "a list": b"[]",
    "a number": b"1",
    "a string": b'"ping"',
    "true": b"true",
    "not a number": b"NaN",
    "far too deep": b"[" * 100_000 + b"]" * 100_000,
    "far too deep an object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "opened and never closed": b"[" * 100_000,
    "an integer of many digits": b'{"id": ' + b"9" * 10_000 + b", NaN}",
}


@pytest.mark.parametrize("data", BAD_JSON.values(), ids=BAD_JSON.keys())
@pytest.mark.parametrize(("make", "stream"), [(chat, CHAT), (responses, RESPONSES)], ids=["chat", "responses"])
def test_an_event_that_is_not_a_json_object_is_a_validation_error(
    make: Callable[..., Played], stream: list[bytes], data: bytes
) -> None:
    played = make(b"".join([stream[0], b"data: ", data, b"\n\n", stream[1]]))
    assert type(played.error) is APIResponseValidationError
    assert len(played.events) == 1
    assert played.verdict.state == "failed"
    assert played.error.partial == fold(type(played.protocol)(), played.raws)
    assert len(str(played.error)) < 1000


def test_a_validation_error_quotes_the_invalid_data() -> None:
    error = chat(CHAT[0], b"data: <html>oops\n\n").error
    assert error is not None
    assert "<html>oops" in str(error)
    assert error.body == "<html>oops"


TOLERATED = {
    "NaN": (b'{"choices": [], "x": NaN}', "x"),
    "Infinity": (b'{"choices": [], "x": -Infinity}', "x"),
    "half a surrogate pair": (b'{"choices": [], "x": "\\ud83e"}', "x"),
    "the same key twice": (b'{"choices": [1], "choices": [], "x": 1}', "x"),
    "a huge integer": (b'{"choices": [], "x": 123456789012345678901234567890}', "x"),
    "a huge float": (b'{"choices": [], "x": 1e400}', "x"),
    "whitespace": (b' \t{ "choices" : [ ] , "x":1 } ', "x"),
    "an escaped NULL": (b'{"choices": [], "x": "\\u0000"}', "x"),
    "a key of half a pair": (b'{"choices": [], "x": {"\\udc00": 1}}', "x"),
}


@pytest.mark.parametrize(("data", "key"), TOLERATED.values(), ids=TOLERATED.keys())
def test_unusual_json_is_delivered_unchanged(data: bytes, key: str) -> None:
    played = chat(CHAT[0], b"data: " + data + b"\n\n", DONE)
    assert played.error is None
    assert key in played.raws[1]
    assert repr(played.events[1])


DEPTHS = [100, 200, 300, 500, 700, 900, 1000, 1020, 1100, 3000]


@pytest.mark.promise(n=3)
@pytest.mark.parametrize(
    "template",
    [
        '{"choices":[{"index":0,"delta":{"content":%s}}]}',
        '{"choices":[{"index":0,"delta":{"content":[{"text":%s},{"thinking":[%s]}]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":%s}}]}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":%s,"id":%s}]}}]}',
        '{"choices":[{"index":0,"delta":{"function_call":{"arguments":%s}}}]}',
        '{"choices":[{"index":0,"delta":{"audio":{"data":%s}}}]}',
        '{"choices":[{"index":0,"delta":{"reasoning_details":[{"type":%s,"text":"a"}]}}]}',
        '{"choices":[{"index":0,"finish_reason":%s,"delta":{"annotations":[%s]}}],"usage":{"total_tokens":%s}}',
        '{"choices":[],"x":%s,"y":NaN}',
        '{"error":%s}',
        '{"error":{"message":%s}}',
        '{"error":{"detail":[{"loc":%s,"msg":%s}]}}',
        '{"choices":[{"index":0}],"error":{"message":%s,"code":%s}}',
    ],
)
def test_deep_nesting_in_a_chunk_never_raises_a_foreign_error(template: str) -> None:
    for depth, (opening, closing) in itertools.product(DEPTHS, (("[", "]"), ('{"message":', "}"))):
        deep = opening * depth + "1" + closing * depth
        played = chat(sse(chunk("Hé")), sse(template.replace("%s", deep)), DONE)
        assert played.raws[0] == chunk("Hé")
        assert played.snapshot.choices[0].message.content is not None
        assert repr(played.snapshot)
        assert len(str(played.error)) < 1000


@pytest.mark.promise(n=3)
@pytest.mark.parametrize(
    "template",
    [
        '{"type":"response.output_item.added","output_index":0,"item":{"type":"message","content":%s}}',
        '{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","x":%s}}',
        '{"type":"response.content_part.added","output_index":0,"content_index":0,"part":{"type":"x","x":%s}}',
        '{"type":"response.output_text.annotation.added","output_index":0,"annotation":{"x":%s}}',
        '{"type":"response.output_text.delta","output_index":0,"delta":%s}',
        '{"type":"response.in_progress","response":{"metadata":%s}}',
        '{"type":"response.completed","response":{"output":%s}}',
        '{"type":"response.failed","response":{"error":{"message":%s}}}',
        '{"type":"error","error":{"message":%s,"code":%s}}',
        '{"type":"error","message":%s}',
        '{"type":%s}',
    ],
)
def test_deep_nesting_in_a_response_never_raises_a_foreign_error(template: str) -> None:
    for depth, (opening, closing) in itertools.product(DEPTHS, (("[", "]"), ('{"message":', "}"))):
        deep = opening * depth + "1" + closing * depth
        played = responses(RESPONSES[0], sse(template.replace("%s", deep)), RESPONSES[3], DONE)
        assert len(played.events) >= 1
        assert repr(played.snapshot)
        played.protocol.failure()
        assert len(str(played.error)) < 1000


UNWRITABLE = [
    '{"a":"\\ud800"}',
    '{"\\ud800":1}',
    '{"a":123456789012345678901234567890,"b":NaN}',
    '["\\udfff",Infinity]',
]


@pytest.mark.parametrize("value", UNWRITABLE)
@pytest.mark.parametrize(
    "template",
    [
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":%s}}]}}]}',
        '{"choices":[{"index":0,"delta":{"function_call":{"arguments":%s}}}]}',
        '{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"custom":{"input":%s}}]}}]}',
        '{"choices":[{"index":0,"delta":{"audio":{"data":%s,"transcript":%s}}}]}',
        '{"error":%s}',
        '{"error":{"code":%s}}',
        '{"error":{"message":[%s]}}',
    ],
)
def test_values_that_cannot_be_serialized_as_json_never_raise_a_foreign_error(template: str, value: str) -> None:
    played = chat(CHAT[0], sse(template.replace("%s", value)), DONE)
    assert played.verdict.state in ("done", "failed")
    assert played.snapshot.choices[0].message.content == "Hé"
    assert played.error is None or type(played.error) is APIError


@pytest.mark.promise(n=6)
def test_an_event_over_the_limit_is_a_validation_error_with_the_partial_result() -> None:
    lifecycle: Lifecycle[Any, Any] = Lifecycle(ChatProtocol, limit=1000)
    lifecycle.receive_head()
    lifecycle.receive_data(CHAT[0] + b"data: " + b"x" * 2000)
    event: Any = lifecycle.next()
    assert event.choices[0].delta.content == "Hé"
    assert lifecycle.next() is Decision.RELEASE
    error: Any = lifecycle.error
    assert isinstance(error, APIResponseValidationError)
    assert "limit of 1000 bytes" in error.message
    assert error.partial.choices[0].message.content == "Hé"


# ------------------------------------------------------------------------------------- status 200 without a stream


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"id": "c1", "object": "chat.completion", "choices": []}', "application/json"),
        (b'{\n  "id": "c1",\n  "choices": []\n}', "application/json"),
        (b"[]", "application/json"),
        (b"<!doctype html><html><body>Sign in</body></html>", "text/html"),
        (b"<html>\n<body>\ndata: of the page\n</body></html>", "text/html"),
        (b"upstream connect error", "text/plain"),
        (b"\x1f\x8b\x08\x00\x00\x00", "application/gzip"),
        (b"\xff\xfe\x00\x01" * 50_000, ""),
    ],
    ids=repr,
)
def test_a_body_that_is_not_an_event_stream_is_a_validation_error(body: bytes, content_type: str) -> None:
    for pieces in ([body], [body[:3], body[3:]]):
        played = chat(*pieces, content_type=content_type)
        assert type(played.error) is APIResponseValidationError
        assert content_type in str(played.error)
        assert len(str(played.error)) < 1000
        assert played.events == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "no such model", "code": "model_not_found"}}', "no such model"),
        (b'{"error": "no such model"}', "no such model"),
        (b'{"detail": "no such model"}', "no such model"),
        (b'{"message": "no such model"}', "no such model"),
        (b'{\n  "error": {\n    "message": "no such model"\n  }\n}\n', "no such model"),
        (b'  {"error": {"message": "no such model"}}', "no such model"),
    ],
    ids=repr,
)
def test_an_error_object_with_status_200_is_an_api_error(body: bytes, message: str) -> None:
    played = chat(body, content_type="application/json")
    assert type(played.error) is APIError
    assert played.error.message == message
    assert played.error.body == json.loads(body)


@pytest.mark.parametrize(
    "body", [b"", b"\n\n", b": ping\n\n", b"event: ping\n\nid: 7\n\nretry: 5\n\n", b"data:\n\n"], ids=repr
)
def test_a_body_without_events_is_a_truncated_stream(body: bytes) -> None:
    played = chat(body)
    assert type(played.error) is StreamTruncatedError
    assert played.verdict == Verdict("truncated")


# --------------------------------------------------------------------------------------------- errors inside the stream


NESTED = {"error": {"message": "overloaded", "type": "server_error", "code": "busy", "param": "n"}}
FLAT = {"message": "overloaded", "type": "server_error", "code": "busy", "param": "n"}
CHAT_ERRORS: dict[str, bytes] = {
    "unnamed and nested (llama.cpp, OpenAI)": sse(NESTED),
    "named and nested (Groq)": sse(NESTED, "error"),
    "named and flat": sse(FLAT, "error"),
    "an object that says it is one (vLLM)": sse({"object": "error", **FLAT}),
    "beside its type": sse({"type": "error", **NESTED}),
    "beside choices that are empty": sse({"choices": [], **NESTED}),
    "a field of the stream (llama.cpp)": b"error: " + json.dumps(NESTED["error"]).encode() + b"\n\n",
    "a field of the stream, nested": b"error: " + json.dumps(NESTED).encode() + b"\n\n",
    "as the last event without its empty line": sse(NESTED).rstrip(),
}


@pytest.mark.parametrize("error", CHAT_ERRORS.values(), ids=CHAT_ERRORS.keys())
def test_an_error_in_a_chat_stream_ends_it_with_the_partial_result(error: bytes) -> None:
    for pieces in ([CHAT[0] + error], [CHAT[0], *(bytes([byte]) for byte in error)], [CHAT[0], error, *CHAT[1:]]):
        played = chat(*pieces)
        if pieces[-1] == DONE and not error.endswith(b"\n\n"):
            continue  # this event is only valid as the last event of a body
        assert type(played.error) is APIError
        assert "overloaded" in played.error.message
        assert (played.error.code, played.error.type, played.error.param) == ("busy", "server_error", "n")
        assert played.error.partial.choices[0].message.content == "Hé"
        assert len(played.events) == 1
        assert played.verdict.state == "failed"


@pytest.mark.parametrize(
    ("said", "message", "code"),
    [
        ({"error": "overloaded"}, "overloaded", None),
        ({"error": {"message": "overloaded", "code": 503}}, "overloaded", 503),
        ({"error": {"detail": "overloaded"}}, "overloaded", None),
        ({"error": {"code": 503}}, '{"code":503}', 503),
        ({"error": ["a", "b"]}, "a; b", None),
    ],
    ids=repr,
)
def test_errors_of_unusual_shape_give_their_message_and_code(said: Any, message: str, code: Any) -> None:
    error = chat(CHAT[0], sse(said)).error
    assert type(error) is APIError
    assert (error.message, error.code) == (message, code)
    assert error.body == said


@pytest.mark.parametrize("nothing", [None, "", False, 0, {}, []], ids=repr)
def test_an_empty_error_field_is_ignored(nothing: Any) -> None:
    played = chat(sse(chunk("Hé", error=nothing)), DONE)
    assert played.error is None
    assert len(played.events) == 1


def test_a_chunk_with_choices_and_an_error_is_delivered_before_the_error_is_raised() -> None:
    both = chunk("!", finish="error", error={"code": 502, "message": "provider went away"})
    for more in ([], [DONE], [sse(chunk("more")), DONE]):
        played = chat(sse(chunk("Hé")), sse(both), *more)
        assert played.raws == [chunk("Hé"), both]
        assert type(played.error) is APIError
        assert (played.error.message, played.error.code) == ("provider went away", 502)
        assert played.error.partial.choices[0].message.content == "Hé!"
        assert played.verdict == Verdict("failed", None, "error")


def test_an_error_before_the_first_event_has_no_partial_result() -> None:
    error = chat(sse(NESTED)).error
    assert error is not None
    assert error.partial is None


RESPONSE_ERRORS: dict[str, bytes] = {
    "nested, as OpenAI sends it": sse({"type": "error", "sequence_number": 2, **NESTED}, "error"),
    "nested and unnamed": sse({"type": "error", **NESTED}),
    "flat, as documented": sse({**FLAT, "type": "error"}, "error"),
    "flat and unnamed": sse({**FLAT, "type": "error"}),
    "flat with a name and no type": sse({k: v for k, v in FLAT.items() if k != "type"}, "error"),
    "nested with a name and no type": sse(NESTED, "error"),
    "flat with a name, and the type is the error's": sse(FLAT, "error"),
    "an unnamed object (llama.cpp)": sse(NESTED),
    "a field of the stream (llama.cpp)": b"error: " + json.dumps(NESTED["error"]).encode() + b"\n\n",
}


@pytest.mark.parametrize("error", RESPONSE_ERRORS.values(), ids=RESPONSE_ERRORS.keys())
@pytest.mark.parametrize("end", [b"", DONE], ids=["the end", "[DONE]"])
def test_an_error_in_a_responses_stream_ends_it_with_the_partial_result(error: bytes, end: bytes) -> None:
    played = responses(*RESPONSES[:4], error, end)
    assert type(played.error) is APIError
    assert "overloaded" in played.error.message
    assert (played.error.code, played.error.param) == ("busy", "n")
    assert played.error.partial.output_text == "Hé"
    assert played.raws[:4] == responses(*RESPONSES[:4]).raws
    assert played.verdict.state == "failed"


FAILED = {
    "type": "response.failed",
    "response": {"id": "r1", "status": "failed", "error": {"code": "busy", "message": "overloaded"}, "output": []},
}


def test_an_error_event_followed_by_response_failed_is_a_failed_response() -> None:
    played = responses(*RESPONSES[:4], RESPONSE_ERRORS["nested, as OpenAI sends it"], sse(FAILED), DONE)
    assert played.error is None
    assert [event.type for event in played.events][-2:] == ["error", "response.failed"]
    assert played.verdict == Verdict("done", "terminal_event", "response.failed")
    assert played.snapshot.error.message == "overloaded"
    assert played.snapshot.output_text == "Hé"
    failure = played.protocol.failure()
    assert failure is not None
    assert "overloaded" in failure.message
    assert failure.code == "busy"
    assert failure.partial.output_text == "Hé"


def test_an_error_event_before_any_other_event_is_raised_at_once() -> None:
    """Check that the error can be retried, because no event was delivered before it."""
    played = responses(RESPONSE_ERRORS["nested, as OpenAI sends it"], sse(FAILED))
    assert type(played.error) is APIError
    assert played.events == []
    assert played.decoder.events == 0


def test_a_broken_connection_does_not_hide_an_error_reported_before() -> None:
    played = responses(*RESPONSES[:4], RESPONSE_ERRORS["flat, as documented"], cut_by=BROKEN)
    assert type(played.error) is APIError
    assert played.error.message == "overloaded"
    played = responses(*RESPONSES[:4], RESPONSE_ERRORS["flat, as documented"], cut_by=None)
    assert played.decoder.fail(APIConnectionError("gone")).message == "overloaded"


def test_a_failed_response_without_a_reason_has_a_message() -> None:
    for response in ({"status": "failed"}, {"status": "failed", "error": None}, {"status": "failed", "error": {}}):
        failure = responses(RESPONSES[0], sse({"type": "response.failed", "response": response})).protocol.failure()
        assert failure is not None
        assert failure.message == "the response failed: the server gave no reason"


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.cancelled"])
def test_completed_incomplete_and_cancelled_responses_are_not_failures(kind: str) -> None:
    played = responses(RESPONSES[0], sse({"type": kind, "response": {"status": kind[9:]}}))
    assert played.verdict == Verdict("done", "terminal_event", kind)
    assert played.protocol.failure() is None


def test_the_sse_event_name_replaces_a_missing_type() -> None:
    raw = {k: v for k, v in COMPLETED.items() if k != "type"}
    played = responses(RESPONSES[0], sse(raw, "response.completed"))
    assert played.verdict == Verdict("done", "terminal_event", "response.completed")
    assert played.events[-1].type == "response.completed"


# ------------------------------------------------------------------------------------------------ random JSON and bytes


@pytest.mark.promise(n=3)
@given(spoiled_streams(FULL_CHAT), st.integers(1, 2))
def test_random_json_in_a_chunk_never_raises_a_foreign_error(chunks: list[Any], n: int) -> None:
    check_any(chat(*map(sse, chunks), n=n), chunks)


@pytest.mark.promise(n=3)
@given(spoiled_streams(FULL_RESPONSES))
def test_random_json_in_a_response_event_never_raises_a_foreign_error(events: list[Any]) -> None:
    check_any(responses(*map(sse, events)), events)


@pytest.mark.promise(n=3)
@given(st.lists(st.dictionaries(texts, any_json, max_size=4), max_size=5), st.sampled_from([chat, responses]))
def test_random_objects_never_raise_a_foreign_error(objects: list[Any], make: Callable[..., Played]) -> None:
    check_any(make(*map(sse, objects)), objects)


def check_any(played: Played, sent: list[Any]) -> None:
    """Check that the events are a prefix of what was sent, that the rest is a library error, and that repr works."""
    assert json.dumps(played.raws) == json.dumps([json.loads(json.dumps(raw)) for raw in sent[: len(played.raws)]])
    assert played.verdict.state in ("done", "truncated", "failed")
    assert (played.error is None) == (played.verdict.state == "done")
    assert repr(played.snapshot)
    assert isinstance(str(played.verdict), str)
    played.protocol.failure()


@pytest.mark.promise(n=5)
@given(spoiled_streams(FULL_CHAT), st.integers(1, 300))
def test_the_snapshot_does_not_depend_on_how_the_body_is_split(chunks: list[Any], size: int) -> None:
    body = b"".join(map(sse, chunks))
    one, many = chat(body), chat(*(body[i : i + size] for i in range(0, len(body), size)))
    assert repr(one.snapshot) == repr(many.snapshot)
    assert one.text == many.text
    assert one.verdict == many.verdict
    assert str(one.error) == str(many.error)


@pytest.mark.promise(n=3)
@given(st.binary(max_size=200), st.sampled_from([chat, responses]), st.sampled_from([CLEAN, BROKEN, None]))
def test_random_bytes_never_raise_a_foreign_error(body: bytes, make: Callable[..., Played], cut_by: str | None) -> None:
    assert make(CHAT[0], body, cut_by=cut_by).verdict.state in ("done", "truncated", "failed", "open")
    assert make(body, cut_by=cut_by).verdict.state in ("done", "truncated", "failed", "open")


# -------------------------------------------------------------------------- a plain JSON answer instead of a stream

PLAIN: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hel\nlo"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    "more": "x" * 100_000,
}


@pytest.mark.parametrize("size", [7, 1000, 10**6])
@pytest.mark.parametrize("form", [{}, {"indent": 2}, {"separators": (",\r\n", ":\n\n")}], ids=str)
@pytest.mark.parametrize("start", [b"", b"\n ", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", ""])
def test_a_plain_answer_is_read_as_one_event(size: int, form: Any, start: bytes, content_type: str) -> None:
    body = start + json.dumps(PLAIN, **form).encode() + b"\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    played = chat(*pieces, content_type=content_type)
    assert played.raws == [PLAIN]
    assert played.text == "Hel\nlo"
    assert played.events[0].choices[0].delta.content == "Hel\nlo"
    assert str(played.verdict) == "done by finish_reason (stop)"
    assert played.snapshot.raw == PLAIN


def test_a_plain_answer_without_a_finish_reason_is_complete() -> None:
    choice = {"message": {"content": "Hi"}}
    assert str(chat(json.dumps({"choices": [choice]}).encode()).verdict) == "done by end_of_body"


def test_a_truncated_plain_answer_is_an_error() -> None:
    body = json.dumps(PLAIN).encode()
    assert chat(body[:-1]).events == chat(body, cut_by=BROKEN).events == []
    assert chat(body[:-1]).error is not None
    assert chat(body, cut_by=BROKEN).error is not None


def test_a_plain_answer_with_an_error_in_its_choice_fails() -> None:
    failed = {**PLAIN["choices"][0], "finish_reason": "error", "error": {"message": "overloaded"}}
    played = chat(json.dumps({**PLAIN, "choices": [failed]}).encode())
    assert played.error is not None
    assert played.error.message == "overloaded"
    assert played.error.partial.choices[0].message.content == "Hel\nlo"


def test_json_that_is_not_a_completion_is_a_validation_error() -> None:
    for other in ({"object": "list", "data": []}, {"choices": []}, {"choices": "x"}, {"id": "x"}, [PLAIN], "x"):
        played = chat(json.dumps(other).encode(), content_type="application/json")
        assert isinstance(played.error, APIResponseValidationError)


def test_a_plain_legacy_completion_is_read_as_one_event() -> None:
    plain = {"object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop"}]}
    played = Played(CompletionProtocol(), [json.dumps(plain).encode()])
    assert (played.raws, played.text, str(played.verdict)) == ([plain], "Hi", "done by finish_reason (stop)")
