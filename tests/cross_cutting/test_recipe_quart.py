"""The recipe "SSE from Quart": what a browser gets, and that the model's server notices when the browser leaves."""

from __future__ import annotations

import importlib.util
import runpy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from trio_openai.testing import Pause, Reply, ScriptedServer, sse_event

RECIPE = Path(__file__).parents[2] / "docs" / "examples" / "sse_quart.py"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("quart_trio") is None, reason="quart-trio is not installed")


@asynccontextmanager
async def recipe_on(upstream: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Serve the recipe's app on a socket of this machine, and yield the port. The upstream server has one too."""
    import hypercorn.trio
    from hypercorn.config import Config

    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    config.graceful_timeout = 1
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await upstream.start(nursery)
        monkeypatch.setenv("OPENAI_BASE_URL", upstream.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-example")
        app = runpy.run_path(str(RECIPE))["app"]
        serve = partial(hypercorn.trio.serve, shutdown_trigger=stop.wait)
        bound: list[str] = await nursery.start(serve, app, config)
        with trio.fail_after(20):
            yield int(bound[0].rpartition(":")[2])
            stop.set()
            await upstream.wait_closed()
        nursery.cancel_scope.cancel()


async def open_page(port: int) -> trio.SocketStream:
    """Connect as a browser does, and ask for an answer."""
    browser = await trio.open_tcp_stream("127.0.0.1", port)
    await browser.send_all(b"GET /answer?prompt=Hi HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return browser


async def read_until(browser: trio.SocketStream, wanted: bytes) -> bytes:
    received = b""
    while wanted not in received:
        data = await browser.receive_some()
        assert data, received
        received += data
    return received


async def test_browser_gets_the_answer_as_events(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = ScriptedServer(Reply.chat("Hi there."))
    async with recipe_on(upstream, monkeypatch) as port, await open_page(port) as browser:
        received = await read_until(browser, b"event: done\ndata: {}\n\n")
    assert b"content-type: text/event-stream" in received
    assert b'data: "Hi "\n\n' in received
    assert upstream.requests[0].json()["messages"] == [{"role": "user", "content": "Hi"}]
    assert upstream.statistics().disconnects == 0


async def test_browser_that_leaves_cancels_the_upstream_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave while the app waits for the model's server, which would stay silent for an hour."""
    silence = Reply.sse({"choices": [{"index": 0, "delta": {"content": "Hi"}}]}, Pause(3600))
    upstream = ScriptedServer(silence)
    async with recipe_on(upstream, monkeypatch) as port:
        async with await open_page(port) as browser:
            await read_until(browser, b'data: "Hi"\n\n')
            assert upstream.statistics().disconnects == 0
        await upstream.wait_disconnect()
        await upstream.wait_closed()
    assert len(upstream.requests) == 1


async def test_browser_that_leaves_without_reading_cancels_the_upstream_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Leave while the app is stuck in a write to the browser, so that its generator is between two events."""
    event = sse_event({"choices": [{"index": 0, "delta": {"content": "x" * 60_000}}]})
    upstream = ScriptedServer(Reply(headers={"content-type": "text/event-stream"}, body=[event] * 2000))
    async with recipe_on(upstream, monkeypatch) as port:
        browser = await open_page(port)
        await upstream.wait_requests(1)
        await trio.sleep(0.5)  # the buffers on the way fill up
        assert upstream.statistics().disconnects == 0
        await browser.aclose()
        await upstream.wait_disconnect()


async def test_failure_of_the_upstream_server_is_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    upstream = ScriptedServer(Reply.error(400, "the key sk-secret is not yours"))
    async with recipe_on(upstream, monkeypatch) as port, await open_page(port) as browser:
        received = await read_until(browser, b"event: failed\ndata: {}\n\n")
    assert b"sk-secret" not in received
