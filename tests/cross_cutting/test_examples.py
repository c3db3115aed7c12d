"""The documentation: run its examples, which must print exactly what the page shows.

An example is `docs/examples/NAME.py`. Its output against the scripted server is `NAME.out` next to it. The examples
in `docs/examples/openai_python` are the programs of the porting guide that use `openai`. They must print the same as
ours of the same name. They and the README's claims about `openai` are skipped if that package is not installed.
"""

from __future__ import annotations

import base64
import gc
import importlib.metadata
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import trio_openai
from trio_openai.local import LocalServer
from trio_openai.testing import (
    Cut,
    Pause,
    RecordedRequest,
    Reply,
    Reset,
    Script,
    ScriptedServer,
    Stall,
    Step,
    sse_event,
)

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
OURS = sorted(EXAMPLES.glob("*.py"))
OPENAI = sorted((EXAMPLES / "openai_python").glob("*.py"))
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
TUTORIAL = re.findall(r'--8<-- "docs/examples/(\w+)\.py"', (ROOT / "docs" / "tutorial.md").read_text())


def name_of(path: Path) -> str:
    return path.stem


# ------------------------------------------------------------------------------------------- the server's replies


def broken(reply: Reply, writes: int, fault: Step) -> Reply:
    """Return the reply with a fault after a number of events."""
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


def prompt_of(request: RecordedRequest) -> str:
    return str(request.json()["messages"][0]["content"])


COUNTRIES = {"Oslo": "Norway", "Rome": "Italy", "Lima": "Peru", "Kyoto": "Japan"}


def country(request: RecordedRequest) -> Reply:
    """Delay the first answers most, so that ordered results need reordering."""
    city = prompt_of(request).split()[3]
    if city not in COUNTRIES:
        return Reply.error(400, f"{city} is not on the map")
    return Reply.chat(COUNTRIES[city], pace=0.02 if city == "Oslo" else 0)


def why(request: RecordedRequest) -> Reply:
    if "sea" in prompt_of(request):
        return broken(Reply.chat("Rivers carry salt into it, and none out."), 5, Cut())
    return Reply.chat("Air scatters blue light." if "sky" in prompt_of(request) else "Leaves do not use green light.")


def in_words(request: RecordedRequest) -> Reply:
    number = int(prompt_of(request).split()[1])
    return Reply.chat(("One.", "Two.", "Three.")[number - 1] if number <= 3 else "Many.")


def only_the_small_one(request: RecordedRequest) -> Reply:
    model = request.json()["model"]
    return Reply.chat(SKY, model=model) if model.endswith("mini") else Reply.sse(Stall())


def tea_and_sky(request: RecordedRequest) -> Reply:
    return Reply.chat(SKY) if "sky" in prompt_of(request) else broken(Reply.chat(TEA), 5, Stall())


def bad_line(request: RecordedRequest) -> Reply:
    """Stream a background response whose connection breaks every few events."""
    begin = int(request.target.rpartition("=")[2]) + 1 if request.method == "GET" else 0
    whole = Reply.response(STORY)
    rest = attrs.evolve(whole, body=whole.body[begin:])
    return rest if begin > 12 else broken(rest, 9, Reset())


class FourAtATime:
    """A script that refuses the fifth concurrent request."""

    def __init__(self) -> None:
        self._ends: list[float] = []

    def __call__(self, request: RecordedRequest) -> Reply:
        now = trio.current_time()
        self._ends = [end for end in self._ends if end > now]
        if len(self._ends) == 4:
            return Reply.error(429, "you are too many", code="rate_limit_exceeded", headers={"retry-after-ms": "20"})
        self._ends.append(now + 0.02)
        return attrs.evolve(in_words(request), delay=0.02)


def country_and_usage(request: RecordedRequest) -> Reply:
    return Reply.chat(COUNTRIES[prompt_of(request).split()[3]] + ".", stream=False)


def two_calls() -> Reply:
    """Return two tool calls with interleaved pieces."""

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


def two_temperatures(request: RecordedRequest) -> Reply:
    if len(request.json()["messages"]) > 1:
        return Reply.chat("In Rome: 21 degrees, and 4 in Oslo.")
    calls = [("Oslo", Pause(0.05)), ("Rome", Pause(0.05))]
    steps: list[Any] = []
    for index, (city, pause) in enumerate(calls):
        function = {"name": "temperature", "arguments": f'{{"city": "{city}", "unit": "celsius"}}'}
        call = {"index": index, "id": f"call_{index}", "type": "function", "function": function}
        chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}
        steps += [chunk, pause]
    return Reply.sse(*steps, {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})


def stock_and_query(request: RecordedRequest) -> Reply:
    asked = request.json()["input"]
    if asked != "What do we have?" and len(asked) > 1:
        return Reply.response("12 packets of tea; the query failed.")
    items = [
        {"type": "function_call", "call_id": "call_0", "name": "stock", "arguments": '{"item": "tea"}'},
        {"type": "custom_tool_call", "call_id": "call_1", "name": "query", "input": "select * from stock"},
    ]
    done = [{"type": "response.output_item.done", "output_index": n, "item": item} for n, item in enumerate(items)]
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": items}
    return Reply.sse(*done, {"type": "response.completed", "response": response}, done=False)


