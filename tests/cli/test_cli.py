"""The command `python -m trio_openai demo`: its output on stdout and stderr, and its exit code."""

from __future__ import annotations

import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio

from trio_openai._cli.demo import backends, scenes
from trio_openai._cli.demo.display import Column, Line, LiveDisplay, Table, make_display, one_line, tail
from trio_openai._cli.demo.scenes import Row
from trio_openai._cli.main import main
from trio_openai.testing import RecordedRequest, Reply, ScriptedServer

KEY = "sk-a-secret-of-mine"


@contextmanager
def served(reply: Reply) -> Iterator[str]:
    """Run a scripted server in another thread's trio loop, since the command starts its own. Yield the base URL."""
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
    monkeypatch.setattr(backends, "PACE", 0.003)
    monkeypatch.setattr(scenes, "SECONDS_OF_TEXT", 0.05)
    monkeypatch.setattr(scenes, "LOOKS_EVERY", 0.03)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def errors_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_help_names_the_demo_and_imports_little(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "stream six prompts at once" in capsys.readouterr().out
    code = "import sys, trio_openai._cli.main; sys.exit('trio_openai._cli.demo' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_command_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
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
    assert any(line.startswith("[3] was cut by its deadline; ") and "are kept: ..." in line for line in lines)
    assert any(line.startswith("[3] the server saw it go") for line in lines)
    assert said.err == ""


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["demo", "--scripted"]) == 0
    return capsys.readouterr().out.splitlines()


def one_that(lines: list[str], pattern: str) -> re.Match[str]:
    (found,) = filter(None, (re.fullmatch(pattern, line) for line in lines))
    return found


def test_the_scripted_demo_has_two_subscribers_of_one_stream(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    (events, characters) = one_that(lines, r"\[5\] done by .*: (\d+) events, (\d+) characters").groups()
    one_that(lines, r"\[5\] had a second reader, which counted 57 words as they came")
    slow = r"\[5\] had a third, slow one: (\d+) events, merged to (\d+), with the same (\d+) characters"
    got, merged, the_same = one_that(lines, slow).groups()
    assert (got, the_same) == (events, characters)
    assert int(merged) < int(got)


def test_the_scripted_demo_races_and_closes_the_loser(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    seconds = one_that(lines, r"the second call won: it had content after (\d\.\d\d) s")[1]
    assert float(seconds) >= 0.3
    one_that(lines, r"the first one was closed: the server saw it go \(\d+ ms later\)")


def test_the_scripted_demo_runs_many_prompts_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    assert lines[-1].startswith("16 done, 0 failed, 208 tokens, 128 events, ")
    done = [re.match(r"(\d+) done, \d+ events/s, \w+: A script does not know.", line) for line in lines]
    assert [found[1] for found in done if found] == ["4", "8", "12", "16"]


def test_on_a_terminal_the_display_is_live(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    assert isinstance(make_display(plain=False), LiveDisplay)
    assert not isinstance(make_display(plain=True), LiveDisplay)
    assert main(["demo", "--scripted"]) == 0
    said = capsys.readouterr().out
    assert "text so far" in said
    assert "first content" in said
    assert "closed (deadline)" in said
    assert "the second call won" in said
    assert "events/s" in said
    assert "latest answer" in said
    assert "16 done, 0 failed" in said.splitlines()[-1]


def test_tables_fit_a_terminal() -> None:
    columns = (Column("", right=True), Column("prompt", share=0.25), Column("so far", fills=True, end=True))
    table = Table(columns, [Line(("1", "a prompt of some length", "abc"))])
    assert table.fitted(40) == [1, 10, 19]
    assert sum(table.fitted(40)) + 3 * 3 + 1 == 40
    narrow = Table((Column("n"), Column("prompt", shrinks=True)), [Line(("1", "a prompt of some length"))])
    assert narrow.fitted(20) == [1, 12]
    assert narrow.fitted(80) == [1, 23]
    assert narrow.fitted(5) == [1, 6], "no narrower than what can be read"


def test_a_models_text_cannot_control_the_terminal() -> None:
    said = "one\x1b[2Jtwo\r\n\x07 three\u200b"
    assert one_line(said) == "one?[2Jtwo ? three?"
    assert tail(said, 5) == "hree?"

    class Said(Row):
        text = said

    assert "one?[2Jtwo ? three?" in Said(1, "prompt").live().cells


def test_the_demo_can_use_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.chat("A few words of text.")) as base_url:
        assert main(["demo", "--base-url", base_url, "--model", "some-model"]) == 0
    assert "6 streams, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [(401, "Incorrect API key.", "AuthenticationError"), (404, "There is no model `none`.", "NotFoundError")],
)
def test_an_api_error_is_printed_in_one_line_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], status: int, message: str, kind: str
) -> None:
    with served(Reply.error(status, message)) as base_url:
        assert main(["demo", "--base-url", base_url, "--api-key", KEY, "--model", "none"]) == 1
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith(f"error: {kind}: ")
    assert message in line
    assert KEY not in said.out + said.err


