"""The types of the methods that reach any endpoint: the functions are checked, and never called."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import attrs

from trio_openai import AzureOpenAI, Page, RawResponse, TrioOpenAI
from trio_openai.sync import SyncAzureOpenAI, SyncOpenAI, SyncPage, SyncRawResponse
from trio_openai.types import Model


@attrs.define
class Store:
    """The answer of an endpoint, as a program declares it."""

    id: str


async def answers_of_the_async_client(client: TrioOpenAI, azure: AzureOpenAI) -> None:
    assert_type(await client.get("/stores/1"), dict[str, Any])
    assert_type(await client.get("/stores/1", cast_to=Store, query={"a": 1}, timeout=3), Store)
    assert_type(await client.get("/models/m", cast_to=Model), Model)
    assert_type(await client.get("/files/1/content", cast_to=bytes), bytes)
    assert_type(await client.get("/files/1/content", cast_to=str), str)
    assert_type(await client.get("/any", cast_to=object), object)
    assert_type(await client.get("/stores", cast_to=list[Store]), list[Store])
    assert_type(await client.get("/stores", cast_to=Page[Store]), Page[Store])
    async for store in await client.get("/stores", cast_to=Page[Store]):
        assert_type(store, Store)
    assert_type(await client.post("/stores", body={"name": "n"}), dict[str, Any])
    assert_type(await client.post("/files", files={"file": Path("a")}, cast_to=Store), Store)
    assert_type(await client.put("/stores/1", files=[("a", b""), ("b", ("n", b"", "text/plain"))]), dict[str, Any])
    assert_type(await client.patch("/stores/1", cast_to=Store, extra_headers={"a": "b"}), Store)
    assert_type(await client.delete("/stores/1", cast_to=Store), Store)
    assert_type(await client.request("GET", "/stores", cast_to=Page[Store]), Page[Store])
    assert_type(await client.request("POST", "/stores", body=[1], cast_to=Store), Store)
    assert_type(await azure.get("/stores/1", cast_to=Store), Store)
    await client.get("/stores", body={})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await client.get(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await client.post("/stores", bod={})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def raw_answers_of_the_async_client(client: TrioOpenAI) -> None:
    raw = client.with_raw_response
    assert_type(await raw.get("/stores/1"), RawResponse[dict[str, Any]])
    assert_type(await raw.get("/stores", cast_to=Page[Store]), RawResponse[Page[Store]])
    assert_type(await raw.post("/stores", cast_to=Store), RawResponse[Store])
    assert_type(await raw.request("PUT", "/stores", cast_to=bytes), RawResponse[bytes])


def answers_of_the_blocking_client(client: SyncOpenAI, azure: SyncAzureOpenAI) -> None:
    assert_type(client.get("/stores/1"), dict[str, Any])
    assert_type(client.get("/stores/1", cast_to=Store), Store)
    assert_type(client.get("/stores", cast_to=Page[Store]), SyncPage[Store])
    assert_type(client.get("/files/1/content", cast_to=bytes), bytes)
    assert_type(client.post("/files", body={}, files={"file": b""}, cast_to=Store), Store)
    assert_type(client.request("PATCH", "/stores/1"), dict[str, Any])
    assert_type(azure.delete("/stores/1", cast_to=Store), Store)
    raw = client.with_raw_response
    assert_type(raw.get("/stores/1", cast_to=Store), SyncRawResponse[Store])
    assert_type(raw.get("/stores", cast_to=Page[Store]), SyncRawResponse[SyncPage[Store]])
    client.post("/stores", bod={})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
