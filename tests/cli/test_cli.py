"""The command `python -m trio_openai demo`: its output on stdout and stderr, and its exit code."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys

import pytest
from cli_helpers import served

import trio_openai
from trio_openai._cli.demo import backends, scenes, script
from trio_openai._cli.demo.display import Display, LiveDisplay, Row, laid_out, make_display, one_line, wrapped
from trio_openai._cli.main import main
from trio_openai.testing import RecordedRequest, Reply

KEY = "sk-a-secret-of-mine"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PACE", 0.01)
    monkeypatch.setattr(scenes, "STAGGER", 0.03)  # the first answer still streams when the second one begins
    monkeypatch.setattr(scenes, "SECONDS_OF_TEXT", 0.05)
    monkeypatch.setattr(scenes, "LOOKS_EVERY", 0.03)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


def errors_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize("argv", [["--help"], []], ids=["--help", "no command"])
def test_help_names_the_commands(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    with contextlib.suppress(SystemExit):
        assert main(argv) == 0
    said = capsys.readouterr().out
    assert "trio-openai demo --scripted" in said
    assert "python -m trio_openai.local" in said


def test_help_imports_little() -> None:
    code = "import sys, trio_openai._cli.main; sys.exit('trio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("argv", [["--help"], ["demo", "--help"]], ids=" ".join)
def test_help_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        main(argv)
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"trio_openai {trio_openai.__version__}\n"


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert main(["demo", "--scripted"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


def one_that(lines: list[str], pattern: str) -> re.Match[str]:
    (found,) = filter(None, (re.match(pattern, line) for line in lines))
    return found


def test_the_scripted_demo_cuts_one_stream_and_finishes_five(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    for number, prompt in enumerate(scenes.PROMPTS, 1):
        one_that(lines, rf"{number}  {re.escape(prompt)} ")
    assert sum(line.startswith("   complete, ") for line in lines) == 5
    one_that(lines, r"   cut by its deadline, \d+ events\b")
    one_that(lines, r"3  was cut: its \d+ characters are kept, and the server noticed within \d+ ms$")


def test_the_scripted_demo_has_two_subscribers_of_one_stream(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    one_that(lines, r"5  was also read by a second task, which counted 40 words$")
    slow = r"5  was also read by a slow third task, with its 42 events merged into (\d+)$"
    assert int(one_that(lines, slow)[1]) < 42


def test_the_scripted_demo_races_and_closes_the_loser(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    assert lines[lines.index("first call") + 1].startswith("closed: the server noticed within ")
    assert 0.03 <= float(one_that(lines, r"won with its first word after (\d\.\d\d) s ")[1]) < backends.HELD_BACK


def test_the_scripted_demo_runs_many_prompts_and_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys)
    answers = lines[lines.index("10 prompts, 4 at a time.") + 1 :]
    assert [line.partition(":")[0] for line in answers[:10]] == [*scenes.COUNTRIES]
    assert re.fullmatch(r"10 of 10 done, 0 failed, \d\d\d tokens, \d\.\d s", answers[10])


def test_the_demo_fits_40_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = lines_of(capsys)
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80


def test_on_a_terminal_the_display_is_live(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    assert isinstance(make_display(plain=False), LiveDisplay)
    assert not isinstance(make_display(plain=True), LiveDisplay)
    said = "\n".join(lines_of(capsys))
    assert "waiting for the server" in said, "the rows are drawn from the beginning"
    assert "cut by its deadline" in said
    assert "its answer is held back 5 s" in said
    assert "won with its first word" in said
    assert re.search(r"\n━+  10/10  100%  \d\d\d tokens  0:0\d\n", re.sub(r"\x1b\[[\d;]*m", "", said))


def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_display(plain=False)) is Display


def test_rows_fit_a_terminal() -> None:
    row = Row("a title that is longer than the left side of a terminal", "state", "one two three four five " * 9)
    for width in (20, 40, 80, 200):
        lines = list(laid_out([row], width))
        assert len(lines) == 2
        assert all(len(left) + 2 + len(right) <= width for left, right, _style in lines)


def test_a_line_of_text_stays_as_it_is_while_the_text_grows() -> None:
    text = "Sunlight holds all colours. On its way through the air it meets molecules."
    words = text.split()
    whole = wrapped(text, 20)
    for count in range(1, len(words)):
        *finished, _growing = wrapped(" ".join(words[:count]), 20)
        assert finished == whole[: len(finished)]


def test_a_models_text_cannot_control_the_terminal() -> None:
    said = "one\x1b[2Jtwo\r\n\x07 three\u200b"
    assert one_line(said) == "one?[2Jtwo ? three?"

    class Said(scenes.Prompt):
        text = said

    assert Said(1, "prompt").row().text == "one?[2Jtwo ? three?"


def test_the_demo_can_use_any_server(capsys: pytest.CaptureFixture[str]) -> None:
    with served(Reply.chat("A few words of text.")) as base_url:
        assert main(["demo", "--base-url", base_url, "--model", "some-model"]) == 0
    assert "All of this took " in capsys.readouterr().out


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

    monkeypatch.setattr(script, "answer", answer)
    monkeypatch.setattr(scenes, "CUT", None)
    assert main(["demo", "--scripted"]) == 1
    said = capsys.readouterr()
    assert "BadRequestError" in said.out
    assert "No poems." in said.err
    assert "A race" not in said.out, "a scene that failed is the last"


@pytest.mark.parametrize(
    ("asked", "scene", "told"),
    [
        (b"race condition", "won with its first word", "error: RaceError: all 2 calls of the race failed"),
        (b"capital of Italy", "10 prompts", "error: BadRequestError: HTTP 400: No."),
        (b"cats", "Six streams at once", "error: StreamTruncatedError: "),
    ],
    ids=["race", "many", "the stream with subscribers"],
)
def test_an_error_in_a_scene_is_printed_in_one_line_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, asked: bytes, scene: str, told: str
) -> None:
    def answer(request: RecordedRequest) -> Reply:
        if asked not in request.body:
            return scripted(request)
        return scripted(request).cut_after(2000) if asked == b"cats" else Reply.error(400, "No.")

    scripted = script.answer
    monkeypatch.setattr(script, "answer", answer)
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
        assert "scripted server" in process.stdout.readline()
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
    monkeypatch.setattr(scenes, "MAX_TOKENS", 30)
    assert main(["demo"]) == 0
    said = capsys.readouterr().out
    assert "cut by its deadline" in said
    assert re.search(r"3  was cut: .*its slot was free within \d+ ms", said)
    assert "5  was also read by a slow third task" in said
    assert "closed: its slot was free within" in said
    assert "won with its first word after" in said
    assert "10 of 10 done, 0 failed" in said