def test_a_refused_connection_is_printed_in_one_line_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        assert main(["demo", "--base-url", f"http://127.0.0.1:{taken.getsockname()[1]}/v1"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: APIConnectionError: ")


def test_one_failed_stream_is_shown_in_the_table_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: RecordedRequest) -> Reply:
        return Reply.error(400, "No poems.") if b"poem" in request.body else Reply.chat("Text.")

    monkeypatch.setattr(backends, "answer", answer)
    monkeypatch.setattr(scenes, "CUT", None)
    assert main(["demo", "--scripted"]) == 1
    said = capsys.readouterr()
    assert "BadRequestError" in said.out
    assert "No poems." in said.err
    assert "race" not in said.out, "a scene that failed is the last"


@pytest.mark.parametrize(
    ("asked", "scene", "told"),
    [
        (b"race condition", "the second call won", "error: RaceError: all 2 calls of the race failed"),
        (b"capital of Italy", "16 prompts", "error: BadRequestError: HTTP 400: No."),
        (b"structured", "6 streams at once", "error: StreamTruncatedError: "),
    ],
    ids=["race", "many", "the stream with subscribers"],
)
def test_an_error_in_a_scene_is_printed_in_one_line_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: bytes, scene: str, told: str
) -> None:
    def answer(request: RecordedRequest) -> Reply:
        if asked not in request.body:
            return scripted(request)
        return scripted(request).cut_after(2000) if asked == b"structured" else Reply.error(400, "No.")

    scripted = backends.answer
    monkeypatch.setattr(backends, "answer", answer)
    assert main(["demo", "--scripted"]) == 1
    said = capsys.readouterr()
    assert (scene in said.out) == (asked != b"race condition")
    (line,) = said.err.splitlines()
    assert line.startswith(told)


def test_without_a_key_the_error_names_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "gpt-4o-mini"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: OpenAIError: ")
    assert "OPENAI_API_KEY" in line


def test_a_missing_gguf_file_is_printed_in_one_line_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "/no/such.gguf"]) == 1
    (line,) = errors_of(capsys)
    assert line.startswith("error: LocalModelError: ")


def test_ctrl_c_ends_the_demo_quietly_with_exit_code_130() -> None:
    command = [sys.executable, "-m", "trio_openai", "demo", "--scripted"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "6 streams at once" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=10)[1] == ""
        assert process.returncode == 130


def test_a_closed_stdout_causes_no_traceback() -> None:
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
    monkeypatch.setattr(scenes, "MAX_TOKENS", 40)
    assert main(["demo"]) == 0
    said = capsys.readouterr().out
    assert "closed (deadline)" in said
    assert "[3] its slot in the server is free again" in said
    assert "[5] had a third, slow one" in said
    assert "call won: it had content after" in said
    assert "16 done, 0 failed" in said
