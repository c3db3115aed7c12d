"""The documentation: run its examples, which must print exactly what the page shows.

An example is `docs/examples/NAME.py`. Its output against the scripted server is `NAME.out` next to it. The examples
in `docs/examples/openai_python` are the programs of the porting guide that use `openai`. They must print the same as
ours of the same name. They and the README's claims about `openai` are skipped if that package is not installed.
"""

from __future__ import annotations

import gc
import importlib.metadata
import importlib.util
import inspect
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from example_scripts import SCRIPTS, broken

from trio_openai.local import LocalServer
from trio_openai.testing import (
    Cut,
    Pause,
    Reply,
    ScriptedServer,
    Stall,
    Step,
    sse_event,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
APPS = {EXAMPLES / "sse_quart.py"}
"""Programs that run until they are stopped. Each has tests of its own."""
OURS = sorted(set(EXAMPLES.glob("*.py")) - APPS)
OPENAI = sorted((EXAMPLES / "openai_python").glob("*.py"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
EMBED = runpy.run_path(str(ROOT / "docs" / "embed.py"))
"""What copies the examples into the pages."""
RUN = runpy.run_path(str(ROOT / "docs" / "run.py"))
"""What runs an example for a reader."""
QUICKSTART = [Path(name).stem for name in EMBED["shown_on"]((ROOT / "docs" / "quickstart.md").read_text())]


def name_of(path: Path) -> str:
    return path.stem


# ---------------------------------------------------------------------------------------------------------- the tests


async def run(example: Path, base_url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run an example in a separate process."""
    env = RUN["environment"](base_url)
    command = [sys.executable, *options, str(example)]
    with trio.fail_after(120):  # a model on a busy machine is slow
        return await trio.run_process(command, env=env, capture_stdout=True, capture_stderr=True, check=False)


async def run_scripted(example: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    server = RUN["server_for"](example.stem)
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        done = await run(example, server.base_url, *options)
        nursery.cancel_scope.cancel()
    return done


def output(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a program printed. Check that it succeeded and wrote nothing to stderr."""
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@pytest.mark.parametrize("example", OURS, ids=name_of)
async def test_example_prints_what_its_page_shows(example: Path) -> None:
    assert output(await run_scripted(example, "-W", "error")) == example.with_suffix(".out").read_text()


async def test_a_reader_can_run_an_example_by_its_name() -> None:
    command = [sys.executable, str(ROOT / "docs" / "run.py"), "first_stream"]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert output(done) == (EXAMPLES / "first_stream.out").read_text()


async def test_the_tests_on_the_page_about_testing_pass() -> None:
    command = [sys.executable, "-m", "pytest", "-q", str(EXAMPLES / "testing")]
    done = await trio.run_process(command, cwd=ROOT, capture_stdout=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
@pytest.mark.parametrize("example", OPENAI, ids=name_of)
async def test_openai_example_prints_the_same(example: Path) -> None:
    assert output(await run_scripted(example)) == (EXAMPLES / f"{example.stem}.out").read_text()


def test_every_example_is_on_a_page() -> None:
    shown = {name for page in PAGES for name in EMBED["shown_on"](page.read_text())}
    files = {str(path.relative_to(ROOT)) for pattern in ("*.py", "*.out") for path in EXAMPLES.rglob(pattern)}
    assert shown == files


def test_pages_show_the_examples_as_they_are() -> None:
    """If this fails, run `python docs/embed.py`."""
    assert list(EMBED["out_of_date"]()) == []


def test_code_on_a_page_is_at_most_78_columns_wide() -> None:
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```\w*\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
    ]
    assert [line for block in blocks for line in block.splitlines() if len(line) > 78] == []


def test_every_server_script_belongs_to_an_example() -> None:
    assert set(SCRIPTS) <= {example.stem for example in OURS}


def test_the_code_in_the_readme_is_an_example() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    assert set(blocks) <= {example.read_text() for example in OURS}


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    docs = ROOT / "docs"
    assert menu == {page.relative_to(docs).as_posix() for page in docs.rglob("*.md")}


def test_every_row_of_the_readme_links_to_a_test_that_exists() -> None:
    comparison = (ROOT / "README.md").read_text().partition("<!-- figures")[0]
    rows = re.findall(r"^\| ([^|]+) \|.*\|$", comparison, re.MULTILINE)
    links = [re.fullmatch(r"\[.+\]\((tests/[\w/]+\.py) \"(\w+)\"\)", row) for row in rows]
    assert links
    for row, link in zip(rows, links, strict=True):
        assert link is not None, row
        assert f"def {link[2]}(" in (ROOT / link[1]).read_text(), row


# ------------------------------------------------------------------------------------------------- with a real model

FROM_A_MODEL = {
    "first_stream": r".+\n\[done by \[DONE\] \((stop|length)\)\]\n",
    "events": r"""(('.*'|".*") None\n|None None\n)+.*(stop|length)\n('.+'|".+")\n\d+ tokens\n""",
    "whole_answer": r".+\n\d+ tokens\n",
    "deadline": r"(The time is up. This much arrived:\n.+\n\[closed\]|.+\n\[done by \[DONE\] \(\w+\)\])\n",
    "early_break": r".*\..*\n\[(closed|done by \[DONE\] \(\w+\))\]\n",
    "partial_work": r".+\n",
    "deadlines": r".+",
    "many_streams": r"What is a nursery\? .+What is a cancel scope\? .+What is a checkpoint\? .+",
}
"""What the quickstart's examples print, whatever the model says: regular expressions for the whole."""


def test_every_example_of_the_quickstart_is_run_with_a_model() -> None:
    assert set(QUICKSTART) <= set(FROM_A_MODEL)


@pytest.mark.local_model
async def test_quickstart_with_a_model_on_this_machine() -> None:
    async with LocalServer(parallel=3) as server:
        for name, expected in FROM_A_MODEL.items():
            printed = output(await run(EXAMPLES / f"{name}.py", server.base_url, "-W", "error"))
            assert re.fullmatch(expected, printed, re.DOTALL), (name, printed)


# -------------------------------------------------------------------------------------- what the README says of openai

Openai = Any  # `openai.AsyncOpenAI`, as Any: openai is not a dependency
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def chunk(finish_reason: str | None = None, *, index: int = 0, **delta: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def call(index: int, **more: Any) -> dict[str, Any]:
    return chunk(tool_calls=[{"index": index, "id": f"call_{index}", **more}])


async def words_of(client: Openai) -> list[str]:
    stream = await client.chat.completions.create(stream=True, **CHAT)
    return [piece.choices[0].delta.content async for piece in stream]


async def words_within_a_second_of(client: Openai) -> list[str]:
    return await words_of(client.with_options(timeout=1))


async def final_of(client: Openai, **params: Any) -> Any:
    async with client.chat.completions.stream(**CHAT, **params) as stream:
        return await stream.get_final_completion()


async def response_of(client: Openai) -> Any:
    async with client.responses.stream(model="m", input="Hi") as stream:
        return await stream.get_final_response()


async def second_event_of(client: Openai) -> str:
    stream = await client.responses.create(model="m", input="Hi", stream=True)
    return [type(event).__name__ async for event in stream][1]


def body(*parts: Step, content_type: str = "text/event-stream") -> Reply:
    return Reply(headers={"content-type": content_type}, body=parts)


WEATHER: dict[str, Any] = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
CREATED = {"type": "response.created", "response": {"id": "r", "object": "response", "output": []}}
INCOMPLETE = {"type": "response.incomplete", "response": {"id": "r", "object": "response", "output": []}}

OF_OPENAI: dict[str, tuple[Any, Reply, Any]] = {
    "an end that is none": (words_of, Reply.sse(chunk(content="Hi"), done=False), ["Hi"]),
    "HTML": (words_of, body(b"<html>We are closed.</html>", content_type="text/html"), []),
    "an error object": (words_of, Reply.json({"error": {"message": "We are closed."}}), []),
    "a server that only pings, for twice the timeout": (
        words_within_a_second_of,
        body(*Reply.sse(chunk(content="Hi"), done=False).body, *([Pause(0.25), b": ping\n\n"] * 8)),
        ["Hi"],
    ),
    "an event without data": (words_of, body(b"event: ping\n\n", sse_event("[DONE]")), "JSONDecodeError"),
    "a byte-order mark": (words_of, body(b"\xef\xbb\xbf", *Reply.sse(chunk(content="Hi")).body), []),
    "tool calls out of order": (final_of, Reply.sse(call(1, **WEATHER), call(0, **WEATHER)), "IndexError"),
    "choices out of order": (final_of, Reply.sse(chunk(index=1, content="b"), chunk(content="a")), "IndexError"),
    "an event of a new type": (
        second_event_of,
        Reply.sse(CREATED, {"type": "response.telepathy.delta"}, named=True),
        "ResponseAudioDeltaEvent",
    ),
    "an incomplete response": (response_of, Reply.sse(CREATED, INCOMPLETE, named=True), "RuntimeError"),
}


def openai_version() -> str:
    try:
        return importlib.metadata.version("openai")
    except importlib.metadata.PackageNotFoundError:
        return "none"


async def ask_openai(reply: Reply, ask: Any) -> Any:
    """Run a claim's code. Return its value or the name of its exception."""
    import openai

    async with trio.open_nursery() as nursery:
        server = ScriptedServer(reply)
        await server.start(nursery)
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-example", max_retries=0) as client:
            try:
                came = await ask(client, server) if ask is left_early else await ask(client)
            except Exception as error:  # noqa: BLE001 - the class of the exception is the result
                came = type(error).__name__
        gc.collect()
        nursery.cancel_scope.cancel()
    return came


async def left_early(client: Openai, server: ScriptedServer) -> tuple[int, int]:
    """Return the numbers of connections that are open after a `break` and that were closed."""
    stream = await client.chat.completions.create(stream=True, **CHAT)
    async for _ in stream:
        break
    await trio.testing.wait_all_tasks_blocked(0.05)
    return server.statistics().connections, server.statistics().disconnects


with_openai_3_52 = pytest.mark.skipif(
    not openai_version().startswith("3.54."), reason="the README speaks of openai 3.54, which is not installed"
)


@with_openai_3_52
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("ask", "reply", "expected"), OF_OPENAI.values(), ids=OF_OPENAI.keys())
async def test_claims_of_the_readme_about_openai(ask: Any, reply: Reply, expected: Any) -> None:
    assert await ask_openai(reply, ask) == expected


@with_openai_3_52
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_openai_leaves_the_connection_open_after_break() -> None:
    assert await ask_openai(Reply.sse(chunk(content="Hi"), Stall()), left_early) == (1, 0)


@with_openai_3_52
def test_openai_runs_tools_only_for_responses_and_early_only_on_asyncio() -> None:
    openai: Any = importlib.import_module("openai")
    runner: Any = importlib.import_module("openai.lib.responses_tool_runner")
    assert not hasattr(openai.AsyncOpenAI(api_key="k").chat.completions, "run_tools")
    assert "asyncio.create_task(self._execute_function" in inspect.getsource(runner.AsyncResponsesToolRunner)


@with_openai_3_52
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_openai_lets_only_one_task_read_a_stream() -> None:
    async def two_readers(client: Openai) -> list[str]:
        stream = await client.chat.completions.create(stream=True, **CHAT)
        ends: list[str] = []

        async def read() -> None:
            try:
                async for _ in stream:
                    pass
                ends.append("whole")
            except RuntimeError as error:
                ends.append(str(error))

        async with trio.open_nursery() as readers:
            readers.start_soon(read)
            readers.start_soon(read)
        return ends

    came = await ask_openai(Reply.chat("Hi there.", pace=0.02), two_readers)
    assert came == ["anext(): asynchronous generator is already running", "whole"]


@with_openai_3_52
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_openai_does_not_resume_and_downloads_everything_again() -> None:
    import openai

    whole = Reply.response("One, two, three.")
    async with trio.open_nursery() as nursery:
        server = ScriptedServer([broken(whole, 6, Cut()), whole])
        await server.start(nursery)
        async with openai.AsyncOpenAI(base_url=server.base_url, api_key="sk-example") as client:
            with pytest.raises(openai.APIConnectionError):
                async with client.responses.stream(model="m", input="Hi", background=True) as stream:
                    [event async for event in stream]
            assert len(server.requests) == 1
            async with client.responses.stream(response_id="resp_scripted", starting_after=5) as stream:
                numbers = [event.sequence_number async for event in stream]
            assert numbers[0] == 6
            assert "starting_after" not in server.requests[1].target
        nursery.cancel_scope.cancel()


@with_openai_3_52
def test_openai_lacks_what_the_readme_says_it_lacks() -> None:
    import openai

    client = openai.AsyncOpenAI(api_key="sk-example")
    for part in (client, client.chat.completions, client.responses, openai.AsyncStream):
        assert not {"start_stream", "stream_many", "run_many", "race", "subscribe", "settle"} & set(dir(part))


@with_openai_3_52
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_openai_repeats_an_id() -> None:
    completion = await ask_openai(Reply.sse(call(0, **WEATHER), call(0, **WEATHER), chunk("tool_calls")), final_of)
    assert completion.choices[0].message.tool_calls[0].id == "call_0call_0"


@with_openai_3_52
async def test_openai_emits_resource_warnings() -> None:
    done = await run_scripted(EXAMPLES / "openai_python" / "port_basic.py", "-W", "always::ResourceWarning")
    assert "ResourceWarning: Async generator" in done.stderr.decode()
