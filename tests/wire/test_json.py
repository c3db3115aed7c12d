"""JSON: the same values, whichever library decodes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import any_json, texts

from trio_openai._protocols.chat.protocol import ChatProtocol
from trio_openai._wire import json as seam
from trio_openai._wire.decoder import END, Decoder
from trio_openai._wire.encode import encode_json
from trio_openai._wire.json import BACKENDS, decode_json, decode_strictly, decode_text, has_long_integer, use_backend
from trio_openai._wire.json_deep import MAX_DEPTH, decode_deep


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    before = seam.backend()
    use_backend(request.param)
    yield request.param
    use_backend(before)


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[" * (depth % 2) + b"]" * (depth % 2) + b"]}" * (depth // 2)


def depth_of(value: Any) -> int:
    depth = 0
    while isinstance(value, dict | list):
        depth += 1
        value = value["a"] if isinstance(value, dict) else value[0] if value else None
    return depth


@pytest.mark.parametrize(
    "number",
    [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**22, 12345678901234567890123, 10**400, 10**4299],
    ids=lambda number: f"{len(str(number))} digits",
)
@pytest.mark.parametrize("around", ["%s", "[%s]", '{"created":%s,"a":0.5}', ' [1,\n%s ,"x"] ', '{"a":{"b":[%s]}}'])
def test_integers_of_any_size_arrive_as_integers(number: int, around: str) -> None:
    for offset in range(7):  # the search for long numbers looks at every sixth byte
        text = " " * offset + around % number
        value = decode_json(text.encode())
        assert value == json.loads(text)
        assert repr(value) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["0.1234567890123456789", "-1.0000000000000000000001", "1e0000000000000000000000001"])
def test_floats_with_many_digits_stay_floats(text: str) -> None:
    assert decode_json(text.encode()) == float(text)
    assert isinstance(decode_json(b"12345678901234567890123.5"), float)
    assert isinstance(decode_json(b"12345678901234567890123e1"), float)


def test_long_numbers_that_are_no_integers_do_not_need_the_slow_way() -> None:
    assert not has_long_integer([b'{"logprob":-0.00012345678901234567}'])
    assert not has_long_integer([b'{"created":1735689600,"id":"chatcmpl-123456789012345678"}'])
    assert has_long_integer([b"[]", b'{"n":12345678901234567890}', b"[]"])


@pytest.mark.parametrize("digits", [4301, 100_000])
def test_integers_with_more_digits_than_python_converts_are_a_value_error(digits: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own words
        decode_json(b"[%s]" % (b"7" * digits))


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"[1e400,-1e400,Infinity]", [float("inf"), float("-inf"), float("inf")]),
        (b'"\\ud83d"', "\ud83d"),
        (b'{"\\ud83d":"\\ud83d\\ude00"}', {"\ud83d": "😀"}),
        (b"[-0,1E5,1e-400]", [0, 100000.0, 0.0]),
        (b'"\\u0000\x7f"', "\x00\x7f"),
    ],
)
def test_odd_json_is_decoded_alike(data: bytes, value: Any) -> None:
    decoded = decode_json(data)
    assert decoded == value
    assert repr(decoded) == repr(value)


def test_not_a_number_is_decoded() -> None:
    assert repr(decode_json(b'{"a":NaN}')) == "{'a': nan}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[DONE]",
        b'"\xff"',
        b'"\xc3"',
        b'"\xed\xa0\xbd"',
        b"\xef\xbb\xbf{}",
        b'"a\x01"',
        b"01",
        b"1.",
        b"{,}",
        b"[1,]",
    ],
    ids=ascii,
)
def test_what_is_no_json_is_refused_alike(data: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        decode_json(data)
    use_backend("stdlib")
    with pytest.raises(ValueError) as other:  # noqa: PT011
        decode_json(data)
    assert str(caught.value) == str(other.value)


@pytest.mark.parametrize("depth", [10, 500, 990, MAX_DEPTH])
def test_deep_nesting_is_decoded_up_to_one_limit(depth: int) -> None:
    assert depth_of(decode_json(nested(depth))) == depth


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 100_000])
def test_deeper_nesting_is_refused(depth: int) -> None:
    for data in (nested(depth), b"[" * depth):
        with pytest.raises(ValueError):  # noqa: PT011 - the decoders' own words
            decode_json(data)


def test_brackets_in_strings_do_not_count_as_nesting() -> None:
    text = '"' + '[{\\"' * 5000 + '"'
    assert decode_json(text.encode()) == json.loads(text)


@given(any_json)
def test_every_value_is_decoded_alike(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert repr(decode_text(text)) == repr(json.loads(text))
        assert repr(decode_deep(text, json.JSONDecoder())) == repr(json.loads(text))


@given(st.binary(max_size=30) | st.text('[]{},:"\\ 0123456789.-eEtrufalsn', max_size=30).map(str.encode))
def test_any_bytes_are_decoded_or_refused_alike(data: bytes) -> None:
    try:
        expected = repr(json.loads(data.decode()))
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            decode_json(data)
        return
    assert repr(decode_json(data)) == expected
    assert repr(decode_deep(data.decode(), json.JSONDecoder())) == expected


@given(st.text('[]{},:"\\ 01.-etrufalsn', max_size=20))
def test_the_decoder_without_recursion_refuses_what_others_refuse(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011
            decode_deep(text, json.JSONDecoder())


@given(texts)
def test_text_is_decoded_whatever_halves_are_in_it(text: str) -> None:
    assert decode_text(json.dumps(text, ensure_ascii=False)) == text


def test_strict_decoding_refuses_what_the_standard_forbids() -> None:
    assert decode_strictly(b'{"a":[1.5]}') == {"a": [1.5]}
    for data in (b"NaN", b"[Infinity]", b"-Infinity"):
        with pytest.raises(ValueError, match="is not allowed"):
            decode_strictly(data)


@given(any_json)
def test_every_value_is_sent_alike(value: Any) -> None:
    body = encode_json({"a": value})
    use_backend("stdlib")
    assert json.loads(body) == json.loads(encode_json({"a": value}))


def test_not_a_number_is_sent_as_null() -> None:
    assert json.loads(encode_json({"a": [float("nan"), float("-inf")], "b": "\ud83d"}))["a"] == [None, None]
    assert json.loads(encode_json({"a": [float("nan"), float("-inf")]}))["a"] == [None, None]


def test_events_have_large_integers_wherever_they_come_in_a_stream() -> None:
    number = 98765432109876543210987
    decoder = Decoder(ChatProtocol())
    chunk = b'data: {"created":%d,"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n' % number
    decoder.receive_data(chunk * 3 + b"data: [DONE]\n\n")
    events: list[Any] = []
    while (event := decoder.next_event()) is not END:
        events.append(event)
    assert [event.created for event in events] == [number] * 3
    assert decoder.protocol.snapshot().created == number
