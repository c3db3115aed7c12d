"""Uploads: files are read while they are sent, again for each attempt, and closed whatever happens."""

from __future__ import annotations

import gc
import io
import re
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.lowlevel
import trio.testing
from net_helpers import cancel_everywhere, client_over, no_environment, outcome, serve
from upload_helpers import SAID, as_open_file, parts_of, transcribe

from trio_openai import APIConnectionError, APITimeoutError, TrioOpenAI
from trio_openai._http.multipart import SizedFile, Upload
from trio_openai.testing import Reply

MEGABYTE = 1024 * 1024


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


def as_path(path: Path) -> Any:
    return path


def as_bytes(path: Path) -> Any:
    return path.read_bytes()


def as_bytes_io(path: Path) -> Any:
    return io.BytesIO(path.read_bytes())


def as_tuple(path: Path) -> Any:
    return ("other.mp3", path)


def as_typed_tuple(path: Path) -> Any:
    return (None, path.read_bytes(), "audio/x-mine")


FILES = [
    (as_path, "hello.wav", "audio/"),
    (as_bytes, "upload", "application/octet-stream"),
    (as_open_file, "hello.wav", "audio/"),
    (as_bytes_io, "upload", "application/octet-stream"),
    (as_tuple, "other.mp3", "audio/mpeg"),
    (as_typed_tuple, "upload", "audio/x-mine"),
]


@pytest.mark.parametrize(("make", "name", "content_type"), FILES, ids=[make.__name__ for make, _, _ in FILES])
async def test_all_ways_to_pass_a_file(
    nursery: trio.Nursery, tmp_path: Path, make: Any, name: str, content_type: str
) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(bytes(range(256)) * 600)
    file = make(path)
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        assert await transcribe(client, file) == "Hello."
    model, sent = parts_of(server.requests[0])
    assert (model.name, model.body) == ("model", b"m")
    assert sent.name == "file"
    assert f'filename="{name}"' in sent.head
    assert f"Content-Type: {content_type}" in sent.head
    assert sent.body == path.read_bytes()
    if hasattr(file, "closed"):
        assert not file.closed  # the file belongs to the caller
        file.close()


