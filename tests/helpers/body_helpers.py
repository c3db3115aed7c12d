"""Bodies served whole and byte by byte, and read as events and as text: the result has to be the same each time."""

from __future__ import annotations

import json
from typing import Any

import attrs
import trio

from trio_openai import (
    APIError,
)
from trio_openai.testing import Reply, ScriptedServer

HI = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
YOU = b'data: {"choices":[{"index":0,"delta":{"content":" you"}}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"

CREATED = b'data: {"type":"response.created","response":{"id":"r1","status":"in_progress","output":[]}}\n\n'
HELLO = (
    b'data: {"type":"response.output_text.delta","output_index":0,"item_id":"m1","content_index":0,"delta":"Hello"}\n\n'
)
WORLD = (
    b'data: {"type":"response.output_text.delta","output_index":0,"item_id":"m1","content_index":0,"delta":" you"}\n\n'
)
COMPLETED = b'data: {"type":"response.completed","response":{"id":"r1","status":"completed","output":[]}}\n\n'

CHAT_DONE = "done by [DONE] (stop)"
COMPLETE = "done by terminal_event (response.completed)"

HEADERS = {"content-type": "text/event-stream", "x-request-id": "req_1"}


@attrs.define
class Heard:
    """Everything that a program got from one stream."""

    raws: list[Any] = attrs.field(factory=list)
    events: list[Any] = attrs.field(factory=list)
    texts: list[str] = attrs.field(factory=list)
    snapshot: Any = None
    verdict: str = ""
    error: Any = None

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def message(self) -> Any:
        return self.snapshot.choices[0].message


def manager(client: Any, responses: bool, params: dict[str, Any]) -> Any:
    if responses:
        return client.responses.stream(model="m", input="Hi", **params)
    return client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}], **params)


async def listen(client: Any, responses: bool, as_text: bool, params: dict[str, Any]) -> Heard:
    heard = Heard()
    async with manager(client, responses, params) as stream:
        try:
            if as_text:
                heard.texts = [text async for text in stream.text_deltas]
            else:
                async for event in stream:
                    heard.events.append(event)
                    heard.raws.append(event.raw)
        except APIError as error:
            heard.error = error
        heard.snapshot, heard.verdict = stream.snapshot, str(stream.verdict)
    return heard


async def play(*body: Any, responses: bool = False, framing: str = "chunked", **params: Any) -> Heard:
    """Read a body whole, byte by byte and as text, check that the results agree, and return them."""
    reply = Reply(headers=HEADERS, body=body, framing=framing)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        server = ScriptedServer([reply, reply.sliced(1), reply])
        await server.start(nursery, memory=True)
        async with server.client(max_retries=0) as client:
            with trio.fail_after(10):
                whole = await listen(client, responses, False, params)
                bytewise = await listen(client, responses, False, params)
                as_text = await listen(client, responses, True, params)
        with trio.fail_after(10):
            await server.wait_closed()
        await server.aclose()
    assert (bytewise.raws, bytewise.verdict, str(bytewise.error)) == (whole.raws, whole.verdict, str(whole.error))
    assert whole.snapshot == bytewise.snapshot == as_text.snapshot
    assert whole.verdict == as_text.verdict
    assert all(heard.error is None or heard.error.request_id == "req_1" for heard in (whole, bytewise, as_text))
    whole.texts = as_text.texts
    whole.error = whole.error or as_text.error
    return whole


async def play_response(*body: Any, **params: Any) -> Heard:
    return await play(*body, responses=True, **params)


def objects(*lines: bytes) -> list[Any]:
    return [json.loads(line.removeprefix(b"data: ")) for line in lines]


async def served(nursery: trio.Nursery, *body: Any, memory: bool = True, **options: Any) -> ScriptedServer:
    server = ScriptedServer(Reply(headers=HEADERS, body=body, **options))
    await server.start(nursery, memory=memory)
    return server
