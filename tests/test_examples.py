"""The documentation's examples: each is run as a program, and has to print what the page beside it says.

An example is `docs/examples/NAME.py`; what it prints against the scripted server is `NAME.out` beside it. The examples
in `docs/examples/openai_python` are those of the porting guide that use `openai`: they have to print the same as ours of
the same name, and are left out where that package is not installed.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from trio_openai.local import LocalModelError, LocalServer, find_weights
from trio_openai.testing import Cut, RecordedRequest, Reply, ScriptedServer, Stall, Step
from trio_openai.testing._server import Script

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
OURS = sorted(EXAMPLES.glob("*.py"))
OPENAI = sorted((EXAMPLES / "openai_python").glob("*.py"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
TUTORIAL = re.findall(r'--8<-- "docs/examples/(\w+)\.py"', (ROOT / "docs" / "tutorial.md").read_text())


def name_of(path: Path) -> str:
    return path.stem


# ------------------------------------------------------------------------------------------- what the server answers


def broken(reply: Reply, writes: int, fault: Step) -> Reply:
    """The reply with a fault after so many events."""
    return attrs.evolve(reply, body=(*reply.body[:writes], fault))


def count_to_three(request: RecordedRequest) -> Reply:
    if request.path.endswith("/responses"):
        return Reply.response("One, two, three.")
    return Reply.chat("One, two, three.", usage=b"include_usage" in request.body)


def three_answers(request: RecordedRequest) -> Reply:
    prompt = request.json()["messages"][0]["content"]
    if "scope" in prompt:
        return Reply.error(400, "that is too long for this model", code="context_length_exceeded")
    return Reply.chat("It is where tasks live." if "nursery" in prompt else "It is where a task can be cancelled.")


def two_calls() -> Reply:
    """Two tool calls whose pieces are interleaved."""

    def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
        name = {"name": more.pop("name")} if more else {}
        call = {"index": index, "function": {**name, "arguments": arguments}, **more}
        return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    return Reply.sse(
        piece(0, "", id="call_1", type="function", name="get_weather"),
        piece(1, "", id="call_2", type="function", name="get_weather"),
        piece(0, '{"city": '),
        piece(1, '{"city": '),
        piece(0, '"Oslo"}'),
        piece(1, '"Rome"}'),
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    )


STORY = "The lamp had burned for forty years when, one night in March, it went out."
TEA = "Warm the pot. Then add a spoon of leaves for each cup."

SCRIPTS: dict[str, Script] = {
    "first_stream": Reply.chat("Air scatters blue light more than red light."),
    "events": Reply.chat("Hello there, friend!"),
    "deadline": broken(Reply.chat(STORY), 9, Stall()),
    "early_break": broken(Reply.chat(TEA), 5, Stall()),
    "partial_work": broken(Reply.chat("The sea is wide,\nThe sea is deep,\nAnd never does it fall asleep."), 8, Cut()),
    "deadlines": broken(Reply.chat("The leaves are falling, one by one."), 5, Stall()),
    "many_streams": three_answers,
    "port_function_calls": two_calls(),
    "port_errors": Reply.error(429, "you are too fast", code="rate_limit_exceeded"),
    "port_retry": [Reply.error(503, "try again", headers={"retry-after-ms": "1"}), Reply.chat("One, two, three.")],
}


# ---------------------------------------------------------------------------------------------------------- the tests


async def output_of(example: Path, base_url: str, *options: str) -> str:
    """What an example prints. It has to end well, and not to have a word to say on stderr."""
    env = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-example"}
    command = [sys.executable, *options, str(example)]
    with trio.fail_after(60):
        done = await trio.run_process(command, env=env, capture_stdout=True, capture_stderr=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


async def scripted_output_of(example: Path, *options: str) -> str:
    server = ScriptedServer(SCRIPTS.get(example.stem, count_to_three))
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        output = await output_of(example, server.base_url, *options)
        nursery.cancel_scope.cancel()
    return output


@pytest.mark.parametrize("example", OURS, ids=name_of)
async def test_example_prints_what_its_page_says(example: Path) -> None:
    assert await scripted_output_of(example, "-W", "error") == example.with_suffix(".out").read_text()


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
@pytest.mark.parametrize("example", OPENAI, ids=name_of)
async def test_openai_example_prints_the_same(example: Path) -> None:
    assert await scripted_output_of(example) == (EXAMPLES / f"{example.stem}.out").read_text()


def test_every_example_is_on_a_page() -> None:
    shown = set(re.findall(r'--8<-- "docs/examples/([\w./]+)"', "\n".join(page.read_text() for page in PAGES)))
    files = {str(path.relative_to(EXAMPLES)) for pattern in ("*.py", "*.out") for path in EXAMPLES.rglob(pattern)}
    assert shown == files


def test_every_script_is_for_an_example() -> None:
    assert set(SCRIPTS) <= {example.stem for example in OURS}


def test_code_of_the_readme_is_an_example() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    assert set(blocks) <= {example.read_text() for example in OURS}


def test_tests_named_in_the_readme_exist() -> None:
    for path, name in re.findall(r"\((tests/[\w/]+\.py)\)(?:, `(\w+)`)?", (ROOT / "README.md").read_text()):
        assert f"def {name}" in (ROOT / path).read_text(), path


# ------------------------------------------------------------------------------------------------- with a real model

FROM_A_MODEL = {
    "first_stream": r".+\n\[done by \[DONE\] \((stop|length)\)\]\n",
    "events": r"('.*' None\n|None None\n)+.*(stop|length)\n'.+'\n\d+ tokens\n",
    "deadline": r"(time is up; this much was there:\n.+\n\[closed\]|.+\n\[done by \[DONE\] \(\w+\)\])\n",
    "early_break": r".*\.\n\[(closed|done by \[DONE\] \(\w+\))\]\n",
    "partial_work": r".+\nfinish reason: (stop|length)\n",
    "deadlines": r".+",
    "many_streams": r"What is a nursery\? .+What is a cancel scope\? .+What is a checkpoint\? .+",
    "stalled_server": r"600 seconds have passed by trio's clock\n",
}
"""What the tutorial's examples print, whatever the model says: regular expressions for the whole."""


def test_every_example_of_the_tutorial_is_run_with_a_model() -> None:
    assert set(TUTORIAL) == set(FROM_A_MODEL)


def local_model_is_missing() -> str:
    """Why the local model cannot be run; empty if it can."""
    if importlib.util.find_spec("xllamacpp") is None:
        return "xllamacpp is not installed"
    try:
        find_weights()
    except LocalModelError as error:
        return str(error)
    return ""


@pytest.mark.local_model
async def test_tutorial_with_a_model_on_this_machine() -> None:
    if reason := local_model_is_missing():
        pytest.skip(reason)
    async with LocalServer(parallel=3) as server:
        for name, expected in FROM_A_MODEL.items():
            output = await output_of(EXAMPLES / f"{name}.py", server.base_url, "-W", "error")
            assert re.fullmatch(expected, output, re.DOTALL), (name, output)