async def test_file_opened_by_trio(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client, await trio.open_file(tmp_path / "hello.wav", "rb") as file:
        await transcribe(client, file)
    assert parts_of(server.requests[0])[-1].body == b"RIFF"


async def test_fields_are_written_as_openai_python_writes_them(nursery: trio.Nursery) -> None:
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        await transcribe(
            client,
            b"RIFF",
            temperature=0.5,
            language="nö",
            timestamp_granularities=["word", "segment"],
            chunking_strategy={"type": "server_vad", "threshold": 1},
            prompt=None,
            extra_body={"flag": True, "deep": {"a": [1, 2]}},
        )
    fields = [(part.name, part.body.decode()) for part in parts_of(server.requests[0])[:-1]]
    assert fields == [
        ("model", "m"),
        ("temperature", "0.5"),
        ("language", "nö"),
        ("timestamp_granularities[]", "word"),
        ("timestamp_granularities[]", "segment"),
        ("chunking_strategy[type]", "server_vad"),
        ("chunking_strategy[threshold]", "1"),
        ("flag", "true"),
        ("deep[a][]", "1"),
        ("deep[a][]", "2"),
    ]


async def test_several_images_and_a_mask(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"cat")
    server = await serve(nursery, Reply.json({"data": []}))
    client, _ = client_over(server)
    async with client:
        await client.images.edit(image=[tmp_path / "cat.png", b"dog"], mask=("m.png", b"mask"), prompt="A hat.", n=1)
        await client.images.edit(image=tmp_path / "cat.png", prompt="A hat.")
    several, one = map(parts_of, server.requests)
    assert [(part.name, part.body) for part in several] == [
        ("prompt", b"A hat."),
        ("n", b"1"),
        ("image[]", b"cat"),
        ("image[]", b"dog"),
        ("mask", b"mask"),
    ]
    assert [(part.name, part.body) for part in one] == [("prompt", b"A hat."), ("image", b"cat")]


# Reading in chunks.


class Watched(io.FileIO):
    """A file that records what was read from it, and in which threads."""

    reads: list[int]
    threads: set[threading.Thread]

    def watch(self) -> Watched:
        self.reads, self.threads = [], set()
        return self

    def read(self, size: int | None = -1, /) -> bytes:
        self.reads.append(-1 if size is None else size)
        self.threads.add(threading.current_thread())
        return super().read(size) or b""


async def test_file_is_read_in_chunks_outside_the_event_loop(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(b"x" * MEGABYTE)
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        with Watched(path).watch() as file:
            await transcribe(client, file)
    assert len(server.requests[0].body) > MEGABYTE
    assert max(file.reads) <= 64 * 1024
    assert min(file.reads) >= 0
    assert len(file.reads) >= 16
    assert threading.current_thread() not in file.threads


async def swallow(listener: trio.SocketListener) -> int:
    """Serve requests without keeping their bodies, and return the size of the body."""
    stream = await listener.accept()
    async with stream:
        head = bytearray()
        while b"\r\n\r\n" not in head:
            head += await stream.receive_some()
        size = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
        left = size - (len(head) - head.index(b"\r\n\r\n") - 4)
        while left:
            left -= len(await stream.receive_some(64 * 1024))
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n" + b'{"text":"Hello"}')
    return size


async def test_large_file_needs_little_memory(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(64 * MEGABYTE)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    sizes: list[int] = []

    async def serve_once() -> None:
        sizes.append(await swallow(listener))

    async with listener, TrioOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k") as client:
        nursery.start_soon(serve_once)
        tracemalloc.start()
        try:
            assert await transcribe(client, path) == "Hello"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sizes[0] > 64 * MEGABYTE
    assert peak < 4 * MEGABYTE


async def test_other_clients_send_files_too(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Use httpx's stock transport, and httpx2 where it is installed."""
    (tmp_path / "hello.wav").write_bytes(b"x" * 200_000)
    server = await serve(nursery, SAID, memory=False)
    packages: list[Any] = [httpx]
    try:
        import httpx2
    except ImportError:
        pass
    else:
        packages.append(httpx2)
    for package in packages:
        http = package.AsyncClient(trust_env=False)
        async with TrioOpenAI(base_url=server.base_url, api_key="k", http_client=http) as client:
            assert await transcribe(client, tmp_path / "hello.wav") == "Hello."
    for request in server.requests:
        assert parts_of(request)[-1].body == b"x" * 200_000


# Failures.


async def test_each_attempt_reads_the_file_again(nursery: trio.Nursery, tmp_path: Path) -> None:
    soon = {"retry-after-ms": "1"}  # no autojump_clock, because it does not wait for threads
    path = tmp_path / "hello.wav"
    path.write_bytes(b"x" * 100_000)
    for file in (path, path.open("rb"), io.BytesIO(b"x" * 100_000), b"x" * 100_000):
        server = await serve(
            nursery, [Reply.error(500, "no", headers=soon), Reply.error(429, "no", headers=soon), SAID]
        )
        client, _ = client_over(server)
        async with client:
            assert await transcribe(client, file) == "Hello."
        assert [parts_of(request)[-1].body for request in server.requests] == [b"x" * 100_000] * 3
        if isinstance(file, io.IOBase):
            file.close()


async def test_file_is_sent_again_after_a_redirect(nursery: trio.Nursery, tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    server = await serve(nursery, [Reply(307, {"location": "/v1/elsewhere"}, framing="length"), SAID])
    client, _ = client_over(server)
    async with client:
        assert await transcribe(client, tmp_path / "hello.wav") == "Hello."
    assert [request.path for request in server.requests] == ["/v1/audio/transcriptions", "/v1/elsewhere"]
    assert parts_of(server.requests[1])[-1].body == b"RIFF"


async def test_missing_file_is_an_os_error_before_anything_is_sent(nursery: trio.Nursery, tmp_path: Path) -> None:
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        with pytest.raises(FileNotFoundError):
            await transcribe(client, tmp_path / "none.wav")
        with pytest.raises(FileNotFoundError):
            async with client.audio.transcriptions.stream(file=tmp_path / "none.wav", model="m"):
                pass
    assert server.statistics().accepted == 0


async def test_file_that_becomes_shorter_while_it_is_sent(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(b"x" * MEGABYTE)

    class Shrinking(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            path.write_bytes(b"x" * 100_000)
            return super().read(size) or b""

    server = await serve(nursery, SAID)
    client, transport = client_over(server)
    async with client:
        with Shrinking(path) as file, pytest.raises(OSError, match="became shorter while it was sent"):
            await transcribe(client, file)
        assert transport.statistics().active == 0
    assert server.requests == []


async def test_growing_file_is_sent_with_its_stated_length(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_bytes(b"x" * 100_000)

    class Growing(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            path.write_bytes(b"x" * 300_000)
            return super().read(size) or b""

    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    async with client:
        with Growing(path) as file:
            await transcribe(client, file)
    assert len(parts_of(server.requests[0])[-1].body) == 100_000


def test_unsendable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with (tmp_path / "a").open() as text, pytest.raises(TypeError, match="binary mode"):
        Upload.of("file", text)

    class Pipe(io.RawIOBase):
        def readable(self) -> bool:
            return True

    with pytest.raises(ValueError, match="cannot be read twice"):
        Upload.of("file", Pipe())


async def test_file_is_closed_however_the_attempt_ends(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancel in the middle (the server does not read), have the server refuse, and send successfully."""
    path = tmp_path / "long.wav"
    path.write_bytes(b"x" * 8 * MEGABYTE)
    opened: list[Any] = []
    really = SizedFile.read

    def read(self: SizedFile, size: int) -> bytes:
        data = really(self, size)
        opened.append(self._file)
        return data

    monkeypatch.setattr(SizedFile, "read", read)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener, TrioOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0) as client:
        async with trio.open_nursery() as inner:
            inner.start_soon(outcome, transcribe, client, path)
            with trio.fail_after(20):
                stream = await listener.accept()
                await stream.receive_some()
                while len(opened) < 3:
                    await trio.lowlevel.checkpoint()
            inner.cancel_scope.cancel()
        await stream.aclose()
        assert client.statistics().transport.active == 0  # type: ignore[union-attr]
    assert {file.closed for file in opened} == {True}


@pytest.mark.parametrize("before", [True, False])
async def test_upload_can_be_cancelled_anywhere(nursery: trio.Nursery, tmp_path: Path, before: bool) -> None:
    """Leave no slot, connection or open file. A file left open would warn, and warnings are errors."""
    path = tmp_path / "hello.wav"
    path.write_bytes(b"x" * 150_000)
    server = await serve(nursery, SAID)
    client, transport = client_over(server)

    async def check() -> None:
        await trio.lowlevel.checkpoint()
        assert transport.statistics().active == 0

    async with client:

        async def scenario() -> None:
            await transcribe(client, path)

        assert await cancel_everywhere(scenario, check, before=before) > 10
    gc.collect()


async def test_deadline_applies_if_the_server_does_not_read(nursery: trio.Nursery, tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with path.open("wb") as file:
        file.truncate(64 * MEGABYTE)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listener.socket.getsockname()[1]
    async with listener, TrioOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k", max_retries=0) as client:
        error = await outcome(transcribe, client, path, timeout=0.05)
    assert isinstance(error, APITimeoutError | APIConnectionError)


async def test_every_worker_thread_can_upload_at_once(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Read files in extra threads, since the program's own worker threads may all be waiting for an upload."""
    (tmp_path / "hello.wav").write_bytes(b"RIFF")
    server = await serve(nursery, SAID)
    client, _ = client_over(server)
    limiter = trio.to_thread.current_default_thread_limiter()
    async with client:
        tokens = [object() for _ in range(int(limiter.total_tokens))]
        for token in tokens:
            limiter.acquire_on_behalf_of_nowait(token)
        try:
            assert await transcribe(client, tmp_path / "hello.wav") == "Hello."
        finally:
            for token in tokens:
                limiter.release_on_behalf_of(token)
