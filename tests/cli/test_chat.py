"""The commands `trio-openai chat` and `trio-openai models`: output, exit codes, files, pipes, and a real terminal."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from net_helpers import no_environment

from trio_openai._cli.chat.arguments import HELP as CHAT_HELP
from trio_openai._cli.main import main
from trio_openai._cli.models import HELP as MODELS_HELP
from trio_openai.testing import Cut, RecordedRequest, Reply, Script, ScriptedServer, Stall


@contextlib.contextmanager
def served(script: Script) -> Iterator[ScriptedServer]:
    """Run a scripted server in another thread's trio loop, since the command starts its own."""
    ready: queue.Queue[tuple[ScriptedServer, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.Queue()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(script)
            await server.start(nursery)
            ready.put((server, trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=[serve])
    thread.start()
    server, token, scope = ready.get(timeout=10)
    try:
        yield server
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))


def chat(server: ScriptedServer, *argv: str, model: str | None = "m") -> int:
    return main(["chat", "--base-url", server.base_url, *(["--model", model] if model else []), *argv])


def body_of(server: ScriptedServer, number: int = -1) -> Any:
    return server.requests[number].json()


def message(content: Any, role: str = "user") -> dict[str, Any]:
    return {"role": role, "content": content}


# One question.


def test_answer_goes_to_stdout_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.chat("Air scatters\nblue light.")) as server:
        assert chat(server, "Why?", "--system", "Be short.", "--param", "temperature=0", "--param", "stop=x") == 0
    assert tuple(capsys.readouterr()) == ("Air scatters\nblue light.\n", "")
    assert body_of(server) == {
        "model": "m",
        "stream": True,
        "messages": [message("Be short.", "system"), message("Why?")],
        "temperature": 0,
        "stop": "x",
    }


def test_text_from_a_pipe_is_the_prompt_or_added_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Reply.chat("ok")) as server:
        monkeypatch.setattr(sys, "stdin", io.StringIO("some text\n"))
        assert chat(server) == 0
        monkeypatch.setattr(sys, "stdin", io.StringIO("some text\n"))
        assert chat(server, "Summarize.") == 0
    assert [body_of(server, number)["messages"] for number in (0, 1)] == [
        [message("some text")],
        [message("Summarize.\n\nsome text")],
    ]


def test_files_are_added_before_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("letter a")
    (tmp_path / "b.PNG").write_bytes(b"picture")
    with served(Reply.chat("ok")) as server:
        assert chat(server, "What?", "--file", str(tmp_path / "a.txt")) == 0
        assert chat(server, "What?", "--file", str(tmp_path / "a.txt"), "--file", str(tmp_path / "b.PNG")) == 0
    text = "a.txt:\n\nletter a\n\nWhat?"
    assert body_of(server, 0)["messages"] == [message(text)]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,cGljdHVyZQ=="}}
    assert body_of(server, 1)["messages"] == [message([{"type": "text", "text": text}, picture])]


def test_error_of_the_server_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.error(400, "that model\nis not here")) as server:
        assert chat(server, "Why?") == 1
    assert tuple(capsys.readouterr()) == ("", "trio-openai chat: HTTP 400: that model is not here\n")


def test_broken_stream_keeps_what_arrived_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.sse({"choices": [{"index": 0, "delta": {"content": "half"}}]}, Cut())) as server:
        assert chat(server, "Why?") == 1
    said = capsys.readouterr()
    assert said.out == "half\n"
    assert said.err.startswith("trio-openai chat: ")


def test_answer_that_was_cut_off_is_noted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.chat("half", finish_reason="length")) as server:
        assert chat(server, "Why?") == 0
    assert tuple(capsys.readouterr()) == ("half\n", "(the answer ended early: length)\n")


