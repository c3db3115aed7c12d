"""Error bodies of servers: every shape that was seen in practice, and some that were not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import any_json

from trio_openai._wire.failures import api_error, decode_body
from trio_openai.errors import (
    APIError,
    APIStatusError,
    BadRequestError,
    InternalServerError,
    RateLimitError,
    status_error_class,
)

pytestmark = pytest.mark.promise(n=3)

NO_REASON = "the server gave no reason"


def said(body: Any) -> APIError:
    """Return the error of a body, given as bytes or as the JSON value that they hold."""
    return api_error(APIError, decode_body(body if isinstance(body, bytes) else json.dumps(body).encode()))


SHAPES: dict[str, tuple[Any, str]] = {
    "OpenAI": (
        {
            "error": {
                "message": "no such model",
                "type": "invalid_request_error",
                "param": None,
                "code": "model_not_found",
            }
        },
        "no such model",
    ),
    "flat": ({"message": "no such model", "code": "model_not_found"}, "no such model"),
    "vLLM": ({"object": "error", "message": "no such model", "type": "NotFoundError", "code": 404}, "no such model"),
    "a string (Ollama)": ({"error": "model 'x' not found"}, "model 'x' not found"),
    "a status phrase beside the message (Fastify)": (
        {"statusCode": 400, "error": "Bad Request", "message": "n must be 1"},
        "n must be 1",
    ),
    "a detail (FastAPI)": ({"detail": "Not Found"}, "Not Found"),
    "details (FastAPI)": (
        {
            "detail": [
                {"loc": ["body", "n"], "msg": "must be 1", "type": "value_error"},
                {"loc": ["query"], "msg": "no"},
            ]
        },
        "body.n: must be 1; query: no",
    ),
    "details with an index": ({"detail": [{"loc": ["body", "messages", 0], "msg": "bad"}]}, "body.messages.0: bad"),
    "nested details": ({"detail": {"message": "no such model"}}, "no such model"),
    "a list (Gemini)": ([{"error": {"code": 404, "message": "no such model", "status": "NOT_FOUND"}}], "no such model"),
    "errors (Cloudflare)": ({"success": False, "errors": [{"code": 7000, "message": "no route"}]}, "no route"),
    "a problem (RFC 9457)": ({"type": "about:blank", "title": "Not Found", "status": 404}, "Not Found"),
    "a problem with a detail": ({"title": "Not Found", "detail": "no such model"}, "no such model"),
    "msg": ({"code": 1301, "msg": "no such model"}, "no such model"),
    "a message in a message": ({"error": {"message": {"detail": "no such model"}}}, "no such model"),
    "plain text": (b"upstream connect error", "upstream connect error"),
    "plain text on several lines": (b" upstream\n\tconnect   error\r\n", "upstream connect error"),
    "a JSON string": (b'"no such model"', "no such model"),
    "a page with a title": (
        b"<!DOCTYPE html><html><head><title>502\nBad Gateway</title></head></html>",
        "502 Bad Gateway",
    ),
    "a page without a title": (b"<html><body><h1>Bad</h1>\n<p>Gateway</body></html>", "Bad Gateway"),
    "a page with a title in capitals": (b"<HTML><TITLE lang=en>Oops</TITLE></HTML>", "Oops"),
    "nothing": (b"", NO_REASON),
    "white space": (b" \r\n", NO_REASON),
    "null": (b"null", NO_REASON),
    "an empty object": ({}, NO_REASON),
    "an empty list": ([], NO_REASON),
    "an empty error": ({"error": {}}, NO_REASON),
    "an error that is null": ({"error": None}, NO_REASON),
    "an object that says something else": ({"status": 500}, '{"status":500}'),
    "an error that says something else": ({"error": {"code": "busy"}}, '{"code":"busy"}'),
    "a list of texts": ({"errors": ["a", "b"]}, "a; b"),
    "a number": (b"5", "5"),
    "a word cut in two": (b'{"error": {"message": "no such m', '{"error": {"message": "no such m'),
    "half a character": (b"caf\xc3", "caf\ufffd"),
}


@pytest.mark.parametrize(("body", "message"), SHAPES.values(), ids=SHAPES.keys())
def test_a_readable_message(body: Any, message: str) -> None:
    assert said(body).message == str(said(body)) == message


@pytest.mark.parametrize(("body", "message"), SHAPES.values(), ids=SHAPES.keys())
def test_with_what_the_status_says_before_it(body: Any, message: str) -> None:
    value = decode_body(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert api_error(InternalServerError, value, prefix="HTTP 502").message == f"HTTP 502: {message}"


@pytest.mark.parametrize("body", [case[0] for case in SHAPES.values() if not isinstance(case[0], bytes)], ids=str)
def test_the_body_is_kept(body: Any) -> None:
    assert said(body).body == body


def test_the_body_is_text_if_it_is_no_json() -> None:
    assert said(b"<html>").body == "<html>"
    assert said(b'{"error": "no').body == '{"error": "no'
    assert said(b"").body is None


@pytest.mark.parametrize(
    ("body", "code", "kind", "param"),
    [
        ({"error": {"message": "m", "code": "c", "type": "t", "param": "p"}}, "c", "t", "p"),
        ({"message": "m", "code": "c", "type": "t", "param": "p"}, "c", "t", "p"),
        ({"error": "m", "code": "c", "type": "t"}, "c", "t", None),
        ({"error": {"code": 503}}, 503, None, None),
        ({"type": "error", "message": "m", "code": "c"}, "c", None, None),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, None, "overloaded_error", None),
        ({"error": {"code": None, "type": None, "param": None}}, None, None, None),
        ({"error": {"code": [1], "type": {}, "param": 5}}, None, None, None),
        ({"error": {"code": 1.5}}, None, None, None),
    ],
    ids=str,
)
def test_what_is_understood_beside_the_message(body: Any, code: Any, kind: str | None, param: str | None) -> None:
    error = said(body)
    assert (error.code, error.type, error.param) == (code, kind, param)


def test_the_class_and_what_else_is_known() -> None:
    error = api_error(RateLimitError, {"error": "slow"}, request_id="req_1", partial=5)
    assert type(error) is RateLimitError
    assert isinstance(error, APIStatusError)
    assert (error.request_id, error.partial) == ("req_1", 5)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "x" * 10_000}},
        {"error": "x" * 10_000},
        {"errors": [{"message": "x" * 10_000}] * 1000},
        {"detail": [{"loc": ["x" * 10_000] * 1000, "msg": "x" * 10_000}]},
        {"x": "x" * 10_000},
        b"x" * 1_000_000,
        b"<" * 1_000_000,
        b"<html>" + b"<" * 1_000_000,
        b"<html>" + b"<title>" * 100_000,
    ],
    ids=lambda body: repr(body)[:30],
)
def test_a_long_body_gives_a_short_message(body: Any) -> None:
    assert 0 < len(said(body).message) < 2000


@given(any_json)
def test_no_words_are_a_reason_to_crash(value: Any) -> None:
    for body in (
        value,
        {"error": value},
        {"error": {"message": value, "code": value, "type": value}},
        {"detail": [value]},
    ):
        error = api_error(BadRequestError, body, prefix="HTTP 400")
        assert error.message.startswith("HTTP 400: ")
        assert len(error.message) > len("HTTP 400: ")


@given(st.binary(max_size=100))
def test_no_bytes_are_a_reason_to_crash(body: bytes) -> None:
    assert isinstance(said(body).message, str)


@pytest.mark.parametrize("opening", ["[", '{"message":', '{"error":', '{"detail":['])
@pytest.mark.parametrize("depth", [10, 300, 700, 1000, 5000, 100_000])
def test_no_depth_is_a_reason_to_crash(opening: str, depth: int) -> None:
    closing = {"[": "]", "{": "}"}
    end = "".join(closing[character] for character in reversed(opening) if character in closing)
    error = said((opening * depth + "1" + end * depth).encode())
    assert len(error.message) < 2000


@pytest.mark.parametrize("cut", range(0, 90, 7))
def test_half_a_body_says_what_it_can(cut: int) -> None:
    whole = b'{"error": {"message": "no such model", "type": "invalid_request_error", "code": null}}'
    error = said(whole[:cut])
    assert isinstance(error.message, str)
    assert error.body is None or whole.startswith(str(error.body).encode())


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (300, "APIStatusError"),
        (400, "BadRequestError"),
        (401, "AuthenticationError"),
        (402, "APIStatusError"),
        (403, "PermissionDeniedError"),
        (404, "NotFoundError"),
        (409, "ConflictError"),
        (418, "APIStatusError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
        (599, "InternalServerError"),
    ],
)
def test_the_class_of_a_status(status: int, name: str) -> None:
    assert status_error_class(status).__name__ == name
