"""Parents of spans: whatever opens a call, its span is a child of the current one of the task that makes the call."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import trio
import trio.testing
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind
from otel_helpers import CHAT, Telemetry, attributes_of, id_of, started, status_of

from trio_openai import SyncOpenAI, TrioOpenAI
from trio_openai.otel import OpenTelemetry
from trio_openai.testing import Reply

ANSWER = Reply.chat("Hello there, you.", pace=1)


def parents(telemetry: Telemetry) -> list[str | None]:
    """Return the name of the parent of each call's span."""
    names = {id_of(span): span.name for span in telemetry.spans}
    calls = telemetry.named("chat gpt-4o")
    return [names.get(span.parent.span_id) if span.parent is not None else None for span in calls]


async def test_the_parent_is_the_current_span_of_the_task(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)

    async def ask(client: TrioOpenAI, name: str) -> None:
        with telemetry.tracer.start_as_current_span(name):
            async with client.chat.completions.stream(**CHAT) as stream:
                async for _ in stream:
                    assert trace.get_current_span().name == name  # type: ignore[attr-defined]

    async with server.client(observer=telemetry.observer) as client, trio.open_nursery() as tasks:
        tasks.start_soon(ask, client, "one")
        tasks.start_soon(ask, client, "two")
    assert sorted(map(str, parents(telemetry))) == ["one", "two"]


