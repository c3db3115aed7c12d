"""TLS that ends without `close_notify` may have been cut by anybody, so it does not prove the end of a body."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
import trustme
from net_helpers import CHAT, TLSFront, outcome, serve

from trio_openai import APIConnectionError, APIError, StreamTruncatedError, TrioOpenAI, TrioTransport
from trio_openai.testing import Reply

pytestmark = pytest.mark.promise(n=4)

Use = Callable[[TrioOpenAI], Awaitable[object]]


@pytest.fixture(scope="module")
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("good.test").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


async def ask(nursery: trio.Nursery, tls: Any, use: Use, reply: Reply, *, says_goodbye: bool) -> tuple[Any, int]:
    server = await serve(nursery, reply)
    front = TLSFront(server, tls[0], nursery, says_goodbye=says_goodbye)
    transport = TrioTransport(open_stream=front.open_stream, ssl_context=tls[1])
    http = httpx.AsyncClient(transport=transport, trust_env=False)
    async with TrioOpenAI(api_key="k", base_url="https://good.test/v1", http_client=http, max_retries=0) as client:
        result = await outcome(use, client)
        assert transport.statistics().active == 0
    return result, len(server.requests)


async def chat(client: TrioOpenAI) -> object:
    async with client.chat.completions.stream(**CHAT) as stream:
        return (await stream.get_final_completion()).choices[0].message.content


async def plain(client: TrioOpenAI) -> object:
    return (await client.chat.completions.create(**CHAT)).choices[0].message.content


async def text(client: TrioOpenAI) -> object:
    return await client.audio.transcriptions.create(model="m", file=("a.wav", b"x"), response_format="text")


async def sound(client: TrioOpenAI) -> object:
    return await client.audio.speech.create(model="m", voice="v", input="x")


async def sound_in_pieces(client: TrioOpenAI) -> object:
    async with client.audio.speech.stream_bytes(model="m", voice="v", input="x") as stream:
        return await stream.read()


HELLO = Reply.chat("Hello there.")
WITHOUT_DONE = attrs.evolve(HELLO, body=HELLO.body[:-1], framing="close")
TEXT = Reply(200, {"content-type": "text/plain"}, b"Hello there.")
UNTIL_CLOSE = {
    "a text": (text, attrs.evolve(TEXT, framing="close")),
    "bytes": (sound, attrs.evolve(TEXT, framing="close")),
    "bytes in pieces": (sound_in_pieces, attrs.evolve(TEXT, framing="close")),
    "a chat without [DONE]": (chat, WITHOUT_DONE),
}
SELF_DELIMITING = {
    "a length": (text, attrs.evolve(TEXT, close_after=True)),
    "chunks": (sound, attrs.evolve(TEXT, framing="chunked", close_after=True)),
    "a chat with [DONE]": (chat, attrs.evolve(HELLO, framing="close")),
    "JSON": (plain, attrs.evolve(Reply.chat("Hello there.", stream=False), framing="close")),
}


@pytest.mark.parametrize(("use", "reply"), UNTIL_CLOSE.values(), ids=UNTIL_CLOSE.keys())
async def test_missing_close_notify_is_truncation_if_only_the_close_ends_the_body(
    nursery: trio.Nursery, autojump_clock: object, tls: Any, use: Use, reply: Reply
) -> None:
    error, _ = await ask(nursery, tls, use, reply, says_goodbye=False)
    assert isinstance(error, APIConnectionError)
    assert "close_notify" in str(error)
    if use in (chat, sound_in_pieces):
        assert isinstance(error, StreamTruncatedError)
    result, _ = await ask(nursery, tls, use, reply, says_goodbye=True)
    assert result in ("Hello there.", b"Hello there.")


@pytest.mark.parametrize(("use", "reply"), SELF_DELIMITING.values(), ids=SELF_DELIMITING.keys())
async def test_missing_close_notify_is_accepted_if_the_body_states_its_end(
    nursery: trio.Nursery, autojump_clock: object, tls: Any, use: Use, reply: Reply
) -> None:
    result, _ = await ask(nursery, tls, use, reply, says_goodbye=False)
    assert result in ("Hello there.", b"Hello there.")


async def test_json_truncated_by_the_end_of_tls_is_an_error(
    nursery: trio.Nursery, autojump_clock: object, tls: Any
) -> None:
    cut = attrs.evolve(Reply.chat("Hello there.", stream=False).cut_after(60), framing="close")
    for says_goodbye in (False, True):
        error, _ = await ask(nursery, tls, plain, cut, says_goodbye=says_goodbye)
        assert isinstance(error, APIError)
