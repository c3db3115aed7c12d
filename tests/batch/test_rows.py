"""Lines of input: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trio_openai._batch.rows import MOST_LINE_BYTES, BatchRow, BatchRowError, Defaults, parse_line

CHAT = "/v1/chat/completions"


def parsed(line: Any, **defaults: Any) -> BatchRow:
    row = parse_line(json.dumps(line).encode(), 1, Defaults(**defaults))
    assert isinstance(row, BatchRow), row
    return row


def refused(line: Any) -> str:
    text = line if isinstance(line, bytes) else json.dumps(line).encode()
    row = parse_line(text, 1, Defaults())
    assert isinstance(row, BatchRowError), row
    return row.message


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_a_line_of_the_batch_api_is_sent_as_it_is() -> None:
    body = {"model": "m", "messages": [user("x")], "top_k": 5}
    row = parsed({"custom_id": "a", "method": "POST", "url": CHAT, "body": body}, system="s", params={"n": 2})
    assert (row.custom_id, row.url, row.path, row.body) == ("a", CHAT, "/chat/completions", body)


def test_a_prompt_becomes_a_message_with_the_defaults() -> None:
    row = parsed({"prompt": "x"}, model="m", system="be kind", params={"temperature": 0})
    messages = [{"role": "system", "content": "be kind"}, user("x")]
    assert row.body == {"model": "m", "temperature": 0, "messages": messages}
    assert row.custom_id == row.digest.hex()


def test_a_line_wins_over_the_defaults() -> None:
    line = {"prompt": "x", "model": "own", "system": "mine", "temperature": 1, "params": {"top_k": 4}}
    row = parsed(line, model="m", system="s", params={"temperature": 0, "seed": 1, "top_k": 9})
    assert row.body["messages"][0]["content"] == "mine"
    assert {name: value for name, value in row.body.items() if name != "messages"} == {
        "model": "own",
        "temperature": 1,
        "seed": 1,
        "top_k": 4,
    }


def test_messages_that_have_a_system_message_keep_it() -> None:
    messages = [{"role": "developer", "content": "d"}, user("x")]
    assert parsed({"messages": messages}, system="s").body["messages"] == messages


def test_other_members_of_a_short_line_are_kept_for_the_output() -> None:
    row = parsed({"id": 5, "prompt": "x", "label": "cat", "temperature": 0})
    assert (row.custom_id, dict(row.fields)) == ("5", {"label": "cat"})
    assert "label" not in row.body


@pytest.mark.parametrize(
    ("url", "line", "body"),
    [
        ("/v1/responses", {"prompt": "x"}, {"input": "x", "instructions": "s"}),
        ("/v1/responses", {"messages": [user("x")]}, {"input": [user("x")], "instructions": "s"}),
        ("/v1/embeddings", {"input": ["x"], "dimensions": 3}, {"input": ["x"], "dimensions": 3}),
    ],
)
def test_short_lines_for_other_endpoints(url: str, line: dict[str, Any], body: dict[str, Any]) -> None:
    assert parsed(line, url=url, system="s").body == body


def test_a_completion_takes_the_prompt() -> None:
    assert parsed({"prompt": "x", "echo": True}, url="/v1/completions").body == {"prompt": "x", "echo": True}


def test_blank_lines_and_a_byte_order_mark_are_skipped() -> None:
    assert parse_line(b"  \r", 1, Defaults()) is None
    assert isinstance(parse_line(b'\xef\xbb\xbf{"prompt": "x"}\r', 1, Defaults()), BatchRow)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"[" * 5000, "not JSON"),
        ({}, "no request"),
        ({"custom_id": 1.5, "prompt": "x"}, "custom_id takes a string"),
        ({"method": "GET", "url": CHAT, "body": {}}, "method takes POST"),
        ({"url": "https://evil.example/v1", "body": {}}, "url takes a path"),
        ({"url": "//evil.example", "body": {}}, "url takes a path"),
        ({"url": CHAT, "body": "x"}, "body takes an object"),
        ({"prompt": 5}, "prompt takes a string"),
        ({"messages": ["x"]}, "messages takes a list of messages"),
        ({"prompt": "x", "system": 1}, "system takes a string"),
        ({"prompt": "x", "params": [1]}, "params takes an object"),
        (b'"' + b"x" * MOST_LINE_BYTES + b'"', "longer than 64 MiB"),
    ],
)
def test_a_line_that_is_no_request_says_why(line: Any, words: str) -> None:
    assert words in refused(line)