async def test_a_call_leaves_the_context_of_its_task_alone(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        before = context.get_current()
        async with client.chat.completions.stream(**CHAT) as stream:
            assert context.get_current() is before
            await anext(stream)
            assert context.get_current() is before
        await client.chat.completions.create(**CHAT)
        opened = await client.chat.completions.create(**CHAT, stream=True)
        assert context.get_current() is before
        await opened.aclose()
        assert context.get_current() is before


async def test_a_stream_in_a_nursery_belongs_to_the_task_that_starts_it(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    server = await started(nursery, ANSWER)
    async with server.client(observer=telemetry.observer) as client, trio.open_nursery() as streams:
        with telemetry.tracer.start_as_current_span("starter"):
            stream = await client.chat.completions.start_stream(streams, **CHAT)
        await stream.until_done()
    assert parents(telemetry) == ["starter"]


async def test_a_blocking_client_in_a_worker_thread_takes_the_span_along(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."), memory=False)

    def ask() -> None:
        with SyncOpenAI(api_key="k", base_url=server.base_url, observer=telemetry.observer) as client:
            with telemetry.tracer.start_as_current_span("thread"):
                client.chat.completions.create(**CHAT)
                with client.chat.completions.stream(**CHAT) as stream:
                    for _ in stream:
                        assert trace.get_current_span().name == "thread"  # type: ignore[attr-defined]

    with telemetry.tracer.start_as_current_span("loop"):
        await trio.to_thread.run_sync(ask)
    assert parents(telemetry) == ["thread", "thread"]


async def test_a_blocking_client_on_a_loop_of_its_own_takes_the_span_along(nursery: trio.Nursery) -> None:
    """Run the client where no loop is: in a thread that trio does not know."""
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."), memory=False)
    program = (
        "import sys\n"
        "from otel_helpers import *\n"
        "from trio_openai import SyncOpenAI\n"
        "telemetry = Telemetry()\n"
        "with SyncOpenAI(api_key='k', base_url=sys.argv[1], observer=telemetry.observer) as client:\n"
        "    with telemetry.tracer.start_as_current_span('main'):\n"
        "        client.chat.completions.create(**CHAT)\n"
        "        stream = client.chat.completions.create(**CHAT, stream=True)\n"
        "        list(stream)\n"
        "main = telemetry.one('main')\n"
        "print([span.name for span in telemetry.children_of(main)])\n"
    )
    command = [sys.executable, "-c", program, server.base_url]
    done = await trio.run_process(command, capture_stdout=True, env={"PYTHONPATH": "tests/helpers"})
    assert done.stdout.decode().strip() == "['chat gpt-4o', 'chat gpt-4o']"
    assert telemetry.spans == []


async def test_baggage_and_tracestate_are_sent_along(nursery: trio.Nursery) -> None:
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    remote = trace.SpanContext(1, 2, is_remote=True, trace_state=trace.TraceState([("vendor", "x")]))
    within = trace.set_span_in_context(trace.NonRecordingSpan(remote), baggage.set_baggage("tenant", "blue"))
    token = context.attach(within)
    try:
        async with server.client(observer=telemetry.observer) as client:
            await client.chat.completions.create(**CHAT)
    finally:
        context.detach(token)
    headers = dict(server.requests[0].headers)
    assert headers["baggage"] == "tenant=blue"
    assert headers["tracestate"] == "vendor=x"
    assert headers["traceparent"].split("-")[1] == f"{1:032x}"


async def test_a_call_that_is_not_sampled_says_so_to_the_server(nursery: trio.Nursery) -> None:
    telemetry = Telemetry(capture_content=True, sampler=ALWAYS_OFF)
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        await client.chat.completions.create(**CHAT)
    assert telemetry.spans == []
    flags = dict(server.requests[0].headers)["traceparent"].split("-")[3]
    assert int(flags, 16) & trace.TraceFlags.SAMPLED == 0


# Races, many calls, tools.


async def test_the_calls_of_a_race_are_siblings_and_a_loser_has_no_error(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    telemetry = Telemetry()
    slow = Reply.chat("Slow.", pace=50)
    server = await started(nursery, lambda request: slow if request.json()["model"] == "slow" else Reply.chat("Fast."))
    async with server.client(observer=telemetry.observer) as client:
        calls = [client.chat.completions.call(**{**CHAT, "model": model}) for model in ("slow", "fast")]
        with telemetry.tracer.start_as_current_span("program"):
            async with client.race(calls, stagger=1) as stream:
                await stream.until_done()
    won, lost = telemetry.one("chat fast"), telemetry.one("chat slow")
    assert {won, lost} <= set(telemetry.children_of(telemetry.one("program")))
    assert attributes_of(won)["trio_openai.verdict"] == "done"
    assert attributes_of(lost)["trio_openai.verdict"] == "closed"
    assert status_of(lost) == ("UNSET", None)


async def test_the_calls_of_run_many_are_siblings_and_fail_alone(nursery: trio.Nursery, autojump_clock: object) -> None:
    telemetry = Telemetry()
    server = await started(nursery, [Reply.chat("A."), Reply.error(400, "no"), Reply.chat("C.")])
    async with server.client(observer=telemetry.observer) as client:
        calls = [client.chat.completions.call(key=key, **CHAT) for key in "abc"]
        with telemetry.tracer.start_as_current_span("program"):
            async with client.run_many(calls, max_concurrent=1) as results:
                async for _ in results:
                    pass
    assert parents(telemetry) == ["program"] * 3
    assert [status_of(span)[1] for span in telemetry.named("chat gpt-4o")] == [None, "BadRequestError", None]


CALLING = [Reply.tool_calls(("look_up", {"name": "my secret"})), Reply.chat("It is done.")]


def in_tree(telemetry: Telemetry, span: ReadableSpan) -> list[Any]:
    """Return the names of a span and of all below it."""
    return [span.name, *(in_tree(telemetry, child) for child in telemetry.children_of(span))]


async def test_a_tool_is_a_child_of_the_call_that_asks_for_it(nursery: trio.Nursery) -> None:
    async def look_up(name: str) -> str:
        """Look a name up."""
        with telemetry.tracer.start_as_current_span("query"):
            await trio.lowlevel.checkpoint()
        return name

    telemetry = Telemetry()
    server = await started(nursery, CALLING)
    async with server.client(observer=telemetry.observer) as client:
        with telemetry.tracer.start_as_current_span("program") as program:
            async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
                async for _ in run:
                    assert trace.get_current_span() is program
    first, second = telemetry.named("chat gpt-4o")
    assert in_tree(telemetry, first) == [
        "chat gpt-4o",
        ["POST /chat/completions"],
        ["execute_tool look_up", ["query"]],
    ]
    assert in_tree(telemetry, second) == ["chat gpt-4o", ["POST /chat/completions"]]
    assert parents(telemetry) == ["program", "program"]
    tool = telemetry.one("execute_tool look_up")
    assert tool.kind is SpanKind.INTERNAL
    assert attributes_of(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look_up",
        "gen_ai.tool.description": "Look a name up.",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.type": "function",
    }


async def test_a_call_inside_a_tool_is_a_child_of_the_tool(nursery: trio.Nursery) -> None:
    async def look_up(name: str) -> str:
        answer = await client.chat.completions.create(**{**CHAT, "model": "inner"})
        return answer.text + name

    telemetry = Telemetry()
    script = [CALLING[0], Reply.chat("Inner."), CALLING[1]]
    server = await started(nursery, script)
    async with server.client(observer=telemetry.observer) as client:
        async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
            await run.until_done()
    tool = telemetry.one("execute_tool look_up")
    assert in_tree(telemetry, tool) == ["execute_tool look_up", ["chat inner", ["POST /chat/completions"]]]


async def test_a_tool_of_a_blocking_client_has_its_span_as_the_current_one(nursery: trio.Nursery) -> None:
    names: list[str] = []

    def look_up(name: str) -> str:
        names.append(trace.get_current_span().name)  # type: ignore[attr-defined]
        return name

    def ask() -> None:
        with SyncOpenAI(api_key="k", base_url=server.base_url, observer=telemetry.observer) as client:
            with telemetry.tracer.start_as_current_span("program"):
                with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
                    run.until_done()

    telemetry = Telemetry()
    server = await started(nursery, CALLING, memory=False)
    await trio.to_thread.run_sync(ask)
    assert names == ["execute_tool look_up"]
    assert parents(telemetry) == ["program", "program"]


async def test_a_tool_that_raises_has_an_error_and_a_cancelled_one_has_none(
    nursery: trio.Nursery, autojump_clock: object
) -> None:
    async def look_up(name: str) -> str:
        if name == "my secret":
            raise LookupError("my secret is unknown")
        await trio.sleep(50)
        return name

    telemetry = Telemetry()
    both = Reply.tool_calls(("look_up", {"name": "my secret"}), ("look_up", {"name": "b"}))
    server = await started(nursery, [both])
    async with server.client(observer=telemetry.observer) as client:
        with trio.move_on_after(5):
            async with client.chat.completions.run_tools(**CHAT, tools=[look_up]) as run:
                await run.until_done()
    tools = telemetry.named("execute_tool look_up")
    assert [status_of(tool) for tool in tools] == [("ERROR", "LookupError"), ("UNSET", None)]
    assert "my secret" not in telemetry.everything()


async def test_only_the_latest_calls_are_remembered_for_their_tools(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_openai.otel._MOST_ENDED", 3)
    telemetry = Telemetry()
    server = await started(nursery, Reply.chat("Hello."))
    async with server.client(observer=telemetry.observer) as client:
        for _ in range(9):
            await client.chat.completions.create(**CHAT)
    assert len(telemetry.observer._ended) == 3


# The packages.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tracer_provider": "console"}, "tracer_provider takes an object such as"),
        ({"meter_provider": 1}, "meter_provider takes an object such as"),
        ({"capture_content": "false"}, "capture_content takes True, False or None, not 'false'"),
        ({"provider": ""}, "provider takes a name such as 'groq', not ''"),
    ],
)
def test_a_wrong_argument_is_named(options: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        OpenTelemetry(**options)


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_extra_is_named_if_it_is_not_installed() -> None:
    assert (
        run(
            "import sys; sys.modules['opentelemetry'] = None\n"
            "try: import trio_openai.otel\n"
            "except ModuleNotFoundError as error: print(error, error.name)"
        )
        == "trio_openai.otel needs opentelemetry-api: pip install 'trio-openai[otel]' opentelemetry"
    )


def test_nothing_else_of_the_library_imports_opentelemetry() -> None:
    assert run("import sys, trio_openai, trio_openai.sync; print('opentelemetry' in sys.modules)") == "False"


def test_the_api_is_enough() -> None:
    modules = run("import sys, trio_openai.otel; print(*sys.modules)").split()
    assert not [name for name in modules if name.startswith(("opentelemetry.sdk", "opentelemetry.semconv"))]


async def test_without_an_sdk_nothing_is_made_and_a_parent_is_passed_on(nursery: trio.Nursery) -> None:
    server = await started(nursery, Reply.chat("Hello."))
    parent = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=True))
    token = context.attach(trace.set_span_in_context(parent))
    try:
        async with server.client(observer=OpenTelemetry()) as client:
            assert (await client.chat.completions.create(**CHAT)).text == "Hello."
    finally:
        context.detach(token)
    assert dict(server.requests[0].headers)["traceparent"] == f"00-{1:032x}-{2:016x}-00"
