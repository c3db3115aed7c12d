"""Invalid calls of every endpoint show no secret of their headers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from endpoint_helpers import CASES, NAMES, Case
from net_helpers import CHAT, client_over, no_environment, outcome, serve
from secret_helpers import SECRET, assert_hidden

from trio_openai import APIError
from trio_openai.testing import Reply

HELLO = Reply.chat("Hello there.")
PLAIN = Reply.chat("Hello there.", stream=False)


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(autouse=True)
def nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail every test here if the key is logged, also by httpx or httpcore."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "trio_openai"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    for record in caplog.get_records("call"):
        assert SECRET not in record.getMessage()
        assert SECRET not in repr(vars(record))


@pytest.mark.parametrize("case", CASES, ids=NAMES)
async def test_refused_call_of_any_endpoint_shows_no_header(nursery: trio.Nursery, case: Case) -> None:
    server = await serve(nursery, Reply.error(400, f"no {SECRET}"))
    client, _ = client_over(server, api_key=SECRET)
    hidden = {"extra_headers": {"api-key": SECRET}}

    async def enter(**params: Any) -> None:
        async with case.of(client).stream(*case.where, **params):
            pass

    async with client:
        for more in ({}, {"top_k": 1}, {"timeout": "x"}, {"extra_body": 3}, {"extra_query": 3}):
            params = {**case.params, **hidden, **more}
            for door in (enter, case.create(client)):
                where = () if door is enter else case.where
                error = await outcome(door, *where, **params)
                assert isinstance(error, APIError if not more else TypeError)
                assert_hidden(error)


async def test_refused_plain_call_shows_no_header(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.error(400, f"no {SECRET}"))
    client, _ = client_over(server, api_key=SECRET)
    calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (client.models.retrieve, ("m",), {}),
        (client.embeddings.create, (), {"model": "m", "input": "x"}),
        (client.responses.cancel, ("r",), {}),
        (client.responses.delete, ("r",), {}),
    ]
    async with client:
        for method, where, params in calls:
            for more in ({}, {"top_k": 1}, {"timeout": "x"}):
                error = await outcome(method, *where, **params, **more, extra_headers={"api-key": SECRET})
                assert isinstance(error, APIError if not more else TypeError)
                assert_hidden(error)
        for more in ({"top_k": 1}, {"timeout": "x"}):
            for refuse in (
                lambda more=more: client.models.list(**more, extra_headers={"api-key": SECRET}),
                lambda more=more: client.stream_request("POST", "/x", **more, extra_headers={"api-key": SECRET}),
                lambda more=more: client.audio.speech.stream_bytes(
                    input="x", model="m", voice="v", **more, extra_headers={"api-key": SECRET}
                ),
            ):
                with pytest.raises(TypeError) as caught:
                    refuse()
                assert_hidden(caught.value)


@pytest.mark.parametrize("answer", [Reply.json({"error": {"message": f"no {SECRET}"}}), Reply.json([SECRET])])
async def test_key_repeated_in_a_raw_response_is_hidden_in_the_error(
    nursery: trio.Nursery, autojump_clock: object, answer: Reply
) -> None:
    server = await serve(nursery, answer)
    async with server.client(api_key=SECRET) as client:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    with pytest.raises(APIError, match=r"\*\*\*") as caught:
        raw.parse()
    assert_hidden(caught.value)
    assert SECRET in raw.text, "what the server sent can be looked at as it is"


async def test_refused_call_of_an_unknown_endpoint_shows_no_header(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.error(400, f"no {SECRET}"))
    client, _ = client_over(server, api_key=SECRET)
    hidden = {"extra_headers": {"api-key": SECRET}}
    mistakes: list[dict[str, Any]] = [
        {"top_k": 1},
        {"timeout": "x"},
        {"query": 3},
        {"cast_to": 3},
        {"extra_query": 3},
    ]
    async with client:
        for method in (client.get, client.post, client.with_raw_response.delete):
            for more in ({}, *mistakes):
                error = await outcome(method, "/things", **more, **hidden)
                assert isinstance(error, APIError if not more else TypeError)
                assert_hidden(error)
        for path in (f"https://me:{SECRET}@example.com/x", f"//{SECRET}@example.com/x?key={SECRET}"):
            error = await outcome(client.get, path, **hidden)
            assert isinstance(error, ValueError)
            assert SECRET not in str(error)