def test_first_model_of_the_server_is_asked_if_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(request: RecordedRequest) -> Reply:
        if request.path.endswith("/models"):
            return Reply.json({"object": "list", "data": [{"id": "first"}, {"id": "second"}]})
        return Reply.chat("ok")

    with served(script) as server:
        assert chat(server, "Why?", model=None) == 0
        monkeypatch.setenv("OPENAI_MODEL", "mine")
        assert chat(server, "Why?", model=None) == 0
    assert [json.loads(request.body)["model"] for request in server.requests if request.body] == ["first", "mine"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "there is no prompt; give one"),
        (["hi", "--file", "/nowhere"], "--file cannot be used: "),
        (["hi", "--param", "temperature"], "--param takes NAME=VALUE"),
        (["hi", "--api-key-env", "NO_KEY"], "--api-key-env names NO_KEY, which is not set"),
        (["hi"], "there is no API key: set OPENAI_API_KEY, or --api-key-env"),
        (["hi", "--base-url", "nowhere"], "--base-url must start with http"),
        (["hi", "--sytem", "x"], "there is no option --sytem; did you mean --system?"),
    ],
)
def test_usage_error_is_one_sentence_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["chat", *argv])
    assert caught.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("trio-openai chat: ")
    assert words in said.err


def test_pipe_without_text_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\x89PNG\xff"), "utf-8"))
    with pytest.raises(SystemExit, match="2"):
        main(["chat", "What is this?"])
    assert "is not text in UTF-8; pass a picture with --file" in capsys.readouterr().err


