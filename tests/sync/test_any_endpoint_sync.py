"""Requests of the blocking client to any endpoint."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from net_helpers import no_environment
from plain_helpers import ITEMS, items
from sync_helpers import served

from trio_openai import APIResponseValidationError, Page
from trio_openai.sync import SyncAzureOpenAI, SyncPage, SyncRawResponse
from trio_openai.testing import RecordedRequest, Reply
from trio_openai.types import Model


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@attrs.define
class Thing:
    id: str


def test_blocking_methods_send_and_return_the_same(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"{}\n")
    with served(Reply.json({"id": "1"})) as server, server.client() as client:
        assert client.get("/things/1") == {"id": "1"}
        assert client.get("/things/1", cast_to=Thing) == Thing("1")
        assert client.get("/things/1", cast_to=Model).id == "1"
        assert client.get("/things/1", cast_to=bytes) == b'{"id":"1"}'
        assert client.post("/files", files={"file": path}, body={"purpose": "batch"}) == {"id": "1"}
        assert (
            client.put("/things/1", body={"a": 1}) == client.patch("/things/1", body={}) == client.delete("/things/1")
        )
        raw = client.with_raw_response.request("POST", "/things", cast_to=Thing)
        assert isinstance(raw, SyncRawResponse)
        assert (raw.status_code, raw.parse()) == (200, Thing("1"))
        with pytest.raises(APIResponseValidationError, match="does not fit"):
            client.get("/things/1", cast_to=list[Thing])
        with pytest.raises(ValueError, match="the API key must not go anywhere else"):
            client.get("https://example.com/things")
        sent = [request.method for request in server.server.requests]
    assert sent == ["GET", "GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "POST", "GET"]


def test_blocking_pages_continue_to_the_end() -> None:
    def by_item(request: RecordedRequest) -> Reply:
        after = request.target.partition("after=")[2]
        return items(request) if not after else Reply.json({"data": ITEMS[2:], "has_more": False})

    with served(by_item) as server, server.client() as client:
        page = client.get("/things", cast_to=Page[Thing])
        assert isinstance(page, SyncPage)
        assert [one.id for one in page] == [item["id"] for item in ITEMS]
        raw = client.with_raw_response.get("/things", cast_to=Page[Thing]).parse()
        assert isinstance(raw, SyncPage)
        assert [one.id for one in raw] == [item["id"] for item in ITEMS]


def test_blocking_azure_client_reaches_any_endpoint() -> None:
    with served(Reply.json({"id": "1"})) as server:
        base_url = server.server.base_url
        with SyncAzureOpenAI(base_url=base_url, api_version="1", api_key="k" * 9) as client:
            assert client.post("/chat/completions", body={"model": "m"}) == {"id": "1"}
        (request,) = server.server.requests
    assert request.target == "/v1/deployments/m/chat/completions?api-version=1"
