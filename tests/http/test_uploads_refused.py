"""Uploads that are refused before anything is sent, and names that cannot change the form."""

from __future__ import annotations

import io
import os
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from net_helpers import client_over, no_environment, outcome, serve
from upload_helpers import PACKAGES, SAID, as_open_file, parts_of, transcribe

from trio_openai import TrioOpenAI


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


# Files that are refused.


posix = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")


async def refusal(nursery: trio.Nursery, file: Any) -> BaseException:
    """Return the error that an upload raises before anything is sent."""
    server = await serve(nursery, SAID)
    client, transport = client_over(server)
    async with client:
        with trio.fail_after(20):
            error = await outcome(transcribe, client, file)
        assert transport.statistics().active == 0
    assert server.requests == []
    assert isinstance(error, OSError | ValueError | TypeError), error
    return error


@posix
async def test_pipe_or_socket_is_refused_without_waiting(nursery: trio.Nursery, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name in ("pipe", "link"):
        assert re.search(f"{name}' is a pipe.*pass the bytes", str(await refusal(nursery, tmp_path / name)))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert "is a socket" in str(await refusal(nursery, tmp_path / "socket"))


@posix
async def test_pipe_that_replaces_a_file_is_refused_without_waiting(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(b"x")
    really = os.open

    def replaced(*args: Any) -> int:
        path.unlink()
        os.mkfifo(path)
        return really(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trio_openai._http.multipart.os.open", replaced)
        assert "is a pipe" in str(await refusal(nursery, path))


async def test_directory_is_refused_before_anything_is_sent(nursery: trio.Nursery, tmp_path: Path) -> None:
    error = await refusal(nursery, tmp_path)
    assert isinstance(error, IsADirectoryError)
    assert error.filename == str(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
async def test_file_with_content_but_size_zero_is_refused(nursery: trio.Nursery) -> None:
    for path, words in ((Path("/proc/self/status"), "has content"), (Path("/dev/zero"), "is a device")):
        assert words in str(await refusal(nursery, path))
        with as_open_file(path) as file:
            assert "has content" in str(await refusal(nursery, file))


async def test_empty_file_is_sent(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        with path.open("rb") as file:
            for given in (path, file, io.BytesIO(), b""):
                await transcribe(client, given)
    assert [parts_of(request)[-1].body for request in server.requests] == [b""] * 4


async def test_wrapped_text_file_is_refused_before_anything_is_sent(nursery: trio.Nursery, tmp_path: Path) -> None:
    for text in ("", "text"):
        with tempfile.NamedTemporaryFile("w+", dir=tmp_path) as file:
            file.write(text)
            assert "binary mode" in str(await refusal(nursery, file))


async def test_file_that_returns_too_many_bytes_is_an_os_error(nursery: trio.Nursery) -> None:
    class Eager(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(-1) if size else b""

    server = await serve(nursery, SAID)
    client, transport = client_over(server)
    async with client:
        error = await outcome(transcribe, client, Eager(b"x" * 100_000))
        assert transport.statistics().active == 0
    assert isinstance(error, OSError)
    assert "when asked for" in str(error)
    assert server.requests == []


# The head of a part.

EVIL = 'a"\r\nX-Injected: 1\r\n\r\nb'


@pytest.mark.parametrize("content_type", [f"audio/wav{EVIL}", "a\nb", "a\rb", "a\x00b", "audio/é", "a\x7f", "a\ud800"])
async def test_invalid_content_type_is_refused(nursery: trio.Nursery, content_type: str) -> None:
    error = await refusal(nursery, ("a.wav", b"RIFF", content_type))
    assert isinstance(error, ValueError)
    assert "content type" in str(error)


@pytest.mark.parametrize("package", PACKAGES)
async def test_file_name_cannot_inject_a_header(nursery: trio.Nursery, tmp_path: Path, package: str) -> None:
    library = pytest.importorskip(package)
    path = tmp_path / "evil\r\nX-Injected: 1.wav"
    path.write_bytes(b"RIFF")
    server = await serve(nursery, SAID, memory=False)
    http = library.AsyncClient(trust_env=False)
    async with TrioOpenAI(base_url=server.base_url, api_key="k", http_client=http) as client:
        await transcribe(client, (EVIL, b"RIFF"), extra_body={EVIL: EVIL})
        await transcribe(client, path)
    for request in server.requests:
        parts = parts_of(request)
        assert "x-injected" not in [line.partition(":")[0].lower() for part in parts for line in part.head.splitlines()]
        assert parts[-1].body == b"RIFF"


async def test_lone_surrogate_in_a_name_or_field_is_replaced(nursery: trio.Nursery) -> None:
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        await transcribe(client, ("a\udc80.wav", b"RIFF"), prompt="b\ud800", extra_body={"c\udfff": "d\ud83d\ude00"})
        await transcribe(client, ("/", b"RIFF"))
    *fields, file = parts_of(server.requests[0])
    assert [(part.name, part.body.decode()) for part in fields] == [
        ("model", "m"),
        ("prompt", "b\ufffd"),
        ("c\ufffd", "d\U0001f600"),
    ]
    assert 'filename="a\ufffd.wav"' in file.head
    assert 'filename="upload"' in parts_of(server.requests[1])[-1].head
