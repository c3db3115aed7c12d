"""Large events: decoded as any other, in less than twice their memory."""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import DONE, chat, chunk, responses

from trio_openai._protocols.typed_events import ImageProtocol
from trio_openai._wire import large, sse
from trio_openai._wire.decoder import Decoder, Signal
from trio_openai._wire.json import decode_json
from trio_openai._wire.large import put_strings_back, take_strings_out
from trio_openai.errors import APIError, APIResponseValidationError

pytestmark = pytest.mark.promise(n=6)

PICTURE = "iVBORw0KGgo/+A" * (3 * 2**20 // 14)


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def decoded(pieces: list[bytes]) -> object:
    text, strings = take_strings_out(list(pieces))
    return put_strings_back(decode_json(text), strings)


_strings = st.sampled_from(
    ["", "AAAA" * 20, "QUJD" * 9 + "==", "data:image/png;base64," + "QQ" * 30, 'A\\"A', "é", "\ud83e"]
)
_values: st.SearchStrategy[Any] = st.recursive(
    _strings | st.text(max_size=30) | st.integers() | st.just(10**40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_strings, inner, max_size=3),
    max_leaves=8,
)


@given(_values, st.integers(1, 40), st.integers(1, 12), st.booleans())
def test_a_value_is_the_same_with_its_long_strings_taken_out_and_put_back(
    value: Any, size: int, least: int, plain: bool
) -> None:
    body = json.dumps(value, ensure_ascii=plain).encode(errors="surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "_LEAST", least)
        assert result(lambda: decoded(cut(body, size))) == result(lambda: decode_json(body))


def result(function: Callable[[], object]) -> object:
    try:
        return function()
    except ValueError:
        return ValueError


@given(st.binary(max_size=60) | st.text('A"\\{}[]:,1', max_size=60).map(str.encode), st.integers(1, 20))
def test_what_is_no_json_is_none_with_its_strings_taken_out(body: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(large, "_LEAST", 2)
        assert result(lambda: decoded(cut(body, size))) == result(lambda: decode_json(body))


def test_many_strings_each_in_its_place() -> None:
    value = {"a": [PICTURE[: 200_000 + n] for n in range(20)], PICTURE[:300_000]: {"b": PICTURE}}
    assert decoded(cut(json.dumps(value).encode(), 65_536)) == value


@pytest.mark.parametrize("size", [1000, 60_000, 10**9])
def test_a_large_event_is_delivered_as_it_was_sent(size: int) -> None:
    raw = chunk(None, images=[{"image_url": {"url": "data:image/png;base64," + PICTURE}}])
    body = b"data: " + json.dumps(raw).encode() + b"\n\n"
    assert chat(*cut(body + DONE, size)).raws == [raw]
    assert chat(*cut(body.rstrip(), size)).raws == [raw]
    item = {"type": "image_generation_call", "id": "i", "result": PICTURE}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    assert responses(*cut(b"event: x\ndata: " + json.dumps(done).encode() + b"\n\n", size)).raws == [done]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'data: {"choices": "' + PICTURE.encode() + b'"\n\n', APIResponseValidationError),
        (b'data: {"error": {"message": "' + PICTURE.encode() + b'"}}\n\n', APIError),
        (b'event: error\ndata: {"message": "' + PICTURE.encode() + b'"}\n\n', APIError),
        (b"event: error\ndata: " + PICTURE.encode() + b"\n\n", APIError),
        (b'data: "' + PICTURE.encode() + b'"\n\n', APIResponseValidationError),
    ],
    ids=["half", "error", "named error", "text", "string"],
)
def test_a_large_event_that_is_an_error(body: bytes, error: type[Exception]) -> None:
    for pieces in (cut(body, 60_000), [body]):
        played = chat(*pieces)
        assert type(played.error) is error
        assert "long string" not in str(played.error)
        assert len(str(played.error)) < 1000


# A tracer, such as that of coverage, keeps CPython from appending to a string in place. CI also runs this without one.
@pytest.mark.skipif(sys.gettrace() is not None, reason="a tracer changes what takes how much memory")
@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024])
def test_a_picture_takes_less_than_twice_its_memory_from_bytes_to_event(size: int) -> None:
    total = 16 * 2**20
    body = b'data: {"type":"image_generation.completed","b64_json":"' + b"A" * total + b'","created_at":1}\n\n'
    decoder: Decoder[Any] = Decoder(ImageProtocol(1))
    event: Any = None
    tracemalloc.start()
    try:
        for at in range(0, len(body), size):
            decoder.receive_data(body[at : at + size])
            while isinstance(pulled := decoder.next_event(), Signal) and decoder.has_more:
                pass
            event = pulled
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(event.b64_json) == total
    assert held < 1.1 * total
    assert peak < 1.9 * total


def test_what_is_kept_of_a_large_event_is_what_was_sent_also_in_messages() -> None:
    parser = sse.SSEParser()
    parser.receive_data(b"data: " + PICTURE.encode() + b"\n\n")
    events = []
    while parser.has_more:
        events += parser.next_events()
    assert [data for data, _ in events] == [PICTURE.encode()]
