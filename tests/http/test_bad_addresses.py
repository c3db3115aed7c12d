"""Invalid addresses: refused when the client is created, or a library error when a redirect leads to one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT, http_client, serve

from trio_openai import APIConnectionError, TrioOpenAI, TrioTransport
from trio_openai.testing import Reply


@pytest.mark.parametrize("port", [0, 65536, 99999])
@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "http://127.0.0.1:{}/v1"},
        {"proxy": "http://proxy.test:{}"},
        {"proxy": "socks5://proxy.test:{}"},
    ],
)
def test_invalid_port_is_refused_and_not_truncated(options: dict[str, str], port: int) -> None:
    given: dict[str, Any] = {"base_url": "http://127.0.0.1/v1", **options}
    with pytest.raises(ValueError, match=r"base_url has an invalid port|proxy: expected"):
        TrioOpenAI(**{name: value.format(port) for name, value in given.items()})


async def test_request_to_invalid_port_is_not_sent_through_socks_proxy(nursery: trio.Nursery) -> None:
    server = await serve(nursery, Reply.chat("Hello."))
    transport = TrioTransport(open_stream=server.open_stream, proxy="socks5://proxy.test")
    async with http_client(transport) as http:
        with pytest.raises(httpx.UnsupportedProtocol, match="cannot send a request"):
            await http.get("http://api.test:99999/")


@pytest.mark.parametrize(
    "location", ["javascript:1", "ftp://api.test/", "http://[::1", "http://api.test:port/", "http://127.0.0.1:99999/"]
)
async def test_redirect_to_invalid_address_is_a_library_error(
    nursery: trio.Nursery, autojump_clock: object, location: str
) -> None:
    server = await serve(nursery, Reply.json({}, status=307, headers={"location": location}))
    async with server.client(max_retries=0, follow_cross_origin_redirects=True) as client:
        with pytest.raises(APIConnectionError):
            await client.chat.completions.create(**CHAT)
        assert client.statistics().open_streams == 0
