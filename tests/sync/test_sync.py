"""The blocking client: it has the same names and delivers the same as `TrioOpenAI`, and leaves nothing behind."""

from __future__ import annotations

import faulthandler
import inspect
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from net_helpers import CHAT, no_environment
from sync_helpers import answer, loop_threads, served, signal_when_waiting

from trio_openai import (
    APIError,
    APITimeoutError,
    ChatCompletionStream,
    Deadlines,
    ResponseStream,
    TrioOpenAI,
)
from trio_openai.sync import SyncChatCompletionStream, SyncOpenAI, SyncResponseStream
from trio_openai.testing import Cut, Reply, Stall

HELLO = Reply.chat("Hello there, friend!")

STALLED = attrs.evolve(HELLO, body=(*HELLO.body[:3], Stall()))
SILENT = attrs.evolve(HELLO, body=(Stall(),))
NEVER = attrs.evolve(HELLO, delay=float("inf"))


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


# The same names and results.


def test_chat_completion_is_streamed() -> None:
    with served(HELLO) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            assert isinstance(stream, SyncChatCompletionStream)
            assert (stream.request_id, stream.response.status_code) == ("req_scripted", 200)
            assert stream.verdict.state == "open"
            texts = [choice.delta.content for chunk in stream for choice in chunk.choices]
            completion = stream.get_final_completion()
        assert texts == ["", "Hello ", "there, ", "friend!", None]
        assert completion.choices[0].message.content == "Hello there, friend!"
        assert completion == stream.snapshot
        assert str(stream.verdict) == "done by [DONE] (stop)"
        assert stream.timings.first_content is not None
        assert repr(stream) == "<SyncChatCompletionStream done by [DONE] (stop)>"


def test_response_is_streamed() -> None:
    with served(answer) as server, server.client() as client:
        with client.responses.stream(model="m", input="Hi") as stream:
            assert isinstance(stream, SyncResponseStream)
            assert "".join(stream.text_deltas) == "Hello there, friend!"
            assert stream.get_final_response().output_text == "Hello there, friend!"
        assert stream.verdict.by == "terminal_event"
        assert client.statistics().transport.idle == 1  # type: ignore[union-attr]


def test_settle_reads_the_usage_and_delivers_no_event() -> None:
    with served(answer) as server, server.client() as client:
        with client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **CHAT) as stream:
            next(stream)
            stream.settle(5)
            assert stream.snapshot.usage is not None
            assert stream.verdict.state == "done"
            with pytest.raises(StopIteration):
                next(stream)
        with client.chat.completions.create(stream=True, **CHAT) as again:
            next(again)
            again.settle(0)
            assert again.verdict.state == "closed"


def test_create_returns_an_object_or_a_stream() -> None:
    with served(answer) as server, server.client() as client:
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "Hello there, friend!"
        assert client.responses.create(model="m", input="Hi").output_text == "Hello there, friend!"
        with client.chat.completions.create(stream=True, **CHAT) as chat:
            assert "".join(chat.text_deltas) == "Hello there, friend!"
        response = client.responses.create(stream=True, model="m", input="Hi")
        response.until_done()
        response.close()
        assert response.snapshot.output_text == "Hello there, friend!"
        assert client.statistics().open_streams == 0
        opened = client.statistics().transport
        assert opened is not None
        assert (opened.opened, opened.reused) == (1, 3)


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("ours", "its"),
    [
        (SyncOpenAI(api_key="k"), TrioOpenAI(api_key="k")),
        (SyncChatCompletionStream, ChatCompletionStream),
        (SyncResponseStream, ResponseStream),
        (SyncOpenAI(api_key="k").chat.completions, TrioOpenAI(api_key="k").chat.completions),
        (SyncOpenAI(api_key="k").responses, TrioOpenAI(api_key="k").responses),
    ],
)
def test_blocking_classes_have_the_same_public_names(ours: object, its: object) -> None:
    """Check all names but those of methods that take a nursery: here, programs use threads instead."""
    internal = {"open", "source", "text", "pump_in", "read_ahead", "caller"}
    nursery = {"start_stream", "subscribe", "call", "stream_many", "run_many", "race", "key"}
    there = {"close" if name == "aclose" else name for name in public(its)}
    assert public(ours) - internal == there - internal - nursery


def test_blocking_client_takes_the_same_options() -> None:
    ours, its = (inspect.signature(cls).parameters for cls in (SyncOpenAI, TrioOpenAI))
    assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in its.values()]
    with SyncOpenAI(api_key="k") as client:
        for wrong in ({"model": "m"}, {"model": "m", "messages": "Hi"}, {**CHAT, "extra_headers": "x"}):
            with pytest.raises(TypeError), client.chat.completions.stream(**wrong):
                pass


