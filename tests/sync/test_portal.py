"""Test the threads and loops behind the blocking client: their start, their end, and interrupts at any moment."""

from __future__ import annotations

import _thread
import collections
import contextlib
import contextvars
import faulthandler
import gc
import os
import subprocess
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import attrs
import pytest
import trio
from net_helpers import CHAT, no_environment
from sync_helpers import ThreadedServer, loop_threads, served, signal_when_waiting

import trio_openai
from trio_openai._sync.portal import Portals
from trio_openai.sync import SyncOpenAI
from trio_openai.testing import Reply, Stall

HELLO = Reply.chat("Hello there, friend!")
STALLED = attrs.evolve(HELLO, body=(*HELLO.body[:3], Stall()))
OURS = [
    str(Path(trio_openai.__file__).parent / name)
    for name in ("sync.py", "_sync/stream.py", "_sync/kinds.py", "_sync/views.py", "_sync/portal.py")
]


@pytest.fixture(autouse=True)
def no_thread_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    no_environment(monkeypatch)
    faulthandler.dump_traceback_later(120, exit=True)
    coverage = sys.gettrace()
    yield
    sys.settrace(coverage)  # an interrupt may have kept `InterruptAtLine` from restoring it
    faulthandler.cancel_dump_traceback_later()
    assert loop_threads() == []


# Clients that nobody closes.


FORGOTTEN = {
    "an idle connection": "client.chat.completions.create(stream=True, **CHAT).until_done()",
    "an open stream": "stream = client.chat.completions.create(stream=True, **CHAT); next(stream)",
    "an open stream in a block": "manager = client.chat.completions.stream(**CHAT); next(manager.__enter__())",
    "a thread that waits": """
import threading
stream = client.chat.completions.create(stream=True, **CHAT)
waiting = threading.Event()
def read():
    next(stream)
    waiting.set()
    for _ in stream:
        pass
threading.Thread(target=read, daemon=True).start()
waiting.wait()
""",
    "a client that was never used": "",
}
ABANDONED = {
    "a worker's stream": """
import trio
async def main():
    await trio.to_thread.run_sync(lambda: next(client.chat.completions.create(stream=True, **CHAT)))
trio.run(main)
""",
    "two clients": """
for client in (client, SyncOpenAI(api_key="k", base_url=URL)):
    client.chat.completions.create(stream=True, **CHAT)
""",
}
PROGRAM = f"""
import sys
from trio_openai.sync import SyncOpenAI
URL = sys.argv[1]
CHAT = {CHAT!r}
client = SyncOpenAI(api_key="k", base_url=URL)
"""