def test_terminal_without_utf_8_gets_question_marks() -> None:
    with served(Reply.chat("caf\u00e9 \u2615")) as server:
        process = command(
            *("chat", "hi", "--model", "m", "--base-url", server.base_url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        )
        assert process.communicate(timeout=20)[0] == "café ?\n".encode("latin-1")


def command(*argv: str, **options: Any) -> subprocess.Popen[Any]:
    return subprocess.Popen([sys.executable, "-m", "trio_openai", *argv], **options)


def test_reader_that_stops_reading_ends_the_command_quietly() -> None:
    long = Reply.chat("word " * 20_000)
    with served(long) as server:
        process = command(
            *("chat", "hi", "--model", "m", "--base-url", server.base_url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
        process.stderr.close()
        assert (process.wait(20), said) == (0, b"")


def test_ctrl_c_ends_a_single_answer_with_exit_code_130() -> None:
    stalling = Reply.sse({"choices": [{"index": 0, "delta": {"content": "half"}}]}, Stall())
    with served(stalling) as server:
        process = command(
            *("chat", "hi", "--model", "m", "--base-url", server.base_url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"half"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (130, b"\n", b"")


# A conversation, on a real terminal.


class Terminal:
    """The command on a pseudo-terminal."""

    def __init__(self, *argv: str) -> None:
        self.said = ""
        self._master, slave = pty.openpty()
        # A session of its own, whose terminal this is: then the terminal itself turns Ctrl-C into SIGINT.
        code = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        code += "from trio_openai._cli.main import main; sys.exit(main())"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "dumb"},
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def interrupt(self, pattern: str) -> None:
        """Press Ctrl-C until a pattern appears. Python may overlook one while it begins to read a line."""
        for _ in range(10):
            self.type("\x03")
            with contextlib.suppress(TimeoutError):
                return self.wait_for(pattern, 2)
        raise AssertionError(self.said)

    def wait_for(self, pattern: str, seconds: float = 20) -> None:
        """Read until a pattern appears in what has not been matched yet."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.said)):
            if time.monotonic() > deadline:
                raise TimeoutError(self.said)
            if select.select([self._master], [], [], 0.1)[0]:
                try:
                    self.said += os.read(self._master, 4096).decode().replace("\r", "")
                except OSError:  # the other end is closed
                    raise AssertionError(self.said) from None
        self.said = self.said[found.end() :]

    def end(self) -> int:
        code = self._process.wait(20)
        os.close(self._master)
        return code


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def terminal(script: Script, *argv: str) -> Iterator[tuple[Terminal, ScriptedServer]]:
    with served(script) as server:
        one = Terminal("chat", "--model", "m", "--base-url", server.base_url, *argv)
        try:
            yield one, server
        finally:
            one._process.kill()
            one._process.wait()


def answers(request: RecordedRequest) -> Reply:
    asked = request.json()["messages"][-1]["content"]
    if asked == "stall":
        return Reply.sse({"choices": [{"index": 0, "delta": {"content": "half of it"}}]}, Stall())
    if asked == "silent":
        return Reply.sse(Stall())
    if asked == "fail":
        return Reply.error(400, "no")
    return Reply.chat(f"You said {asked!r}.")


def test_conversation_sends_what_was_said_before() -> None:
    with terminal(answers, "--system", "Be short.") as (one, server):
        one.wait_for("> ")
        one.type("one\n")
        one.wait_for(r"You said 'one'\.\n> ")
        one.type("two \\\nlines\n")
        one.wait_for(r"You said 'two \\nlines'\.\n> ")
        one.type("/clear\n")
        one.wait_for("forgotten.*\n> ")
        one.type("three\n")
        one.wait_for(r"'three'\.\n> ")
        one.type("\x04")
        assert one.end() == 0
    system = message("Be short.", "system")
    assert body_of(server, 1)["messages"] == [
        system,
        message("one"),
        message("You said 'one'.", "assistant"),
        message("two \nlines"),
    ]
    assert body_of(server, 2)["messages"] == [system, message("three")]


def test_ctrl_c_stops_the_answer_and_not_the_program() -> None:
    with terminal(answers) as (one, server):
        one.wait_for("> ")
        one.type("stall\n")
        one.wait_for("half of it")
        one.type("\x03")
        one.wait_for("\n> ")
        wait_until(lambda: server.statistics().connections == 0)  # the server is not left generating
        one.type("go on\n")
        one.wait_for(r"You said 'go on'\.\n> ")
        one.type("\x04")
        assert one.end() == 0
    assert body_of(server)["messages"] == [
        message("stall"),
        message("half of it", "assistant"),
        message("go on"),
    ]


def test_question_without_an_answer_is_forgotten() -> None:
    with terminal(answers) as (one, server):
        one.wait_for("> ")
        one.type("silent\n")
        wait_until(lambda: len(server.requests) == 1)
        time.sleep(0.2)  # the headers arrive
        one.type("\x03")
        one.wait_for("\n> ")
        one.type("fail\n")
        one.wait_for(r"trio-openai chat: HTTP 400: no\n> ")
        one.type("again\n")
        one.wait_for(r"You said 'again'\.\n> ")
        one.type("\x04")
        assert one.end() == 0
    assert body_of(server)["messages"] == [message("again")]


def test_ctrl_c_while_typing_drops_the_line() -> None:
    with terminal(answers) as (one, server):
        one.wait_for("> ")
        one.type("half a quest")
        one.wait_for("half a quest")
        one.interrupt("\n> ")
        one.type("hello\n")
        one.wait_for(r"You said 'hello'\.\n> ")
        one.type("\x04")
        assert one.end() == 0
    assert len(server.requests) == 1


def test_control_characters_of_a_model_do_not_reach_the_terminal() -> None:
    with terminal(Reply.chat("a\x1b]52;c;evil\x07b\tc")) as (one, _):
        one.wait_for("> ")
        one.type("hi\n")
        one.wait_for(r"a\]52;c;evilb +c\n> |a\]52;c;evilb\tc\n> ")
        one.type("\x04")
        assert one.end() == 0


# Models.


MODELS = Reply.json({"object": "list", "data": [{"id": "qwen3", "owned_by": "me"}, {"id": "llama", "owned_by": "you"}]})


@pytest.mark.parametrize(
    ("argv", "out"),
    [
        ([], "qwen3\nllama\n"),
        (["QWEN"], "qwen3\n"),
        (["llama", "--json"], '{"id":"llama","owned_by":"you"}\n'),
    ],
)
def test_models_are_listed(capsys: pytest.CaptureFixture[str], argv: list[str], out: str) -> None:
    with served(MODELS) as server:
        assert main(["models", "--base-url", server.base_url, *argv]) == 0
    assert tuple(capsys.readouterr()) == (out, "")


def test_models_of_a_server_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.error(404, "no such path")) as server:
        assert main(["models", "--base-url", server.base_url]) == 1
    assert tuple(capsys.readouterr()) == ("", "trio-openai models: HTTP 404: no such path\n")


# The help.


def test_page_shows_the_help_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    assert f"```text\n{CHAT_HELP}```" in page
    assert f"```text\n{MODELS_HELP}```" in page


@pytest.mark.parametrize("argv", [[], ["chat"], ["models"], ["batch"]])
def test_help_fits_on_one_screen(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*argv, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= (24 if argv != ["batch"] else 45)


def test_help_imports_no_event_loop_and_no_http_client() -> None:
    code = (
        "import sys; from trio_openai._cli.main import main\n"
        "try: main(['chat', '--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(str({'trio', 'httpx', 'attrs', 'orjson', 'trio_openai._cli.demo.command'} & {*sys.modules} or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