REPLIES = {
    "whole": HELLO,
    "a response": Reply.response("Hello there, friend!"),
    "cut": Reply.chat("Hello there, friend!").cut_after(500),
    "cut before the first event": Reply.sse(Cut()),
    "no end": Reply.sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, done=False),
    "an error inside": Reply.sse({"choices": []}, {"error": {"message": "We are closed."}}),
    "not JSON": Reply.sse({"choices": []}, "{"),
    "HTML": Reply(headers={"content-type": "text/html"}, body=b"<html>"),
    "a status": Reply.error(400, "no", code="bad"),
    "comments": Reply(headers={"content-type": "text/event-stream"}, body=(b": ping\n\n", *HELLO.body, b": ping\n\n")),
    "a failed response": Reply.sse(
        {"type": "response.failed", "response": {"id": "r", "output": [], "error": {"message": "no"}}}, named=True
    ),
    "an error and then the failure": Reply.sse(
        {"type": "error", "message": "no"}, {"type": "response.failed", "response": {"id": "r"}}, named=True
    ),
}


def described(error: BaseException | None) -> object:
    if not isinstance(error, APIError):
        return type(error)
    return type(error), str(error), error.partial, error.request_id, error.code


async def from_trio(url: str, method: str, params: dict[str, Any], *, text: bool) -> list[object]:
    came: list[object] = []
    async with TrioOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        endpoint: Any = getattr(client, method) if method == "responses" else client.chat.completions
        try:
            async with endpoint.stream(**params) as stream:
                try:
                    async for event in stream.text_deltas if text else stream:
                        came += [event, stream.snapshot, stream.verdict]
                finally:
                    came += [stream.snapshot, stream.verdict]
        except APIError as error:
            came.append(described(error))
    return came


def from_sync(url: str, method: str, params: dict[str, Any], *, text: bool) -> list[object]:
    came: list[object] = []
    with SyncOpenAI(base_url=url, api_key="k", max_retries=0) as client:
        endpoint: Any = getattr(client, method) if method == "responses" else client.chat.completions
        try:
            with endpoint.stream(**params) as stream:
                try:
                    for event in stream.text_deltas if text else stream:
                        came += [event, stream.snapshot, stream.verdict]
                finally:
                    came += [stream.snapshot, stream.verdict]
        except APIError as error:
            came.append(described(error))
    return came


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("name", REPLIES)
def test_blocking_stream_delivers_the_same_as_the_async_stream(name: str, text: bool) -> None:
    """Compare the events, the snapshot and verdict after each event, and the error."""
    method, params = ("responses", {"model": "m", "input": "Hi"}) if "respon" in name else ("chat", CHAT)
    with served(REPLIES[name]) as server:
        expected = trio.run(lambda: from_trio(server.server.base_url, method, params, text=text))
        assert from_sync(server.server.base_url, method, params, text=text) == expected
    assert expected


def test_snapshot_contains_only_delivered_events() -> None:
    """Check that the snapshot does not run ahead, although one read brought all events."""
    at_once = attrs.evolve(HELLO, body=(b"".join(step for step in HELLO.body if isinstance(step, bytes)),))
    with served(at_once) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        assert [stream.snapshot.choices[0].message.content for _, _ in zip(range(3), stream, strict=False)] == [
            "",
            "Hello ",
            "Hello there, ",
        ]
        assert stream.verdict.state == "open"


def test_finished_stream_has_returned_its_connection() -> None:
    """Check that the connection is in the pool, although the server has not ended the body."""
    lingering = attrs.evolve(HELLO, body=(*HELLO.body, Stall()))
    with served(lingering) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        stream.until_done()
        assert client.statistics().open_streams == 0
        pool = client.statistics().transport
        assert pool is not None
        assert (pool.active, pool.idle) == (0, 1)
        with pytest.raises(StopIteration):
            next(stream)


def test_blocking_stream_that_fails_before_its_first_event_is_retried() -> None:
    with served([Reply.sse(Cut()), HELLO]) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            assert stream.get_final_completion().choices[0].message.content == "Hello there, friend!"
        assert stream.timings.retries == 1


def test_passed_deadline_raises() -> None:
    with served(SILENT) as server, server.client(timeout=Deadlines(first_event=0.001), max_retries=0) as client:
        with client.chat.completions.stream(**CHAT) as stream, pytest.raises(APITimeoutError) as caught:
            next(stream)
        assert caught.value.phase == "first_event"
        server.wait_disconnect()


def test_blocking_stream_manager_can_be_entered_only_once() -> None:
    with served(HELLO) as server, server.client() as client:
        manager = client.chat.completions.stream(**CHAT)
        with manager as stream:
            stream.until_done()
        with pytest.raises(RuntimeError, match="entered already"):
            manager.__enter__()


def test_slow_reader_slows_down_the_server() -> None:
    big = Reply.sse(*[{"choices": [], "padding": "x" * 50_000}] * 1000)
    with served(big) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        next(stream)
        server.call(trio.testing.wait_all_tasks_blocked)  # the server cannot write any more
        assert server.server._ledger.replying == 1
        assert sum(1 for _ in stream) == 999