def run_program(server: ThreadedServer, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM + code, server.server.base_url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", FORGOTTEN)
def test_unclosed_client_prints_nothing_at_exit(name: str) -> None:
    reply = HELLO if name == "an idle connection" else STALLED
    with served(reply) as server:
        done = run_program(server, FORGOTTEN[name])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        server.wait_closed()


@pytest.mark.parametrize("name", ABANDONED)
def test_abandoned_stream_is_closed_with_a_resource_warning(name: str) -> None:
    with served(STALLED) as server:
        done = run_program(server, ABANDONED[name])
        assert (done.returncode, done.stdout) == (0, "")
        assert "ResourceWarning: a stream was never closed" in done.stderr
        server.wait_closed()


def test_unclosed_http_client_is_closed_at_exit() -> None:
    code = """
import httpx
class Client(httpx.AsyncClient):
    async def aclose(self):
        print("closed")
        await super().aclose()
client = SyncOpenAI(api_key="k", base_url=URL, http_client=Client())
stream = client.chat.completions.create(stream=True, **CHAT)
next(stream)
"""
    with served(STALLED) as server:
        done = run_program(server, code)
        assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_failing_program_prints_only_its_own_error() -> None:
    with served(STALLED) as server:
        done = run_program(server, FORGOTTEN["an open stream"] + "\nraise SystemExit('enough')")
        assert (done.returncode, done.stderr) == (1, "enough\n")


def test_ctrl_c_ends_a_waiting_program_with_one_traceback() -> None:
    code = """
import signal, threading, time, trio_openai._sync.portal
def interrupt(main=threading.get_ident()):
    seen = 0
    while seen < 200:
        time.sleep(0)
        seen = seen + 1 if sys._current_frames()[main].f_code is trio_openai._sync.portal.Portal.run.__code__ else 0
    signal.pthread_kill(main, signal.SIGINT)
with client.chat.completions.stream(**CHAT) as stream:
    next(stream), next(stream), next(stream)
    threading.Thread(target=interrupt).start()
    next(stream)
"""
    with served(STALLED) as server:
        done = run_program(server, code)
        assert done.stderr.rstrip().endswith("KeyboardInterrupt")
        assert done.stderr.count("Traceback") == 1
        server.wait_disconnect()


def test_garbage_collected_client_is_closed_after_its_last_stream() -> None:
    with served(STALLED) as server:
        client = server.client()
        stream = client.chat.completions.create(stream=True, **CHAT)
        gone = weakref.ref(client)
        del client
        gc.collect()
        assert gone() is None
        next(stream)  # the stream keeps its loop running
        (thread,) = loop_threads()
        with pytest.warns(ResourceWarning, match="never closed"):
            del stream
        gc.collect()
        thread.join()
        server.wait_closed()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no os.fork")
def test_used_client_refuses_to_work_in_a_forked_process() -> None:
    code = """
import os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python warns about forking with threads
stream = client.chat.completions.create(stream=True, **CHAT)
next(stream)
unused = SyncOpenAI(api_key="k", base_url=URL)
child = os.fork()
if not child:
    for use in (lambda: client.chat.completions.create(**CHAT), lambda: list(stream)):
        try:
            use()
        except RuntimeError as error:
            print(error)
    client.close()
    with unused.chat.completions.stream(**CHAT) as mine:
        print(mine.verdict)
    unused.close()
    sys.stdout.flush()
    os._exit(0)
os.waitpid(child, 0)
print(next(stream).choices[0].delta.content)
client.close()
"""
    with served(STALLED) as server:
        done = run_program(server, code)
        assert done.stderr == ""
        told = "this client was used before the process was forked: create one in each process"
        assert done.stdout.splitlines() == [told, told, "open", "Hello "]


# Starting the loop.


def test_failure_to_start_the_loop_is_raised_and_the_next_call_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(HELLO) as server, server.client() as client:

        def refuse(*args: object) -> None:
            raise OSError("too many open files")

        with monkeypatch.context() as patch:
            patch.setattr(trio, "run", refuse)
            with pytest.raises(OSError, match="too many open files"):
                client.chat.completions.create(stream=True, **CHAT)
        client.chat.completions.create(stream=True, **CHAT).until_done()


def test_failure_to_start_the_thread_is_raised_and_the_next_call_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(HELLO) as server, server.client() as client:

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                client.chat.completions.create(stream=True, **CHAT)
        client.chat.completions.create(stream=True, **CHAT).until_done()


def test_ctrl_c_while_the_thread_starts_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def start_and_interrupt(thread: threading.Thread) -> None:
        start(thread)
        started.append(thread)
        raise KeyboardInterrupt

    with served(HELLO) as server, server.client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start_and_interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.chat.completions.create(stream=True, **CHAT)
        started[0].join()
        client.chat.completions.create(stream=True, **CHAT).until_done()


def test_call_sees_the_context_variables_of_its_thread() -> None:
    whose: contextvars.ContextVar[str] = contextvars.ContextVar("whose", default="nobody's")

    async def key() -> str:
        await trio.lowlevel.checkpoint()
        return whose.get()

    with served(HELLO) as server, server.client(api_key=key) as client:
        for name in ("sk-mine", "sk-yours"):
            token = whose.set(name)
            client.chat.completions.create(stream=True, **CHAT).until_done()
            whose.reset(token)
        sent = [request.header("authorization") for request in server.server.requests]
        assert sent == ["Bearer sk-mine", "Bearer sk-yours"]


def test_close_raises_the_error_of_closing_a_client_once() -> None:
    class Stubborn:
        async def aclose(self) -> None:
            await trio.lowlevel.checkpoint()
            raise OSError("no")

    async def nothing(portal: object) -> None:
        await trio.lowlevel.checkpoint()

    portals = Portals(Stubborn)
    portals.run(nothing)
    with pytest.raises(OSError, match="no"):
        portals.close()
    portals.close()

    async def main() -> None:
        await trio.to_thread.run_sync(other.run, nothing)

    other = Portals(Stubborn)
    trio.run(main)  # the error must not crash the loop of the program
    with pytest.raises(OSError, match="no"):
        other.close()


# Interrupts.


class InterruptAtLine:
    """Press Ctrl-C when this thread reaches the k-th line of the blocking client's code.

    As with a real Ctrl-C, the interpreter raises `KeyboardInterrupt` at the end of the next function call. The tracer
    must not raise it itself, because it would do so at places where the interpreter never does.

    Args:
        line: The number of lines to let pass first.
        within: If given, only the lines of this function count.

    Attributes:
        left: The number of lines left; -1 or less once the interrupt has been sent.
    """

    def __init__(self, line: int, *, within: str = "") -> None:
        self.left = line
        self._within = within
        self._interrupt = collections.defaultdict(_thread.interrupt_main)
        self._coverage = sys.gettrace()

    def __enter__(self) -> Self:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._coverage)

    def _trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_code.co_filename not in OURS:
            return None
        if event == "line" and self._within in ("", frame.f_code.co_name):
            self.left -= 1
            if self.left == -1:
                sys.settrace(None)
                return self._interrupt[0]  # not a function call: the interrupt would be raised here, at its end
        return self._trace


