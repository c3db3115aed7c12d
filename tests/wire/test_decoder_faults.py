"""Servers that deviate from the protocol: the outcome does not depend on the split, and every call is bounded."""

from __future__ import annotations

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
    Played,
    any_json,
    chat,
    chunk,
    responses,
    sse,
)
from test_decoder import CHAT, RESPONSES

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._protocols.responses.protocol import ResponseProtocol
from trio_openai._wire import lifecycle
from trio_openai._wire.decoder import NEED_DATA, Decoder, Signal
from trio_openai._wire.decoder_raw import MessageDecoder
from trio_openai._wire.retries import should_retry_reported
from trio_openai._wire.sse import WORK_AT_ONCE
from trio_openai.errors import APIError, APIResponseValidationError, StreamTruncatedError

pytestmark = pytest.mark.promise(n=5)

# --------------------------------------------------------------- invalid UTF-8, event names, text outside of events


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\xffb", "a\ufffdb"),
        (b"\xf0\x9f\x98", "\ufffd"),
        ("café".encode("latin-1"), "caf\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc0\xaf", "\ufffd\ufffd"),
    ],
    ids=repr,
)
def test_invalid_utf8_inside_an_event_is_replaced(data: bytes, text: str) -> None:
    body = b"".join([CHAT[0], b'data: {"choices":[{"index":0,"delta":{"content":"' + data + b'"}}]}\n\n', DONE])
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        played = chat(*pieces)
        assert played.error is None
        assert played.events[-1].choices[0].delta.content == text


@pytest.mark.parametrize("data", ["null", " null "])
@pytest.mark.parametrize("name", ["", "ping", "message"])
def test_events_with_null_data_are_skipped(data: str, name: str) -> None:
    played = chat(CHAT[0], sse(data, name), DONE)
    assert played.error is None
    assert len(played.events) == 1


@pytest.mark.parametrize("data", ["pong", "17:03", "12", '"text"', "<p>", "{oops"])
@pytest.mark.parametrize(("make", "stream"), [(chat, CHAT), (responses, RESPONSES)], ids=["chat", "responses"])
def test_an_unknown_event_name_with_data_that_is_not_an_object_is_skipped(
    make: Callable[..., Played], stream: list[bytes], data: str
) -> None:
    played = make(sse(data, "ping"), stream[0], sse(data, "ping"), *stream[1:])
    assert played.error is None
    assert played.raws == make(*stream).raws


@pytest.mark.parametrize(
    ("make", "stream", "name"),
    [
        (chat, CHAT, "message"),
        (chat, CHAT, "chat.completion.chunk"),
        (responses, RESPONSES, "response.output_text.delta"),
    ],
)
def test_a_known_event_name_with_invalid_json_is_a_validation_error(
    make: Callable[..., Played], stream: list[bytes], name: str
) -> None:
    assert type(make(stream[0], sse("{oops", name)).error) is APIResponseValidationError


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("model crashed", "model crashed"),
        ('"model crashed"', "model crashed"),
        ("<html><title>502 Bad Gateway</title></html>", "502 Bad Gateway"),
        ('["a", "b"]', "a"),
        ("null", "the server gave no reason"),
        ("", "the server gave no reason"),
        ("503", "503"),
        ('[{"error": {"message": "busy"}}]', "busy"),
    ],
)
@pytest.mark.parametrize(("make", "stream"), [(chat, CHAT), (responses, RESPONSES)], ids=["chat", "responses"])
def test_an_event_named_error_is_an_error_with_any_data(
    make: Callable[..., Played], stream: list[bytes], data: str, message: str
) -> None:
    for end in (b"", DONE):
        played = make(stream[0], sse(data, "error"), end)
        assert type(played.error) is APIError
        assert played.error.message == message
        assert played.error.partial is not None
    assert make(stream[0], sse(data, "error").rstrip() + b"\n").verdict.state == "failed"


@pytest.mark.parametrize("code", [503, "overloaded"])
@pytest.mark.parametrize("make", [chat, responses])
def test_an_error_inside_a_list_equals_the_plain_error(make: Callable[..., Played], code: object) -> None:
    said = {"error": {"message": "too busy", "code": code}}
    one, other = make(sse([said])).error, make(sse(said)).error
    assert one is not None
    assert other is not None
    assert (
        (one.message, one.code, type(one)) == (other.message, other.code, type(other)) == ("too busy", code, APIError)
    )
    assert should_retry_reported(one)


