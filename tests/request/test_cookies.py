"""Cookies from servers are discarded. Else they would accumulate, and leak from one API key to another."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from every_client import certificates
from net_helpers import CHAT, client_over, no_environment, serve

from trio_openai import TrioOpenAI
from trio_openai.testing import RecordedRequest, Reply

PLAIN = Reply.chat("Hello there.", stream=False)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def setting_cookies(request: RecordedRequest) -> Reply:
    if request.path.endswith("/moved"):
        return PLAIN
    headers = [("set-cookie", f"c{number}={'x' * 50}; Path=/") for number in range(20)]
    if request.header("x-move"):
        return Reply(307, [*headers, ("location", "/v1/moved")])
    return attrs.evolve(PLAIN, headers=(*PLAIN.headers, *headers))


async def use(client: Any) -> None:
    for key in ("one", "two"):
        other = client.with_options(api_key=key)
        await other.chat.completions.create(**CHAT)
        await other.chat.completions.create(**CHAT, extra_headers={"X-Move": "1"})


async def test_cookies_from_servers_are_discarded(nursery: trio.Nursery) -> None:
    server = await serve(nursery, setting_cookies, memory=False)
    async with TrioOpenAI(api_key="k", base_url=server.base_url) as client:
        await use(client)
        assert list(client._session.http.cookies.jar) == []
    assert len(server.requests) == 6
    assert {request.header("cookie") for request in server.requests} == {None}


async def test_cookie_header_of_the_program_is_sent(nursery: trio.Nursery, autojump_clock: object) -> None:
    server = await serve(nursery, setting_cookies)
    client, _ = client_over(server)
    async with client:
        await client.chat.completions.create(**CHAT, extra_headers={"Cookie": "mine=1", "X-Move": "1"})
        await client.chat.completions.create(**CHAT)
    assert [request.header("cookie") for request in server.requests] == ["mine=1", "mine=1", None]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
async def test_foreign_client_sends_only_cookies_of_the_program(nursery: trio.Nursery, library: str) -> None:
    package: Any = pytest.importorskip(library)
    for mine, sent in ((None, None), ({"mine": "1"}, "mine=1")):
        server = await serve(nursery, setting_cookies, memory=False)
        http = package.AsyncClient(verify=certificates(), cookies=mine)
        async with server.client(http_client=http) as client:
            await use(client)
        assert len(server.requests) == 6
        assert {request.header("cookie") for request in server.requests} == {sent}