def cities(request: RecordedRequest) -> Reply:
    name = request.json()["input"].split()[-1].rstrip(".")
    if name == "Atlantis":
        refusal = {"type": "refusal", "refusal": "There is no such city."}
        message = {"type": "message", "role": "assistant", "content": [refusal]}
        response = {"id": "resp_1", "object": "response", "status": "completed", "output": [message]}
        return Reply.sse({"type": "response.completed", "response": response}, done=False)
    people = {"Oslo": "717", "Rome": '"many"', "Kyoto": "1438"}[name]
    return Reply.response(f'{{"name": "{name}", "people": {people}}}')


def thought_and_call(request: RecordedRequest) -> Reply:
    """Return reasoning, a text and a tool call, in the format of either API."""
    thought, text, arguments = ["Oslo, ", "then."], ["I will ", "look it up."], ['{"city": ', '"Oslo"}']
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ""}}
    if request.path.endswith("/chat/completions"):
        deltas: list[dict[str, Any]] = [
            *({"reasoning_content": piece} for piece in thought),
            *({"content": piece} for piece in text),
            {"tool_calls": [{"index": 0, **call}]},
            *({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments),
        ]
        choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        last = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        return Reply.sse(*({**head, "choices": [choice]} for choice in [*choices, last]))
    item = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "arguments": ""}
    return Reply.sse(
        *({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": piece} for piece in thought),
        {"type": "response.reasoning_summary_text.done", "output_index": 0, "text": "".join(thought)},
        *({"type": "response.output_text.delta", "output_index": 1, "delta": piece} for piece in text),
        {"type": "response.output_text.done", "output_index": 1, "text": "".join(text)},
        {"type": "response.output_item.added", "output_index": 2, "item": item},
        *({"type": "response.function_call_arguments.delta", "output_index": 2, "delta": p} for p in arguments),
        {"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "".join(arguments)},
        {"type": "response.completed", "response": {"status": "completed", "output": []}},
        done=False,
        named=True,
    )


COUNTED = Reply.chat("One, two, three.", usage=False)
SKY = "Air scatters blue light more than red light."
STORY = "The lamp had burned for forty years when, one night in March, it went out."
POEM = "The sea is wide,\nThe sea is deep,\nAnd never does it fall asleep."
RECIPE = (
    '{"title": "Onion soup", "kind": "starter", "ingredients": '
    '[{"name": "onions", "grams": 500}, {"name": "butter", "grams": 40}, {"name": "eggs", "grams": null}]}'
)
TEA = "Warm the pot. Then add a spoon of leaves for each cup."


def plain_answers(request: RecordedRequest) -> Reply:
    if request.path.endswith("/models"):
        return Reply.json({"data": [{"id": "gpt-4o-mini", "owned_by": "openai"}, {"id": "mine", "owned_by": "me"}]})
    if request.path.endswith("/embeddings"):
        vectors = [base64.b64encode(array("f", numbers).tobytes()).decode() for numbers in ((0.5, 0.25), (0.5, -0.25))]
        return Reply.json({"data": [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]})
    text = "Hello?" if "after=" not in request.target else "Are you there?"
    message = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return Reply.json({"data": [{"id": "msg_1", **message}], "has_more": "after=" not in request.target})


def painted(kind: str, size: int, **more: Any) -> dict[str, Any]:
    return {"type": f"image_generation.{kind}", "b64_json": base64.b64encode(bytes(size)).decode(), **more}


def on_azure(request: RecordedRequest) -> Reply:
    assert request.target == "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    safe = {"violence": {"filtered": False, "severity": "safe"}}
    first = {"choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]}
    said = {"index": 0, "delta": {"content": "Hello there."}, "content_filter_results": safe}
    end = {"index": 0, "delta": {}, "finish_reason": "stop", "content_filter_results": {}}
    return Reply.sse(first, {"choices": [said]}, {"choices": [end]})


def thinking() -> Reply:
    deltas = [
        {"reasoning_content": "91 ends in 1, so 2 and 5 do not divide it."},
        {"reasoning_content": " But 7 times 13 is 91."},
        {"content": "No: it is"},
        {"content": " 7 times 13."},
    ]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return Reply.sse(*({"object": "chat.completion.chunk", "choices": [choice]} for choice in [*choices, end]))


def numbered_hello() -> Reply:
    """Return messages that each have an id and an event name, as some servers send them."""
    choices = [
        {"delta": {"content": "Hello"}},
        {"delta": {"content": " there."}},
        {"delta": {}, "finish_reason": "stop"},
    ]
    events = [sse_event({"choices": [{"index": 0, **choice}]}, event="chunk") for choice in choices]
    body = [b"id: %d\n%b" % (number, event) for number, event in enumerate([*events, sse_event("[DONE]")])]
    return Reply(headers={"content-type": "text/event-stream"}, body=body)


SCRIPTS: dict[str, Script] = {
    "raw_answer": [
        Reply.error(503, "try again", headers={"retry-after-ms": "1"}),
        Reply.chat("One, two, three.", stream=False, headers={"x-ratelimit-remaining-tokens": "29970"}),
    ],
    "messages": numbered_hello(),
    "azure_stream": on_azure,
    "reasoning": thinking(),
    "sketches": Reply.sse(
        painted("partial_image", 800, partial_image_index=0),
        painted("partial_image", 1600, partial_image_index=1),
        painted("completed", 3000, usage={"total_tokens": 1600}),
        done=False,
        named=True,
    ),
    "transcribe": Reply.sse(
        {"type": "transcript.text.delta", "delta": "Good "},
        {"type": "transcript.text.delta", "delta": "evening."},
        {"type": "transcript.text.done", "text": "Good evening."},
        done=False,
        named=True,
    ),
    "speak": Reply(headers={"content-type": "audio/mpeg"}, body=[bytes(4000)] * 5),
    "plain_answers": plain_answers,
    "other_endpoint": Reply.sse(
        {"content": " three,", "stop": False},
        {"content": " four.", "stop": False},
        {"content": "", "stop": True, "tokens_predicted": 4},
        done=False,
    ),
    "first_stream": Reply.chat(SKY),
    "events": Reply.chat("Hello there, friend!"),
    "deadline": broken(Reply.chat(STORY), 9, Stall()),
    "early_break": broken(Reply.chat(TEA), 5, Stall()),
    "partial_work": broken(Reply.chat(POEM), 8, Cut()),
    "deadlines": broken(Reply.chat("The leaves are falling, one by one."), 5, Stall()),
    "many_streams": three_answers,
    "fan_out": Reply.chat(SKY),
    "slow_subscriber": Reply.chat(POEM),
    "replay": Reply.chat(SKY),
    "run_many": country,
    "stream_many": why,
    "progress": in_words,
    "race": only_the_small_one,
    "adaptive_limit": FourAtATime(),
    "rate_limit": country,
    "own_limiter": country_and_usage,
    "ask_again": [broken(Reply.chat(TEA), 4, Cut()), Reply.chat(TEA)],
    "resume": bad_line,
    "nursery_door": tea_and_sky,
    "settle": Reply.chat(TEA),
    "structured": Reply.chat(RECIPE),
    "structured_outcomes": cities,
    "tools": two_temperatures,
    "tools_outcomes": stock_and_query,
    "deltas": thought_and_call,
    "tool_calls": two_calls(),
    "port_events": thought_and_call,
    "port_function_calls": two_calls(),
    "port_errors": Reply.error(429, "you are too fast", code="rate_limit_exceeded"),
    "port_retry": [Reply.error(503, "try again", headers={"retry-after-ms": "1"}), COUNTED],
}


# ---------------------------------------------------------------------------------------------------------- the tests


async def run(example: Path, base_url: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Run an example in a separate process."""
    env = {**os.environ, "OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": "sk-example"}
    env |= {"AZURE_OPENAI_ENDPOINT": base_url.removesuffix("/v1"), "AZURE_OPENAI_API_KEY": "key"}
    env |= {"OPENAI_API_VERSION": "2024-10-21"}
    command = [sys.executable, *options, str(example)]
    with trio.fail_after(120):  # a model on a busy machine is slow
        return await trio.run_process(command, env=env, capture_stdout=True, capture_stderr=True, check=False)


async def run_scripted(example: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    server = ScriptedServer(SCRIPTS.get(example.stem, count_to_three))
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


@pytest.mark.skipif(importlib.util.find_spec("openai") is None, reason="openai is not installed")
@pytest.mark.parametrize("example", OPENAI, ids=name_of)
async def test_openai_example_prints_the_same(example: Path) -> None:
    assert output(await run_scripted(example)) == (EXAMPLES / f"{example.stem}.out").read_text()


def test_every_example_is_on_a_page() -> None:
    shown = set(re.findall(r'--8<-- "docs/examples/([\w./]+)"', "\n".join(page.read_text() for page in PAGES)))
    files = {str(path.relative_to(EXAMPLES)) for pattern in ("*.py", "*.out") for path in EXAMPLES.rglob(pattern)}
    assert shown == files


def test_every_server_script_belongs_to_an_example() -> None:
    assert set(SCRIPTS) <= {example.stem for example in OURS}


def test_the_code_in_the_readme_is_an_example() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    assert set(blocks) <= {example.read_text() for example in OURS}


def test_every_public_name_is_in_the_reference() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text()
    shown = set(re.findall(r"^::: trio_openai\.(\w+)$", reference, re.MULTILINE))
    apart = {"__version__", "UnknownEvent", *(name for name in trio_openai.__all__ if name.endswith("Error"))}
    assert shown >= set(trio_openai.__all__) - apart


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    assert menu == {page.name for page in (ROOT / "docs").glob("*.md")}


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


@pytest.mark.local_model
async def test_tutorial_with_a_model_on_this_machine() -> None:
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
