"""Header injection: no header, path or method of a program can change where a request ends."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from net_helpers import CHAT, client_over, no_environment, outcome, serve

from trio_openai import TrioOpenAI
from trio_openai._request.request import check_target
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply

PLAIN = Reply.chat("Hello.", stream=False)
FRAMING = ["Content-Length", "content-length", "Transfer-Encoding", "TRANSFER-ENCODING"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


async def use(stream: Any) -> None:
    async with stream as opened:
        await opened.until_done()


@pytest.mark.parametrize("name", FRAMING)
async def test_extra_headers_cannot_set_the_body_length(
    nursery: trio.Nursery, autojump_clock: object, name: str
) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    extra = {name: "0", "X-Fine": "1"}
    async with client:
        for call in (
            lambda: client.chat.completions.create(**CHAT, extra_headers=extra),
            lambda: client.chat.completions.create(**CHAT, stream=True, extra_headers=extra),
            lambda: use(client.responses.stream(model="m", input="x", extra_headers=extra)),
            lambda: client.models.list(extra_headers=extra),
            lambda: client.audio.transcriptions.create(model="m", file=("a", b"x"), extra_headers=extra),
            lambda: use(client.stream_request("POST", "/x", json={}, extra_headers=extra)),
            lambda: client.chat.completions.with_raw_response.create(**CHAT, extra_headers=extra),
        ):
            error = await outcome(call)
            assert isinstance(error, ValueError)
            assert name in str(error)
    assert server.requests == []


@pytest.mark.parametrize("name", FRAMING)
def test_default_headers_cannot_set_the_body_length(name: str) -> None:
    azure = {"azure_endpoint": "http://localhost", "api_version": "1"}
    for make in (
        lambda **more: TrioOpenAI(api_key="k", **more),
        lambda **more: SyncOpenAI(api_key="k", **more),
        lambda **more: AzureOpenAI(api_key="k", **azure, **more),
        TrioOpenAI(api_key="k").with_options,
    ):
        with pytest.raises(ValueError, match=name):
            make(default_headers={name: "5"})


@pytest.mark.parametrize("path", ["/a\r\n", "/a\r\nX: y", "/a\n", "/a\x00", "/a\x7fb", "/\x85", "/a?b=\t", "/\ud800"])
async def test_control_character_in_a_path_raises_value_error(
    nursery: trio.Nursery, autojump_clock: object, path: str
) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        for other in (client, client.with_options(default_query={"a": "b"})):
            for method in ("GET", "POST", "DELETE"):
                error = await outcome(lambda: use(other.stream_request(method, path)))  # noqa: B023
                assert type(error) is ValueError
                assert "cannot be sent" in str(error)
    assert server.statistics().accepted == 0


@pytest.mark.parametrize("method", ["GET\r\n", "PO ST", "", "G\x00", "GET /x HTTP/1.1\r\nX:"])
async def test_invalid_http_method_raises_value_error(
    nursery: trio.Nursery, autojump_clock: object, method: str
) -> None:
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        error = await outcome(lambda: use(client.stream_request(method, "/x")))
        assert type(error) is ValueError
    assert server.statistics().accepted == 0


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_other_characters_are_allowed_in_a_path(path: str) -> None:
    check_target("POST", "/" + path)