PRETTY = json.dumps({"error": {"message": "out of memory", "code": "oom"}}, indent=2).encode()
TEXTS_WITH_AN_ERROR: dict[str, bytes] = {
    "over several lines": PRETTY,
    "in one line": json.dumps(json.loads(PRETTY)).encode(),
    "with empty lines in it": PRETTY.replace(b"\n", b"\n\n"),
    "in a list": b"[" + PRETTY + b"]",
    "after a line of text": b"HTTP/1.1 500 Internal Server Error\n" + PRETTY,
    "with CRLF": PRETTY.replace(b"\n", b"\r\n"),
    "in a line of its own name": b'error: {"message": "out of memory", "code": "oom"}',
}


@pytest.mark.parametrize("words", TEXTS_WITH_AN_ERROR.values(), ids=TEXTS_WITH_AN_ERROR.keys())
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\n\n" + DONE, b"\n" + DONE], ids=repr)
@pytest.mark.parametrize(("make", "first"), [(chat, CHAT[0]), (responses, RESPONSES[0])], ids=["chat", "responses"])
def test_an_error_object_outside_of_an_event_is_raised_even_before_done(
    make: Callable[..., Played], first: bytes, words: bytes, end: bytes
) -> None:
    body = first + words + end
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        played = make(*pieces)
        assert type(played.error) is APIError
        assert (played.error.message, played.error.code) == ("out of memory", "oom")
        assert played.error.partial is not None
        assert len(played.events) == 1


def test_an_event_after_an_error_outside_of_an_event_is_delivered_first() -> None:
    played = chat(CHAT[0] + PRETTY + b"\n" + sse(chunk("!")) + DONE)
    assert [event.choices[0].delta.content for event in played.events] == ["Hé", "!"]
    assert type(played.error) is APIError


