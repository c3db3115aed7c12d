"""The options of the blocking client, its keys from functions, and its secrets."""

from __future__ import annotations

import contextlib
import faulthandler
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import attrs
import httpx
import pytest
import trio
import trio.testing
from net_helpers import CHAT, no_environment
from sync_helpers import answer, in_thread, loop_threads, served, signal_when_waiting

import trio_openai
from trio_openai import (
    APIError,
    BadRequestError,
    OpenAIError,
    TrioTransport,
    Usage,
)
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import RecordedRequest, Reply, Stall

HELLO = Reply.chat("Hello there, friend!")

SILENT = attrs.evolve(HELLO, body=(Stall(),))
FAULTS = {"a status": Reply.error(400, "no", code="bad"), "cut": HELLO.cut_after(500), "Ctrl-C": SILENT}


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """End the run if a test hangs, since nothing else could interrupt it. Check that no thread is left."""
    faulthandler.dump_traceback_later(60, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
    assert loop_threads() == []


def test_blocking_with_options_shares_connections() -> None:
    with served(answer) as server, server.client() as client:
        client.chat.completions.create(**CHAT)
        other = client.with_options(timeout=7, default_headers={"x-mine": "1"}).with_options(max_retries=5)
        assert (other.timeout.idle, other.max_retries, other.base_url) == (7, 5, client.base_url)
        other.chat.completions.create(**CHAT)
        assert server.server.requests[1].header("x-mine") == "1"
        assert client.statistics().transport.opened == 1  # type: ignore[union-attr]
        for wrong in ({"max_connections": 3}, {"nonsense": 1}):
            with pytest.raises(TypeError):
                client.with_options(**wrong)
        other.close()
        with pytest.raises(trio.ClosedResourceError):
            client.chat.completions.create(**CHAT)


async def async_key() -> str:
    await trio.lowlevel.checkpoint()
    return "sk-async"


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("sk-text", "sk-text"),
        (lambda: "sk-plain", "sk-plain"),
        (async_key, "sk-async"),
        (lambda: async_key(), "sk-async"),
    ],
)
def test_key_may_be_a_string_function_or_async_function(key: Any, sent: str) -> None:
    with served(answer) as server, server.client(api_key=key) as client:
        client.chat.completions.create(**CHAT)
        assert server.server.requests[0].header("authorization") == f"Bearer {sent}"


def test_blocking_key_function_does_not_block_other_calls() -> None:
    asked, go = threading.Event(), threading.Event()

    def slow_key() -> str:
        asked.set()
        go.wait()
        return "sk-slow"

    with served(answer) as server, server.client() as client:
        thread, came = in_thread(lambda: client.with_options(api_key=slow_key).chat.completions.create(**CHAT))
        asked.wait()
        client.chat.completions.create(**CHAT)
        go.set()
        thread.join()
        assert came[0].choices[0].message.content == "Hello there, friend!"


def test_ctrl_c_does_not_wait_for_a_key_function() -> None:
    go = threading.Event()

    def slow_key() -> str:
        go.wait()
        return "sk-slow"

    with served(answer) as server, server.client(api_key=slow_key) as client:
        with pytest.raises(KeyboardInterrupt), signal_when_waiting():
            client.chat.completions.create(**CHAT)
        go.set()
        assert server.server.requests == []


def test_missing_key_and_invalid_options_raise_at_once() -> None:
    with pytest.raises(OpenAIError):
        SyncOpenAI()
    with pytest.raises(ValueError, match="max_connections"):
        SyncOpenAI(api_key="k", max_connections=0)
    with pytest.raises(TypeError, match="api_key"):
        SyncOpenAI(api_key=7)  # type: ignore[arg-type]


def test_http_client_cannot_be_used_in_two_loops() -> None:
    with served(answer) as server:
        http = httpx.AsyncClient(transport=TrioTransport(), trust_env=False)
        with server.client(http_client=http) as client:
            client.chat.completions.create(**CHAT)

            async def main() -> None:
                await trio.to_thread.run_sync(lambda: client.chat.completions.create(**CHAT))

            with pytest.raises(RuntimeError, match="one event loop"):
                trio.run(main)
        assert http.is_closed


SECRET = "sk-proj-9f8e7d6c5b4a"


def locals_of_ours(error: BaseException) -> str:
    """Return the local variables that a traceback shows in our frames."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames = [frame for frame in shown.stack if frame.filename.startswith(trio_openai.__path__[0])]
    assert frames
    return repr([frame.locals for frame in frames])


def test_invalid_options_and_parameters_show_no_secret() -> None:
    with pytest.raises(ValueError, match="max_connections") as caught:
        SyncOpenAI(api_key=SECRET, default_headers={"x-a": SECRET}, max_connections=0)
    assert SECRET not in locals_of_ours(caught.value)
    wrong: dict[str, Any] = {**CHAT, "extra_headers": {"x-b": SECRET}, "seed": object()}
    with SyncOpenAI(api_key=SECRET, base_url="http://127.0.0.1:9/v1") as client:
        for use in (
            lambda: client.chat.completions.stream(**wrong).__enter__(),
            lambda: client.chat.completions.stream(**{**wrong, "messages": "Hi"}).__enter__(),
            lambda: client.chat.completions.create(**wrong),
            lambda: client.responses.create(stream=True, **wrong),
            lambda: client.with_options(default_headers={"x-c": SECRET}, api_key=SECRET, nonsense=1),
        ):
            with pytest.raises(TypeError) as mistaken:
                use()
            assert SECRET not in locals_of_ours(mistaken.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_tracebacks_show_neither_key_nor_headers(fault: str) -> None:
    secret = SECRET
    reply = FAULTS[fault]
    with served(reply) as server, server.client(api_key=secret, default_headers={"x-a": secret + "1"}) as client:
        things: list[object] = [client, client.chat.completions]

        def fail() -> None:
            manager = client.chat.completions.stream(**CHAT, extra_headers={"x-b": secret + "2"})
            things.append(manager)
            with manager as stream:
                things.append(stream)
                with signal_when_waiting() if fault == "Ctrl-C" else contextlib.nullcontext():
                    stream.until_done()

        with pytest.raises(KeyboardInterrupt if fault == "Ctrl-C" else APIError) as caught:
            fail()
        assert server.server.requests[0].header("x-b") == secret + "2"
        assert secret not in repr(things)
    assert secret not in locals_of_ours(caught.value)


def test_api_errors_are_raised_as_is() -> None:
    with served(Reply.error(400, "no", code="bad")) as server, server.client() as client:
        with pytest.raises(BadRequestError) as caught:
            client.chat.completions.create(**CHAT)
        assert (caught.value.code, caught.value.request_id) == ("bad", "req_scripted")


def test_blocking_client_asks_for_the_usage_falls_back_and_adds_it_up() -> None:
    def script(request: RecordedRequest) -> Reply:
        if "stream_options" in request.json():
            return Reply.error(400, "unknown parameter: stream_options")
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        done = {"id": "c", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
        return Reply.sse({**done, "usage": usage})

    with served(script) as server, server.client(max_retries=0) as client:
        assert client.statistics().usage == Usage()
        for _ in range(2):
            with client.chat.completions.stream(**CHAT, usage=True) as stream:
                assert stream.get_final_completion().text == "hi"
        assert client.statistics().usage == Usage(input_tokens=10, output_tokens=6)
        asked = ["stream_options" in request.json() for request in server.server.requests]
        assert asked == [True, False, False]
