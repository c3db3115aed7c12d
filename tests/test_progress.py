"""The live view of many prompts: what it draws on a terminal, what it prints elsewhere, and that it leaves nothing."""

from __future__ import annotations

import io
import re
import signal
import subprocess
import sys
from typing import Any

import attrs
import pytest
import trio
from net_helpers import no_environment, serve
from rich.console import Console

import trio_openai
from trio_openai import ManyStatistics, TrioOpenAI, Usage, progress
from trio_openai._concurrent import progress as module
from trio_openai._concurrent.progress_text import Estimate, duration, figures_of, fitted, width_of
from trio_openai.testing import RecordedRequest, Reply


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def answer(request: RecordedRequest) -> Reply:
    """Answer within two seconds, or refuse the prompt `fail`."""
    if request.json()["messages"][0]["content"] == "fail":
        return Reply.error(400, "no")
    return attrs.evolve(Reply.chat("Two words", usage=True), delay=2)


def calls_of(client: TrioOpenAI, count: int, *, fails: int = 0) -> list[Any]:
    prompts = ["fail"] * fails + ["ask"] * (count - fails)
    return [
        client.chat.completions.call(key=n, model="m", messages=[{"role": "user", "content": prompt}], usage=True)
        for n, prompt in enumerate(prompts)
    ]


