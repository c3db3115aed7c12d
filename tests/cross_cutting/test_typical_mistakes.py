"""First mistakes of a program that was written for another client. Each error says what to do instead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import trio
from net_helpers import CHAT
from secret_helpers import assert_hidden

from trio_openai import AzureOpenAI, RateLimiter, TrioOpenAI
from trio_openai.sync import SyncOpenAI

LOCAL = "http://127.0.0.1:9/v1"
PLACE = {"azure_endpoint": "https://mine.openai.azure.com", "api_version": "2024-10-21"}


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (lambda client: client.close, r"await client\.aclose\(\)"),
        (lambda client: client.copy, r"with_options"),
        (lambda client: client.beta, r"client\.chat"),
        (lambda client: client.chat.completions.parse, r"response_format="),
        (lambda client: client.responses.parse, r"text_format="),
        (lambda client: client.chat.completions.with_streaming_response, r"raw_bytes"),
        (lambda client: client.with_raw_response.base_url, r"only the endpoints of the client, not base_url"),
        (lambda client: client.with_raw_response.stream_request, r"endpoints of the client, not stream_request"),
        (lambda client: client.nonsense, r"^'TrioOpenAI' object has no attribute 'nonsense'$"),
    ],
)
def test_openai_python_names_say_what_to_use_instead(look: Callable[[Any], object], words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        look(TrioOpenAI(base_url=LOCAL))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("aclose", r"client\.close\(\)"),
        ("run_many", "ThreadPoolExecutor"),
        ("stream_many", "ThreadPoolExecutor"),
        ("race", "use TrioOpenAI"),
        ("nonsense", "^'SyncOpenAI' object has no attribute 'nonsense'$"),
    ],
)
def test_what_the_blocking_client_lacks_says_what_to_use_instead(name: str, words: str) -> None:
    with SyncOpenAI(base_url=LOCAL) as client, pytest.raises(AttributeError, match=words):
        getattr(client, name)


@pytest.mark.parametrize("make", [TrioOpenAI, SyncOpenAI])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"http_client": httpx.Client()}, r"httpx\.AsyncClient or .*, not Client"),
        ({"http_client": httpx.AsyncClient}, r"not the class AsyncClient"),
        ({"http_client": httpx.AsyncHTTPTransport()}, r"not AsyncHTTPTransport"),
        ({"limiter": RateLimiter}, r"not the class RateLimiter: make one, as in RateLimiter\(\.\.\.\)"),
        ({"limiter": 3}, r"RateLimiter.*not int.*max_connections"),
        ({"limiter": trio.CapacityLimiter(3)}, r"not CapacityLimiter.*max_connections"),
        ({"max_connections": "3"}, r"whole number"),
    ],
)
def test_wrong_http_client_or_limiter_raises_when_the_client_is_created(
    make: Callable[..., object], options: dict[str, Any], words: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make(base_url=LOCAL, **options)


def test_wrong_options_of_the_blocking_client_raise_at_once() -> None:
    client: Any = SyncOpenAI(base_url=LOCAL)
    with pytest.raises(AttributeError, match="response_format="):
        _ = client.chat.completions.parse


async def stream(client: TrioOpenAI) -> None:
    async with client.chat.completions.stream(**CHAT):
        pass


async def enter(client: TrioOpenAI) -> None:
    async with client:
        await stream(client)


@pytest.mark.parametrize(
    "use",
    [
        lambda client: client.chat.completions.create(**CHAT),
        lambda client: client.chat.completions.with_raw_response.create(**CHAT),
        stream,
        enter,
    ],
)
def test_error_under_asyncio_says_that_trio_is_not_running(use: Callable[[TrioOpenAI], Awaitable[object]]) -> None:
    async def main() -> None:  # noqa: ASYNC910 - asyncio has no checkpoints
        await use(TrioOpenAI(base_url=LOCAL))

    with pytest.raises(RuntimeError, match=r"inside of trio\.run.*SyncOpenAI"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"azure_endpoint": "mine.openai.azure.com", "api_key": "k"}, r"azure_endpoint has to begin with https://"),
        ({"azure_ad_token_provider": "a-token"}, r"takes a function; a token itself is given as azure_ad_token"),
    ],
)
def test_azure_option_of_wrong_type_names_the_option(options: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words) as caught:
        AzureOpenAI(**{**PLACE, **options})
    assert_hidden(caught.value, "a-token")


async def test_unknown_parameter_suggests_the_name_of_this_api() -> None:
    client: Any = TrioOpenAI(base_url=LOCAL)
    with pytest.raises(TypeError, match="did you mean 'input'"):
        await client.responses.create(model="m", messages=[])
    with pytest.raises(TypeError, match="did you mean 'text_format'"):
        await client.responses.create(model="m", response_format={})
    with pytest.raises(TypeError, match=r"give the others by name, such as model=\.\.\."):
        await client.chat.completions.create("m", [])