# Nothing is left behind.


def test_break_closes_the_connection_at_once() -> None:
    with served(STALLED) as server, server.client() as client:
        with client.chat.completions.stream(**CHAT) as stream:
            for _ in stream:
                break
        server.wait_disconnect()
        assert stream.verdict.state == "closed"
        assert client.statistics().transport.active == 0  # type: ignore[union-attr]


def test_exception_in_the_block_is_raised_as_is_and_closes_the_connection() -> None:
    with served(STALLED) as server, server.client() as client:
        mine = ValueError("mine")

        def fail() -> None:
            with client.chat.completions.stream(**CHAT) as stream:
                for _ in stream:
                    raise mine

        with pytest.raises(ValueError, match="mine") as caught:
            fail()
        assert caught.value is mine
        assert (mine.__cause__, mine.__context__) == (None, None)
        server.wait_disconnect()


def reads(client: SyncOpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        for number, _ in enumerate(stream, start=1):
            if number == 3:
                with signal_when_waiting():
                    next(stream)


def reads_text(client: SyncOpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream, signal_when_waiting():
        for _ in stream.text_deltas:
            pass


def reads_without_a_block(client: SyncOpenAI) -> None:
    stream = client.chat.completions.create(stream=True, **CHAT)
    with signal_when_waiting():
        stream.until_done()


def opens(client: SyncOpenAI) -> None:
    with signal_when_waiting(), client.chat.completions.stream(**CHAT):
        pytest.fail("there was no answer")


def opens_without_a_block(client: SyncOpenAI) -> None:
    with signal_when_waiting():
        client.chat.completions.create(stream=True, **CHAT)


def asks_plainly(client: SyncOpenAI) -> None:
    with signal_when_waiting():
        client.chat.completions.create(**CHAT)


@pytest.mark.parametrize(
    ("reply", "run"),
    [
        (STALLED, reads),
        (SILENT, reads_text),
        (SILENT, reads_without_a_block),
        (NEVER, opens),
        (NEVER, opens_without_a_block),
        (NEVER, asks_plainly),
        (Reply(headers={"content-type": "application/json"}, body=(b"{", Stall())), asks_plainly),
    ],
)
def test_keyboard_interrupt_is_raised_as_is_and_closes_the_connection(
    reply: Reply, run: Callable[[SyncOpenAI], None]
) -> None:
    with served(reply) as server, server.client() as client:
        with pytest.raises(KeyboardInterrupt) as caught:
            run(client)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
        assert client.statistics().transport.active == 0  # type: ignore[union-attr]
        server.wait_disconnect()  # while the client is still open


def test_stream_interrupted_by_ctrl_c_is_closed() -> None:
    """Check that it cannot be read further: an event that was on its way is lost."""
    with served(STALLED) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:
        with pytest.raises(KeyboardInterrupt), signal_when_waiting():
            stream.until_done()
        assert stream.verdict.state == "closed"
        assert stream.snapshot.choices[0].message.content == "Hello there, "
        with pytest.raises(trio.ClosedResourceError):
            next(stream)


def test_exception_of_a_signal_handler_closes_the_connection() -> None:
    class AlarmError(Exception):
        pass

    def ring(number: int, frame: object) -> None:
        raise AlarmError

    before = signal.signal(signal.SIGUSR1, ring)
    try:
        with served(SILENT) as server, server.client() as client:
            with (
                pytest.raises(AlarmError),
                client.chat.completions.stream(**CHAT) as stream,
                signal_when_waiting(signal.SIGUSR1),
            ):
                next(stream)
            server.wait_disconnect()
            with client.chat.completions.stream(**CHAT):
                pass
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_signal_whose_handler_returns_does_not_interrupt() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: rung.set())
    try:
        with served(SILENT) as server, server.client() as client, client.chat.completions.stream(**CHAT) as stream:

            def close_when_rung() -> None:
                rung.wait()
                stream.close()

            closer = threading.Thread(target=close_when_rung)
            closer.start()
            with pytest.raises(trio.ClosedResourceError), signal_when_waiting(signal.SIGUSR1):
                next(stream)
            closer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_closing_the_client_closes_streams_and_its_thread() -> None:
    with served(STALLED) as server:
        client = server.client()
        stream = client.chat.completions.create(stream=True, **CHAT)
        next(stream)
        client.close()
        assert loop_threads() == []
        server.wait_closed()
        for use in (lambda: client.chat.completions.create(**CHAT), lambda: next(stream)):
            with pytest.raises(trio.ClosedResourceError):
                use()
        client.close()
        stream.close()
        assert stream.snapshot.choices[0].message.content == ""


def test_unused_client_starts_no_thread() -> None:
    with SyncOpenAI(base_url="http://127.0.0.1:9/v1") as client:
        assert loop_threads() == []
        assert client.statistics().open_streams == 0
    with pytest.raises(trio.ClosedResourceError):
        client.responses.create()