def terminal(width: int = 80, **options: Any) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    options = {"color_system": None, "force_terminal": True, "legacy_windows": False, **options}
    return Console(file=file, width=width, _environ={"TERM": "xterm"}, **options), file


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def frames(file: io.StringIO) -> list[str]:
    """Return the lines that were on the screen, one after the other, without control sequences."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\r", file.getvalue())
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


def assert_screen_is_restored(file: io.StringIO) -> None:
    """Check that the cursor is visible again, and that the last thing on the screen is a whole line."""
    text = file.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0
    assert text.endswith(("\n", "\x1b[2K\x1b[?25h\r"))


async def run(
    nursery: trio.Nursery,
    console: Console | None,
    *,
    count: int = 8,
    fails: int = 1,
    sized: bool = True,
    **options: Any,
) -> None:
    server = await serve(nursery, answer)
    async with server.client(max_retries=0) as client:
        calls: Any = calls_of(client, count, fails=fails)
        if not sized:
            calls = iter(calls)
        async with client.run_many(calls, max_concurrent=2) as results, progress(results, console=console, **options):
            async for _ in results:
                pass


# ------------------------------------------------------------------------------------------------------- on a terminal


async def test_bar_shows_count_failures_tokens_rate_and_remaining_time(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    console, file = terminal()
    await run(nursery, console)
    lines = frames(file)
    assert lines[0].split() == ["0/8", "0%", "0", "events/s", "0:00"]
    assert "━━━━━━━╸              3/8   37%  1 failed  20 tokens  3 events/s  0:03 left" in lines
    assert lines[-1] == "━" * 40 + "  8/8  100%  1 failed  70 tokens  0:08"
    assert_screen_is_restored(file)


async def test_bar_is_redrawn_five_times_a_second(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    await run(nursery, console)
    assert 38 <= len(frames(file)) <= 46  # eight seconds


async def test_bar_of_an_unknown_total_shows_what_is_done(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    await run(nursery, console, sized=False)
    lines = frames(file)
    assert any(line.endswith("1 done  1 failed  2 running  0 events/s  0:01") for line in lines)
    assert not any("left" in line or "%" in line for line in lines[:20])
    assert lines[-1].endswith("8/8  100%  1 failed  70 tokens  0:08")


@pytest.mark.parametrize("width", [1, 5, 10, 20, 30, 40, 60, 80, 200])
async def test_line_never_wraps(nursery: trio.Nursery, autojump_clock: object, width: int) -> None:
    console, file = terminal(width)
    await run(nursery, console, title="a title that is long")
    assert max(map(len, frames(file)), default=0) < width
    assert "\x1b[1A" not in file.getvalue().partition("\x1b[?25h")[0], "the line was taller than one row"


async def test_narrow_terminal_keeps_the_most_important_figures(nursery: trio.Nursery, autojump_clock: object) -> None:
    seen = {}
    for width in (20, 40):
        console, file = terminal(width)
        await run(nursery, console)
        seen[width] = frames(file)[-1]
    assert seen == {20: "8/8  1 failed  0:08", 40: "━" * 10 + "  8/8  100%  1 failed  0:08"}, seen


async def test_title_comes_first(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    await run(nursery, console, title="prompts")
    assert all(line.startswith("prompts  ") for line in frames(file))


async def test_transient_bar_leaves_nothing_on_the_screen(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    await run(nursery, console, transient=True)
    assert file.getvalue().endswith("\x1b[2K\x1b[?25h\r")
    assert_screen_is_restored(file)


async def test_colours_follow_the_terminal_and_no_color(nursery: trio.Nursery, autojump_clock: object) -> None:
    def colours(file: io.StringIO) -> list[str]:
        return re.findall(r"\x1b\[[\d;]*m", file.getvalue())

    console, file = terminal(color_system="standard")
    await run(nursery, console)
    assert "\x1b[31m" in colours(file)
    console, file = terminal(color_system="standard", no_color=True)
    await run(nursery, console)
    assert colours(file) == []


async def test_two_views_share_the_screen(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    async with trio.open_nursery() as runs:
        runs.start_soon(lambda: run(nursery, console, count=4, fails=0, title="short"))
        runs.start_soon(lambda: run(nursery, console, count=8, fails=0, title="long"))
    lines = frames(file)
    assert lines[-1].startswith("long")
    bars_of_long = {line.find("━") for line in lines if line.startswith("long")}
    assert len("short  ") in bars_of_long, "the bars begin in one column while both run"
    assert [line for line in lines if line.startswith("short")][-1].endswith("4/4  100%  40 tokens  0:04")
    assert file.getvalue().count("\x1b[?25l") == file.getvalue().count("\x1b[?25h") == 1
    assert module._screens == {}


async def test_printed_lines_appear_above_the_bar(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    server = await serve(nursery, answer)
    async with server.client() as client, client.run_many(calls_of(client, 2)) as results, progress(results):
        print("before the results")
        async for result in results:
            print(result.key)
    assert out.getvalue() == ""
    assert frames(err).count("before the results") == 1
    assert sys.stdout is out


async def test_output_to_a_file_is_not_sent_to_the_terminal(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    server = await serve(nursery, answer)
    async with server.client() as client, client.run_many(calls_of(client, 2)) as results, progress(results):
        async for result in results:
            print(result.key)
    assert sorted(out.getvalue().split()) == ["0", "1"]
    assert "2/2" in err.getvalue()


# --------------------------------------------------------------------------------------------------- without a terminal


async def test_plain_lines_come_every_ten_seconds_later_every_minute_and_at_the_end(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    file = io.StringIO()
    await run(nursery, Console(file=file, width=20), count=300, fails=0, title="prompts")
    lines = file.getvalue().splitlines()
    assert lines[0] == "prompts: 8/300, 2%, 2 running, 80 tokens, 4 events/s, 0:10, 6:05 left"
    times = [re.findall(r"\d:\d\d", line)[0] for line in lines]
    assert times == [f"{n // 60}:{n % 60:02}" for n in (*range(10, 121, 10), 180, 240, 300, 300)]
    assert lines[-1] == "prompts: 300/300, 100%, 3,000 tokens, 5:00"


async def test_short_run_prints_only_the_last_line(nursery: trio.Nursery, autojump_clock: object) -> None:
    file = io.StringIO()
    await run(nursery, Console(file=file, width=80))
    assert file.getvalue() == "8/8, 100%, 1 failed, 70 tokens, 0:08\n"


async def test_dumb_terminal_and_notebook_without_widgets_get_plain_lines(
    nursery: trio.Nursery, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, _environ={"TERM": "dumb"})
    await run(nursery, console)
    assert "\x1b" not in file.getvalue()
    assert not module.Screen(Console(file=io.StringIO(), force_jupyter=True)).is_live


async def test_default_is_stderr(
    nursery: trio.Nursery, autojump_clock: object, capsys: pytest.CaptureFixture[str]
) -> None:
    await run(nursery, None)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "8/8, 100%, 1 failed, 70 tokens, 0:08\n")


# ----------------------------------------------------------------------------------------------------- how a block ends


class MistakeError(Exception):
    pass


@pytest.mark.promise(n=2)
@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("seconds", [0.0, 3.1])
async def test_exception_of_the_block_is_raised_bare(
    nursery: trio.Nursery, autojump_clock: object, live: bool, seconds: float
) -> None:
    console, file = terminal() if live else (Console(file=(plain := io.StringIO()), width=80), plain)
    server = await serve(nursery, answer)
    async with server.client() as client:
        with pytest.raises(MistakeError) as caught:
            async with client.run_many(calls_of(client, 9)) as results, progress(results, console=console):
                await trio.sleep(seconds)
                raise MistakeError
    assert caught.value.__context__ is None
    assert frames(file)[-1]
    if live:
        assert_screen_is_restored(file)
    assert module._screens == {}


@pytest.mark.promise(n=2)
async def test_ctrl_c_is_raised_bare_and_restores_the_screen(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    server = await serve(nursery, answer)
    async with server.client() as client:
        with pytest.raises(KeyboardInterrupt):
            async with client.run_many(calls_of(client, 9)) as results, progress(results, console=console):
                await trio.sleep(1)
                signal.raise_signal(signal.SIGINT)
                await trio.sleep(1)
    assert_screen_is_restored(file)
    assert module._screens == {}


@pytest.mark.promise(n=1)
async def test_cancelled_block_restores_the_screen(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    with trio.move_on_after(3) as scope:
        await run(nursery, console)
    assert scope.cancelled_caught
    assert "3/8" in frames(file)[-1]
    assert_screen_is_restored(file)
    assert module._screens == {}


async def test_block_that_ends_early_ends_the_view(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    server = await serve(nursery, answer)
    async with server.client() as client, client.run_many(calls_of(client, 9), max_concurrent=2) as results:
        async with progress(results, console=console):
            await anext(results)
        length = len(file.getvalue())
        await trio.sleep(10)
        assert len(file.getvalue()) == length


@pytest.mark.parametrize("error", [BrokenPipeError, OSError])
@pytest.mark.parametrize("is_terminal", [True, False])
async def test_terminal_that_goes_away_does_not_end_the_calls(
    nursery: trio.Nursery,
    autojump_clock: object,
    monkeypatch: pytest.MonkeyPatch,
    error: type[OSError],
    is_terminal: bool,
) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise error

        def isatty(self) -> bool:
            return is_terminal

    monkeypatch.setattr(sys, "stderr", Gone())
    monkeypatch.setattr(sys, "stdout", before := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    await run(nursery, None)
    assert sys.stdout is before
    assert module._screens == {}


async def test_stream_many_has_a_view_too(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    server = await serve(nursery, answer)
    async with server.client() as client, client.stream_many(calls_of(client, 3)) as items:
        async with progress(items, console=console):
            async for _ in items:
                pass
    assert frames(file)[-1].endswith("3/3  100%  30 tokens  0:02")


async def test_no_calls_is_a_full_bar(nursery: trio.Nursery, autojump_clock: object) -> None:
    console, file = terminal()
    await run(nursery, console, count=0, fails=0)
    assert frames(file)[-1] == "━" * 40 + "  0/0  100%  0:00"


# ------------------------------------------------------------------------------------------------------------- mistakes


def test_missing_rich_is_named_with_the_extra() -> None:
    program = "import sys; sys.modules['rich'] = None; import trio_openai; trio_openai.progress(None)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: trio_openai.progress needs rich: pip install 'trio-openai[progress]'"
    )


def test_import_does_not_load_rich() -> None:
    program = "import sys, trio_openai; trio_openai.progress; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


async def test_manager_that_was_not_entered_is_refused(nursery: trio.Nursery) -> None:
    server = await serve(nursery, answer)
    async with server.client() as client:
        not_entered: Any = client.run_many(calls_of(client, 1))
        with pytest.raises(TypeError, match=re.escape("run_many(calls) as results, trio_openai.progress(results)")):
            progress(not_entered)
        with pytest.raises(TypeError, match="not TrioOpenAI"):
            progress(client)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- the figures


def state(**more: Any) -> ManyStatistics:
    known = {
        "queued": 1,
        "running": 3,
        "done": 20,
        "failed": 4,
        "tokens": 999,
        "events": 5,
        "events_per_second": 1234.5,
    }
    return ManyStatistics(**{**known, "seconds": 60.0, "total": 100, "usage": Usage(1000, 234), **more})


def texts(now: ManyStatistics, left: float | None = None, *, is_over: bool = False) -> list[str]:
    return [figure.text for figure in figures_of(now, left, is_over=is_over)]


def test_figures_say_everything() -> None:
    assert texts(state(), 180) == [
        " 24/100",
        " 24%",
        "4 failed",
        "4 running",
        "1,234 tokens",
        "1,234 events/s",
        "1:00",
        "3:00 left",
    ]
    assert texts(state(failed=0, usage=Usage(), total=None)) == ["20 done", "4 running", "1,234 events/s", "1:00"]
    assert texts(state(done=95), 1, is_over=True) == [" 99/100", " 99%", "4 failed", "1,234 tokens", "1:00"]


@pytest.mark.parametrize("width", range(120))
def test_figures_that_are_kept_fit(width: int) -> None:
    kept = fitted(figures_of(state(), 180, is_over=False), width)
    assert len(kept) == 1 or width_of(kept) <= width
    assert kept[0].text == " 24/100"


def test_hundred_per_cent_means_all() -> None:
    assert " 99%" in texts(state(done=9_999_995, total=10_000_000))


def test_remaining_time_counts_down_between_two_ends_of_calls() -> None:
    estimate = Estimate()
    assert estimate.left(0, 100, 5.0) is None
    assert estimate.left(10, 100, 10.0) == 90
    assert estimate.left(10, 100, 14.0) == 86
    assert estimate.left(10, 100, 1000.0) == 0
    assert estimate.left(50, 100, 1000.0) == 1000
    assert estimate.left(50, None, 1000.0) is None


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (45_296, "12:34:56")])
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_is_a_public_name() -> None:
    assert trio_openai.progress is progress