@pytest.mark.parametrize(
    ("words", "quoted"),
    [
        (b"upstream connect error or disconnect/reset before headers", "upstream connect error"),
        (b"<html>\n<head><title>504 Gateway Time-out</title></head>\n\n<body>nginx</body></html>", "504 Gateway"),
        (b"Internal Server Error", "Internal Server Error"),
        (b'{\n "error": {\n  "message": "cut in the mid', "cut in the mid"),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_text_after_the_last_event_is_quoted_in_the_error(words: bytes, quoted: str, end: bytes) -> None:
    body = CHAT[0] + words + end
    for pieces in ([body], [body[at : at + 1] for at in range(len(body))]):
        for cut_by in (CLEAN, BROKEN):
            played = chat(*pieces, cut_by=cut_by)
            assert type(played.error) is StreamTruncatedError
            assert quoted in str(played.error)
            assert cut_by in str(played.error)


def test_text_before_another_event_is_not_quoted_in_the_error() -> None:
    for more in (CHAT[2], CHAT[2] * 40):
        assert "x-note" not in str(chat(CHAT[0] + b"x-note: hi\n\n" + more).error)


def test_unknown_fields_do_not_change_a_complete_stream() -> None:
    plain = chat(*CHAT)
    for note in (b"x-note: hi\n", b"note\n", b'{"a": 1}\n', b"[INFO] {}\n", b'"message": "x"\n'):
        played = chat(*(note + piece for piece in CHAT), *(note + b"\n",))
        assert (played.raws, played.verdict, played.error) == (plain.raws, plain.verdict, None)


# -------------------------------------------------------------------- the outcome does not depend on the split

_names = st.sampled_from(
    ["", "", "error", " error", "ping", "message", "response.output_text.delta", "response.failed"]
)
_extra_lines = st.sampled_from(["", "", ": k\n", "id: 1\n", "x: y\n", "retry: 5\n", '{"error": "e"}\n', "\n"])
_datas = (
    st.sampled_from([chunk("a"), chunk("b", "stop"), chunk("c", type="error"), chunk("d", error={"message": "m"})])
    | st.sampled_from(
        [
            {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "t"},
            {"type": "error", "message": "m"},
            {"error": {"message": "m"}},
            [{"error": {"message": "m"}}],
            {"type": "response.completed", "response": {"id": "r"}},
        ]
    )
    | st.sampled_from(
        ["[DONE]", "[DONE]x", "null", "1", "pong", ":", "", "{oops", '{"choices":[{"delta":{"content":"\\ud83e"}}]}']
    )
    | any_json
)


@st.composite
def _bodies(draw: st.DrawFn) -> list[bytes]:
    blocks: list[bytes] = []
    for _ in range(draw(st.integers(1, 8))):
        name, space = draw(_names), draw(st.sampled_from([" ", "", "  "]))
        data = draw(_datas)
        text = data if isinstance(data, str) else json.dumps(data)
        head = f"event:{space}{name}\n" if name else ""
        blocks.append((draw(_extra_lines) + head + f"data:{space}{text}\n\n").encode(errors="replace"))
    return blocks


def outcome(played: Played) -> tuple[Any, ...]:
    error = played.error
    said = None if error is None else (type(error), str(error), error.code, repr(error.partial))
    return json.dumps(played.raws), played.verdict, played.text, repr(played.snapshot), said


@given(_bodies(), st.sampled_from([chat, responses]), st.integers(1, 200), st.booleans())
def test_the_outcome_does_not_depend_on_the_split(
    blocks: list[bytes], make: Callable[..., Played], size: int, whole_end: bool
) -> None:
    first = {chat: CHAT[0], responses: RESPONSES[0]}[make]
    body = b"".join([first, *blocks])[: None if whole_end else -1]
    whole = outcome(make(body))
    assert outcome(make(first, *([body[len(first) :]] if len(body) > len(first) else []))) == whole
    assert outcome(make(*(body[at : at + size] for at in range(0, len(body), size)))) == whole


@given(_bodies(), st.sampled_from([ChatProtocol, ResponseProtocol]))
def test_decoding_ahead_gives_the_same_events_as_one_by_one(blocks: list[bytes], make: Callable[[], Any]) -> None:
    class OneByOne(Decoder[Any]):
        _decoded_ahead = 1

    first = {ChatProtocol: CHAT[0], ResponseProtocol: RESPONSES[0]}[make]
    body = b"".join([first, *blocks])
    with pytest.MonkeyPatch.context() as patch:
        ahead = Played(make(), [body])
        patch.setattr(lifecycle, "Decoder", OneByOne)
        single = Played(make(), [body])
    assert outcome(ahead) == outcome(single)


# --------------------------------------------------------------------------------------------------------------- floods


@pytest.mark.promise(n=7)
@pytest.mark.parametrize(
    "unit",
    [b"\n", b":\n\n", b": k\n", b"x: 1\n\n", b"x\n", b"data: : k\n\n", b"data:\n\n", b"data: null\n\n", b"id: 1\n\n"],
    ids=repr,
)
@pytest.mark.parametrize("decoder_class", [Decoder, MessageDecoder])
def test_next_event_does_a_bounded_amount_of_work_if_there_is_no_event(unit: bytes, decoder_class: type[Any]) -> None:
    """Count the calls of `next_event`: each may process only a few thousand lines before it returns."""
    decoder = decoder_class(ChatProtocol())
    decoder.receive_data(CHAT[0])
    assert not isinstance(decoder.next_event(), Signal)
    lines = 100_000
    decoder.receive_data(unit * (lines // unit.count(b"\n")) + b"\n" + sse(chunk("end")))
    calls = 0
    while isinstance(event := decoder.next_event(), Signal):
        assert event is NEED_DATA
        assert decoder.has_more
        calls += 1
    assert event.choices[0].delta.content == "end"
    assert calls >= lines / (20 * WORK_AT_ONCE)
    assert decoder.next_event() is NEED_DATA
    assert not decoder.has_more


@pytest.mark.promise(n=6)
def test_messages_without_events_do_not_accumulate() -> None:
    decoder = MessageDecoder(ChatProtocol())
    for _ in range(50):
        decoder.receive_data(b"data: : k\n\n" * 1000)
        while decoder.next_event() is NEED_DATA and decoder.has_more:
            pass
    assert len(decoder.messages) <= 1000


def test_the_error_for_a_large_event_names_the_option() -> None:
    decoder: Decoder[Any] = Decoder(ChatProtocol(), limit=1000)
    decoder.receive_data(b"data: " + b"x" * 2000)
    with pytest.raises(APIResponseValidationError, match="max_event_bytes"):
        decoder.next_event()
