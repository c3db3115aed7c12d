"""The replies of the scripted server to each example of the documentation: `SCRIPTS`, by the example's name."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

import attrs
import trio
import trio.testing

from trio_openai.testing import (
    Cut,
    Pause,
    RecordedRequest,
    Reply,
    Reset,
    Script,
    Stall,
    Step,
    sse_event,
)


def conversation(request: RecordedRequest) -> Reply:
    """Know the name if it is in the messages, or if a response is continued."""
    body = request.json()
    is_known = len(body.get("messages", ())) > 2 or bool(body.get("previous_response_id"))
    return Reply.auto("Your name is Ada." if is_known else "Hello, Ada.")


def broken(reply: Reply, writes: int, fault: Step) -> Reply:
    """Return the reply with a fault after a number of events."""
    return attrs.evolve(reply, body=(*reply.body[:writes], fault))


def pausing(reply: Reply, writes: int) -> Reply:
    """Return the reply with a pause of one second after a number of events."""
    return attrs.evolve(reply, body=(*reply.body[:writes], Pause(1), *reply.body[writes:]))


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


def city_of(request: RecordedRequest) -> str:
    """Return the last word of the question."""
    return prompt_of(request).split()[-1].rstrip("?")


def is_streamed(request: RecordedRequest) -> bool:
    return bool(request.json().get("stream"))


COUNTRIES = {"Oslo": "Norway", "Rome": "Italy", "Lima": "Peru", "Kyoto": "Japan"}


def country(request: RecordedRequest) -> Reply:
    """Delay the first answers most, so that ordered results need reordering."""
    city = city_of(request)
    if city not in COUNTRIES:
        return Reply.error(400, f"{city} is not on the map")
    return Reply.chat(f"In {COUNTRIES[city]}.", pace=0.02 if city == "Oslo" else 0, stream=is_streamed(request))


def why(request: RecordedRequest) -> Reply:
    if "sea" in prompt_of(request):
        return broken(Reply.chat("Rivers carry salt into it, and none out."), 5, Cut())
    return Reply.chat("Air scatters blue light." if "sky" in prompt_of(request) else "Leaves do not use green light.")


def in_words(request: RecordedRequest) -> Reply:
    number = int(prompt_of(request).split()[1].rstrip("."))
    return Reply.chat(("One.", "Two.", "Three.")[number - 1] if number <= 3 else "Many.")


def no_answer_first() -> Script:
    """Answer every request but the first."""
    return [Reply.sse(Stall()), Reply.chat(SKY)]


class RomeFailsOnce:
    """A script that refuses the question about Rome the first time."""

    def __init__(self) -> None:
        self._is_refused = False

    def __call__(self, request: RecordedRequest) -> Reply:
        if city_of(request) != "Rome" or self._is_refused:
            return country(request)
        self._is_refused = True
        return Reply.error(400, "the content filter is busy")


def only_the_small_one(request: RecordedRequest) -> Reply:
    model = request.json()["model"]
    return Reply.chat(SKY, model=model) if model.endswith("mini") else Reply.sse(Stall())


def either_model(request: RecordedRequest) -> Reply:
    """Let the large model fail once, and be slower otherwise."""
    is_black = "black" in prompt_of(request)
    if request.json()["model"].endswith("mini"):
        return attrs.evolve(Reply.chat(SKY), delay=0.5 if is_black else 0)
    return Reply.error(400, "no") if is_black else Reply.sse(Stall())


def counted_slowly() -> Reply:
    """Return an answer of six tokens, of which five follow the first within two seconds."""
    words = [
        {"index": 0, "delta": {"content": word}} for word in ("One, ", "two, ", "three, ", "four, ", "five, ", "six.")
    ]
    usage = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}
    first, *others = ({"choices": [word]} for word in words)
    paced = [step for chunk in others for step in (Pause(0.4), chunk)]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return Reply.sse(first, *paced, end, {"choices": [], "usage": usage})


def unreliable(request: RecordedRequest) -> Reply:
    """Stall in the story, break off in the poem, and refuse one of the questions."""
    prompt = prompt_of(request)
    if "story" in prompt:
        return broken(Reply.chat("Once upon a time a server fell asleep."), 5, Stall())
    if "poem" in prompt:
        return broken(Reply.chat("Roses are red, and violets are blue."), 4, Cut())
    if "verb" in prompt:
        return Reply.error(400, "no verbs, please")
    return Reply.chat("Yes." if "city" in prompt else "No, but one flows through it.")


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
    return Reply.chat(f"In {COUNTRIES[city_of(request)]}.", stream=False)


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
    unit = ', "unit": "celsius"' if b'"unit"' in request.body else ""
    steps: list[Any] = []
    for index, (city, pause) in enumerate(calls):
        function = {"name": "temperature", "arguments": f'{{"city": "{city}"{unit}}}'}
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
    people = {"Oslo": "717710", "Rome": '"many"', "Kyoto": "1438614"}[name]
    return Reply.response(f'{{"name": "{name}", "people": {people}}}')


def tea_and_coffee(request: RecordedRequest) -> Reply:
    """Call the tool for one topic after the other. Answer when there are no tools."""
    params = request.json()
    if "tools" not in params:
        return Reply.chat("Tea is at least 2,000 years old. I do not know about coffee.", stream=False)
    number = len(params["messages"]) // 2
    function = {"name": "look_up", "arguments": json.dumps({"topic": ("tea", "coffee")[number]})}
    call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
    return Reply.sse(
        {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    )


def orders(request: RecordedRequest) -> Reply:
    text = request.json()["input"]
    order: dict[str, Any] | None = None
    if "Ann" in text:
        order = {"customer": "Ann", "item": "tea", "packets": 12, "due": "2026-05-03"}
    elif "Bob" in text:
        order = {"customer": "Bob", "item": "coffee", "packets": 2, "due": "2026-06-21"}
    return Reply.response(json.dumps({"order": order}))


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
    vectors = [base64.b64encode(array("f", numbers).tobytes()).decode() for numbers in ((0.5, 0.25), (0.5, -0.25))]
    return Reply.json({"data": [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]})


def vector_stores(request: RecordedRequest) -> Reply:
    if request.path.endswith("/files"):
        return Reply.json({"id": "file_1", "filename": "any_endpoint.py"})
    if request.method == "DELETE":
        return Reply.json({"id": "vs_2", "deleted": True})
    if request.method == "POST":
        return Reply.json({"id": "vs_2", "object": "vector_store", **request.json()})
    is_last = "after=vs_2" in request.target
    store = {"id": "vs_1", "name": "handbook"} if is_last else {"id": "vs_2", "name": "examples"}
    return Reply.json({"data": [store], "has_more": not is_last})


def batch(request: RecordedRequest) -> Reply:
    """Answer an upload, a batch that takes a while, and a download."""
    if request.path.endswith("/files"):
        return Reply.json({"id": "file_1", "object": "file", "bytes": len(request.body)})
    if request.path.endswith("/content"):
        countries = {"Oslo": "Norway", "Lima": "Peru"}
        lines = [
            {"custom_id": city, "response": {"body": {"choices": [{"message": {"content": country}}]}}}
            for city, country in countries.items()
        ]
        return Reply(body=[json.dumps(line).encode() + b"\n" for line in lines])
    status = (
        {"status": "completed", "output_file_id": "file_2"} if request.method == "GET" else {"status": "validating"}
    )
    return Reply.json({"id": "batch_1", "object": "batch", **status})


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
    "traces": [
        Reply.error(503, "try again", headers={"retry-after-ms": "1"}),
        Reply.tool_calls(("weather", {"city": "Rome"})),
        Reply.chat("It is sunny in Rome."),
    ],
    "metrics": [Reply.chat("Hello there."), Reply.chat("Goodbye."), Reply.error(400, "the prompt is empty")],
    "raw_answer": [
        Reply.error(503, "try again", headers={"retry-after-ms": "1"}),
        Reply.chat("One, two, three.", stream=False, headers={"x-ratelimit-remaining-tokens": "29970"}),
    ],
    "hello": Reply.chat("Air scatters blue light more than red light."),
    "promises": unreliable,
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
    "any_endpoint": vector_stores,
    "batch": batch,
    "webhook": [],
    "other_endpoint": Reply.sse(
        {"content": " three,", "stop": False},
        {"content": " four.", "stop": False},
        {"content": "", "stop": True, "tokens_predicted": 4},
        done=False,
    ),
    "first_stream": Reply.chat(SKY),
    "whole_answer": Reply.chat("Hello there, friend!"),
    "events": Reply.chat("Hello there, friend!"),
    "deadline": broken(Reply.chat(STORY), 9, Stall()),
    "chat_history": conversation,
    "chat_stored": conversation,
    "notebook": Reply.chat(SKY),
    "notebook_table": country,
    "come_back": pausing(Reply.chat(SKY), 5),
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
    "live_view": country,
    "log_problems": [Reply.chat("Hello there."), Reply.chat("Goodbye."), Reply.error(400, "the prompt is empty")],
    "race": only_the_small_one,
    "servers": Reply.chat(SKY),
    "observe_speed": attrs.evolve(counted_slowly(), delay=1),
    "observe_races": either_model,
    "several_servers": country,
    "adaptive_limit": FourAtATime(),
    "rate_limit": country,
    "own_limiter": country_and_usage,
    "ask_again": [broken(Reply.chat(TEA), 4, Cut()), Reply.chat(TEA)],
    "resume": bad_line,
    "nursery_door": tea_and_sky,
    "settle": Reply.chat(TEA),
    "structured": Reply.chat('{"name": "Oslo", "country": "Norway", "people": 717710}', stream=False),
    "structured_partial": Reply.chat(RECIPE),
    "ask_until_valid": [Reply.chat(f'{{"name": "Oslo", "people": {n}}}', stream=False) for n in (717, 717710)],
    "structured_outcomes": cities,
    "tools": two_temperatures,
    "tools_events": two_temperatures,
    "sync_tools": two_temperatures,
    "tools_outcomes": stock_and_query,
    "tools_approval": stock_and_query,
    "sync_threads": country,
    "agent_deadline": tea_and_coffee,
    "batch_resume": RomeFailsOnce(),
    "batch_job": country,
    "batch_sink": country,
    "hedged": no_answer_first(),
    "extraction": orders,
    "deltas": thought_and_call,
    "tool_calls": two_calls(),
    "port_events": thought_and_call,
    "port_function_calls": two_calls(),
    "port_errors": Reply.error(429, "you are too fast", code="rate_limit_exceeded"),
    "port_retry": [Reply.error(503, "try again", headers={"retry-after-ms": "1"}), COUNTED],
}
