"""`python -m trio_openai demo`: what it prints, on which stream, and its exit code."""

from __future__ import annotations

import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from trio_openai import _demo
from trio_openai._cli import main
from trio_openai._demo_view import LiveView, Row, make_view
from trio_openai.testing import Reply, ScriptedServer

KEY = "sk-a-secret-of-mine"


@contextmanager
def served(reply: Reply) -> Iterator[str]:
    """A scripted server with a trio of its own, since the command line runs one. Gives the base URL."""
    ready: queue.Queue[tuple[str, trio.lowlevel.TrioToken, trio.CancelScope]] = queue.Queue()

    async def serve() -> None:
        async with trio.open_nursery() as nursery:
            server = ScriptedServer(reply)
            await server.start(nursery)
            ready.put((server.base_url, trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=[serve])
    thread.start()
    base_url, token, scope = ready.get(timeout=10)
    try:
        yield base_url
    finally:
        token.run_sync_soon(scope.cancel)
        thread.join()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_demo, "PACE", 0.003)
    monkeypatch.setattr(_demo, "SECONDS_OF_TEXT", 0.05)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def errors_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_help_names_the_demo_and_loads_no_more_than_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "stream six prompts at once" in capsys.readouterr().out
    code = "import sys, trio_openai._cli; sys.exit('trio_openai._demo' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "COMMAND" in capsys.readouterr().err


def test_the_scripted_demo_cuts_one_stream_and_finishes_five(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--scripted"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    table = lines[lines.index(next(line for line in lines if "verdict" in line)) + 1 :]
    assert [line.split()[0] for line in table[:6]] == ["1", "2", "3", "4", "5", "6"]
    assert sum("done by [DONE] (stop)" in line for line in table) == 5
    assert "closed (deadline)" in table[2]
    assert any(line.startswith("[3] was cut by its deadline, its ") and "are kept: ..." in line for line in lines)
    assert any(line.startswith("[3] the server saw it go") for line in lines)
    assert said.err == ""


def test_on_a_terminal_the_view_is_live(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    assert isinstance(make_view(plain=False), LiveView)
    assert not isinstance(make_view(plain=True), LiveView)
    assert main(["demo", "--scripted"]) == 0
    said = capsys.readouterr().out
    assert "text so far" in said
    assert "first content" in said
    assert "closed (deadline)" in said
    assert said.endswith("ms later)\n")


def test_what_a_model_says_cannot_command_the_terminal() -> None:
    class Said(Row):
        text = "one\x1b[2Jtwo\r\n\x07 three\u200b"

    row = Said(1, "prompt")
    assert row.tail(50) == "one?[2Jtwo ? three?"
    assert row.tail(5) == "hree?"


def test_any_endpoint_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.chat("A few words of text.")) as base_url:
        assert main(["demo", "--base-url", base_url, "--model", "some-model"]) == 0
    assert "6 streams, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [(401, "Incorrect API key.", "AuthenticationError"), (404, "There is no model `none`.", "NotFoundError")],
)
def test_a_refusal_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], status: int, message: str, kind: str
) -> None:
    with served(Reply.error(status, message)) as base_url:
        assert main(["demo", "--base-url", base_url, "--api-key", KEY, "--model", "none"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"error: {kind}: ")
    assert message in line
    assert KEY not in said.out + said.err


def test_a_refused_connection_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        assert main(["demo", "--base-url", f"http://127.0.0.1:{taken.getsockname()[1]}/v1"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: APIConnectionError: ")


def test_one_failed_stream_among_others_is_in_the_table_and_the_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: object) -> Reply:
        replies.append(None)
        return Reply.error(400, "No poems.") if len(replies) == 1 else Reply.chat("Text.")

    replies: list[None] = []
    monkeypatch.setattr(_demo, "_answer", answer)
    monkeypatch.setattr(_demo, "CUT", None)
    assert main(["demo", "--scripted"]) == 1
    said = capsys.readouterr()
    assert "BadRequestError" in said.out
    assert "No poems." in said.err


def test_without_a_key_the_error_names_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "gpt-4o-mini"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: OpenAIError: ")
    assert "OPENAI_API_KEY" in line


def test_a_missing_gguf_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "/no/such.gguf"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: LocalModelError: ")


def test_ctrl_c_ends_it_quietly_with_exit_code_130() -> None:
    command = [sys.executable, "-m", "trio_openai", "demo", "--scripted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "6 streams at once" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[1] == ""
        assert process.returncode == 130


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = [sys.executable, "-m", "trio_openai", "demo", "--scripted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(10) == 1


@pytest.mark.local_model
def test_the_demo_streams_from_a_real_model(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_demo, "MAX_TOKENS", 40)
    assert main(["demo"]) == 0
    said = capsys.readouterr().out
    assert "closed (deadline)" in said
    assert "[3] its slot in the server is free again" in said