def streams(client: SyncOpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        for _ in stream:
            pass


def breaks(client: SyncOpenAI) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        for _ in stream.text_deltas:
            break


def creates(client: SyncOpenAI) -> None:
    with client.chat.completions.create(stream=True, **CHAT) as stream:
        stream.get_final_completion()


def interrupted(interrupt: InterruptAtLine, use: Callable[[SyncOpenAI], None], client: SyncOpenAI) -> list[str]:
    """Return the names of the functions that the interrupt passed through; none if there was no interrupt."""
    try:
        with interrupt:
            use(client)
    except KeyboardInterrupt as error:
        return [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    return []


# After an interrupt before the program gets the stream, only the garbage collector can close it, with a warning.
@pytest.mark.filterwarnings("ignore:a stream was never closed:ResourceWarning")
@pytest.mark.parametrize("use", [streams, breaks, creates])
def test_interrupt_at_any_line_leaves_a_usable_client_and_no_connection(use: Callable[[SyncOpenAI], None]) -> None:
    """Interrupt at each line in turn. Afterwards the client works, and closing it leaves no thread or connection."""
    at_once = attrs.evolve(HELLO, body=(HELLO.body[0], b"".join(map(bytes, HELLO.body[1:]))))  # type: ignore[arg-type]
    with served(at_once) as server:
        for line in range(10_000):
            with server.client() as client:
                interrupt = InterruptAtLine(line)
                came = interrupted(interrupt, use, client)
                # Python itself cannot guarantee this outside a block, or if `__exit__` is interrupted.
                if use is not creates and "__exit__" not in came:
                    assert client.statistics().open_streams == 0
                client.chat.completions.create(stream=True, **CHAT).until_done()
            assert loop_threads() == []
            server.wait_closed()
            if interrupt.left >= 0:
                break
        assert line > 100


def test_close_can_be_repeated_after_an_interrupt() -> None:
    with served(STALLED) as server:
        for line in range(10_000):
            client = server.client()
            stream = client.chat.completions.create(stream=True, **CHAT)
            next(stream)
            interrupt = InterruptAtLine(line)
            with contextlib.suppress(KeyboardInterrupt), interrupt:
                client.close()
            client.close()
            assert loop_threads() == []
            server.wait_closed()
            if interrupt.left >= 0:
                break
        assert line > 10


def test_second_interrupt_ends_the_waiting_but_the_stream_is_still_closed() -> None:
    """Interrupt the wait for the connection to close. The connection is closed anyway."""

    with served(STALLED) as server:
        for line in range(10):
            with server.client() as client:
                stream = client.chat.completions.create(stream=True, **CHAT)
                interrupt = InterruptAtLine(line, within="_take_back")
                with pytest.raises(KeyboardInterrupt), signal_when_waiting(), interrupt:
                    stream.until_done()
                if line:  # at the first line nothing has been submitted yet: then `close` closes the connection
                    server.wait_disconnect(line)
            server.wait_disconnect(line + 1)
            if interrupt.left >= 0:
                break
        assert line > 2
