"""Answers that broke other clients: tool calls, choices, usage, deltas, and the items of a response.

Each is served whole and byte by byte, and read as events and as text.
"""

from __future__ import annotations

import json

import pytest
import trio
from body_helpers import (
    CHAT_DONE,
    COMPLETE,
    COMPLETED,
    CREATED,
    DONE,
    HELLO,
    HI,
    STOP,
    WORLD,
    YOU,
    manager,
    objects,
    play,
    play_response,
    served,
)

from trio_openai import (
    UnknownEvent,
)

# ----------------------------------------------------------------------------------------------------------- tool calls


def tools(*pieces: str) -> list[bytes]:
    """Make one chunk for each piece of a `tool_calls` list."""
    lines = [b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%s]}}]}\n\n' % piece.encode() for piece in pieces]
    return [*lines, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n', DONE]


WHOLE_CALLS = [
    '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
    '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
]
TOOL_CALLS: dict[str, list[str]] = {
    "index 1 before 0": [
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":1,"function":{"arguments":":2}"}}',
        '{"index":0,"function":{"arguments":":1}"}}',
    ],
    "a missing index": [
        '{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"function":{"arguments":":1}"}}',
        '{"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"id":"","function":{"arguments":":2}"}}',
    ],
    "an index that is null": [
        '{"index":null,"id":"call_1","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
        '{"index":null,"id":"call_2","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
    ],
    "a repeated id and name": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":":1}"}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":":2}"}}',
    ],
    "a repeated id without an index": [
        '{"id":"call_1","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"id":"call_2","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"id":"call_1","function":{"arguments":":1}"}}',
        '{"id":"call_2","function":{"arguments":":2}"}}',
    ],
    "ids and names that are emptied later": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\""}}',
        '{"index":0,"id":"","type":"","function":{"name":"","arguments":":1}"}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":null,"type":null,"function":{"name":null,"arguments":":2}"}}',
    ],
    "interleaved parallel calls": [
        '{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}',
        '{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":""}}',
        *(f'{{"index":0,"function":{{"arguments":"{piece}"}}}}' for piece in ("{", '\\"a\\"')),
        *(f'{{"index":1,"function":{{"arguments":"{piece}"}}}}' for piece in ("{", '\\"b\\":')),
        '{"index":0,"function":{"arguments":":1}"}}',
        '{"index":1,"function":{"arguments":"2}"}}',
    ],
    "a whole call in one chunk": WHOLE_CALLS,
    "all calls in one chunk": [",".join(WHOLE_CALLS)],
    "id and name in different chunks": [
        '{"index":0,"id":"call_1","type":"function"}',
        '{"index":0,"function":{"name":"f"}}',
        '{"index":0,"function":{"arguments":"{\\"a\\":1}"}}',
        '{"index":1,"function":{"name":"g","arguments":"{\\"b\\""}}',
        '{"index":1,"id":"call_2","function":{"arguments":":2}"}}',
    ],
    "an index with holes": [
        '{"index":3,"id":"call_1","function":{"name":"f","arguments":"{\\"a\\":1}"}}',
        '{"index":9,"id":"call_2","function":{"name":"g","arguments":"{\\"b\\":2}"}}',
    ],
}


@pytest.mark.parametrize("pieces", TOOL_CALLS.values(), ids=TOOL_CALLS.keys())
async def test_tool_calls_are_assembled_by_index(pieces: list[str]) -> None:
    body = tools(*pieces)
    heard = await play(*body)
    calls = heard.message.tool_calls
    assert [(call.id, call.type, call.function.name, call.function.arguments) for call in calls] == [
        ("call_1", "function", "f", '{"a":1}'),
        ("call_2", "function", "g", '{"b":2}'),
    ]
    assert heard.raws == objects(*body[:-1])
    assert heard.verdict == "done by [DONE] (tool_calls)"
    assert heard.texts == []


# ------------------------------------------------------------------------------------------------ choices, usage, roles


async def test_choices_out_of_order_are_assembled_by_index() -> None:
    body = [
        b'data: {"choices":[{"index":2,"delta":{"content":"c"}}]}\n\n',
        b'data: {"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}]}\n\n',
        b'data: {"choices":[{"index":1,"delta":{"content":"B"},"finish_reason":"length"}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"A"},"finish_reason":"stop"}]}\n\n',
        b'data: {"choices":[{"index":2,"delta":{"content":"C"},"finish_reason":"stop"}]}\n\n',
    ]
    heard = await play(*body, n=3)
    assert [(c.index, c.message.content, c.finish_reason) for c in heard.snapshot.choices] == [
        (0, "aA", "stop"),
        (1, "bB", "length"),
        (2, "cC", "stop"),
    ]
    assert heard.texts == ["a", "A"]
    assert heard.verdict == "done by finish_reason (stop)"


USAGE = b'"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}'
NO_USAGE = b'"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
LAST = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'
USAGES: dict[str, list[bytes]] = {
    "on a separate chunk": [HI, STOP, b'data: {"choices":[],' + USAGE + b"}\n\n", DONE],
    "on the last content chunk": [HI, LAST + b"," + USAGE + b"}\n\n", DONE],
    "on every chunk": [
        HI.replace(b"]}", b'],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'),
        LAST + b"," + USAGE + b"}\n\n",
        DONE,
    ],
    "in x_groq": [HI, LAST + b',"x_groq":{"id":"req_1",' + USAGE + b"}}\n\n", DONE],
    "null on all others": [
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"usage":null}\n\n',
        LAST + b"," + USAGE + b"}\n\n",
        b'data: {"choices":[],"usage":null}\n\n',
        DONE,
    ],
    "a chunk after the usage chunk": [
        HI,
        STOP,
        b'data: {"choices":[],' + USAGE + b"}\n\n",
        b'data: {"choices":[]}\n\n',
        DONE,
    ],
    "zeros after it": [HI, LAST + b"," + USAGE + b"}\n\n", b'data: {"choices":[],' + NO_USAGE + b"}\n\n", DONE],
    "zeros before it": [HI, LAST + b"," + NO_USAGE + b"}\n\n", b'data: {"choices":[],' + USAGE + b"}\n\n", DONE],
}


@pytest.mark.parametrize("body", USAGES.values(), ids=USAGES.keys())
async def test_usage_is_found_wherever_the_server_sends_it(body: list[bytes]) -> None:
    heard = await play(*body)
    usage = heard.snapshot.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 2, 3)
    assert heard.raws == objects(*body[:-1])
    assert heard.message.content == heard.text == "Hi"
    assert heard.verdict == CHAT_DONE


async def test_a_repeated_role_is_not_concatenated() -> None:
    line = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}\n\n'
    heard = await play(line, line, line, STOP, DONE)
    assert (heard.message.role, heard.message.content) == ("assistant", "aaa")


@pytest.mark.parametrize(
    ("reasons", "finish", "verdict"),
    [
        (["null", '"stop"'], "stop", "done by finish_reason (stop)"),
        (
            ['"stop"', "null"],
            "stop",
            "truncated (stop)",
        ),  # content after the finish reason, without a second finish reason
        (['""', '"stop"', '""'], "stop", "truncated (stop)"),
        (["null", '"length"', '"stop"'], "stop", "done by finish_reason (stop)"),
        (["null", '"eos_token_reached"'], "eos_token_reached", "done by finish_reason (eos_token_reached)"),
        (["null", '""'], None, "truncated"),
    ],
)
async def test_the_last_finish_reason_decides_the_verdict(reasons: list[str], finish: str | None, verdict: str) -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":%s}]}\n\n' % reason.encode()
        for reason in reasons
    ]
    heard = await play(*lines)
    assert heard.snapshot.choices[0].finish_reason == finish
    assert heard.verdict == verdict
    assert heard.raws == objects(*lines)


# ---------------------------------------------------------------------------------------------------- chunks and deltas


async def test_the_first_chunk_of_azure_has_no_choices() -> None:
    first = b'data: {"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[{"prompt_index":0}]}\n\n'
    second = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}],"created":5,"id":"c1","model":"gpt-4"}\n\n'
    heard = await play(first, second, STOP, DONE)
    assert heard.raws[0]["prompt_filter_results"] == [{"prompt_index": 0}]
    assert (heard.snapshot.id, heard.snapshot.model, heard.snapshot.created) == ("c1", "gpt-4", 5)
    assert heard.text == "Hi"


async def test_a_choice_without_a_delta_is_accepted() -> None:
    """Check the content filter results of Azure, which come in choices without a delta."""
    odd = b'data: {"choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{"check_offset":1}}]}\n\n'
    heard = await play(HI, odd, STOP, DONE)
    assert heard.events[1].choices[0].delta.content is None
    assert heard.raws[1]["choices"][0]["content_filter_offsets"] == {"check_offset": 1}
    assert heard.text == "Hi"


@pytest.mark.parametrize("delta", ["null", "{}", '{"content":null}', '{"role":"assistant"}', '{"content":""}'])
async def test_a_delta_without_content_adds_nothing(delta: str) -> None:
    line = b'data: {"choices":[{"index":0,"delta":%s}]}\n\n' % delta.encode()
    heard = await play(line, HI, line, STOP, DONE)
    assert heard.raws == objects(line, HI, line, STOP)
    assert heard.texts == ["Hi"]
    assert heard.message.content == "Hi"


async def test_content_that_was_always_null_stays_none() -> None:
    heard = await play(b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}\n\n', STOP, DONE)
    assert heard.message.content is None
    assert heard.texts == []


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_text_is_joined(field: str) -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"%s":"%s"}}]}\n\n' % (field.encode(), piece)
        for piece in (b"let me", b" see")
    ]
    heard = await play(*lines, HI, STOP, DONE)
    assert getattr(heard.message, field) == "let me see"
    assert getattr(heard.events[0].choices[0].delta, field) == "let me"
    assert heard.message.content == heard.text == "Hi"


async def test_reasoning_details_are_merged_by_index() -> None:
    lines = [
        b'data: {"choices":[{"index":0,"delta":{"content":"","reasoning_details":'
        b'[{"type":"reasoning.text","index":0,"format":"x","text":"%s"}]}}]}\n\n' % piece
        for piece in (b"let me", b" see")
    ]
    heard = await play(*lines, HI, STOP, DONE)
    assert heard.message.reasoning_details == [
        {"type": "reasoning.text", "index": 0, "format": "x", "text": "let me see"}
    ]
    assert heard.text == "Hi"


async def test_content_given_as_a_list_of_parts_is_split_into_text_and_reasoning() -> None:
    """Check the content of reasoning models by Mistral."""
    thinking = (
        b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":'
        b'[{"type":"text","text":"let me see"}]}]}}]}\n\n'
    )
    text = b'data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Hi"}]}}]}\n\n'
    heard = await play(thinking, text, YOU, STOP, DONE)
    assert heard.raws == objects(thinking, text, YOU, STOP)
    assert heard.events[1].choices[0].delta.content == [{"type": "text", "text": "Hi"}]
    assert heard.message.content == heard.text == "Hi you"
    assert heard.message.reasoning_content == "let me see"


@pytest.mark.promise(n=5)
async def test_unknown_fields_are_kept() -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"Hi","mood":"good"},"stop_reason":7}],"provider":"X"}\n\n'
    heard = await play(odd, STOP, DONE)
    assert heard.raws == objects(odd, STOP)
    assert heard.events[0].choices[0].delta.raw["mood"] == "good"


# ------------------------------------------------------------------------------------------------------------ responses


@pytest.mark.promise(n=5)
async def test_an_event_of_an_unknown_type_is_an_unknown_event() -> None:
    odd = b'data: {"type":"response.telepathy.delta","delta":"hm","sequence_number":3}\n\n'
    heard = await play_response(CREATED, odd, HELLO, COMPLETED)
    assert type(heard.events[1]) is UnknownEvent
    assert (heard.events[1].type, heard.events[1].delta, heard.events[1].sequence_number) == (
        "response.telepathy.delta",
        "hm",
        3,
    )
    assert heard.raws == objects(CREATED, odd, HELLO, COMPLETED)
    assert heard.text == "Hello"


@pytest.mark.parametrize("status", ["failed", "incomplete"])
async def test_the_final_response_is_available_after_a_failure(status: str) -> None:
    end = (
        b'data: {"type":"response.%s","response":{"id":"r1","status":"%s","output":[],"error":'
        b'{"code":"server_error","message":"oops"},"incomplete_details":{"reason":"max_output_tokens"}}}\n\n'
        % (status.encode(), status.encode())
    )
    async with trio.open_nursery() as nursery:
        server = await served(nursery, CREATED, HELLO, end)
        async with server.client() as client, manager(client, True, {}) as stream:
            response = await stream.get_final_response()
        assert response.status == status
        assert response.error.message == "oops"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output_text == "Hello"
        assert str(stream.verdict) == f"done by terminal_event (response.{status})"
        await server.aclose()


OUTPUT = (
    b'[{"type":"message","id":"m1","role":"assistant","status":"completed","content":'
    b'[{"type":"output_text","text":"Hello you","annotations":[]}]}]'
)
WHOLE = b'data: {"type":"response.completed","response":{"id":"r1","status":"completed","output":' + OUTPUT + b"}}\n\n"
M1 = b'"output_index":0,"item_id":"m1","content_index":0'
DONE_TEXT = b'data: {"type":"response.output_text.done",' + M1 + b',"text":"Hello you"}\n\n'
DONE_ITEM = b'data: {"type":"response.output_item.done","output_index":0,"item":' + OUTPUT[1:-1] + b"}\n\n"
ADDED = (
    b'data: {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"m1","content":[]}}\n\n'
)

RESPONSES: dict[str, list[bytes]] = {
    "as OpenAI sends it": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, WHOLE],
    "[DONE] at the end": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, WHOLE, DONE],
    "an empty output in the terminal event": [CREATED, ADDED, HELLO, WORLD, DONE_TEXT, DONE_ITEM, COMPLETED],
    "an empty output, and nothing but deltas": [CREATED, HELLO, WORLD, COMPLETED],
    "output_text.done without deltas": [CREATED, ADDED, DONE_TEXT, DONE_ITEM, WHOLE],
    "output_text.done without deltas and an empty output": [CREATED, ADDED, DONE_TEXT, COMPLETED],
    "nothing but the items": [CREATED, DONE_ITEM, COMPLETED],
    "nothing but the terminal event": [WHOLE],
    "keepalive events": [
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":0}\n\n',
        CREATED,
        HELLO,
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n',
        WORLD,
        WHOLE,
    ],
    "a resumed stream that begins at response.queued": [
        b'data: {"type":"response.queued","response":{"id":"r1","status":"queued","output":[]}}\n\n',
        b'data: {"type":"response.in_progress","response":{"id":"r1","status":"in_progress","output":[]}}\n\n',
        HELLO,
        WORLD,
        WHOLE,
    ],
    "events keyed by item_id alone": [
        CREATED,
        ADDED.replace(b'"output_index":0,', b""),
        HELLO.replace(b'"output_index":0,', b""),
        WORLD.replace(b'"output_index":0,', b""),
        COMPLETED,
    ],
    "events keyed by nothing": [
        CREATED,
        b'data: {"type":"response.output_text.delta","delta":"Hello"}\n\n',
        b'data: {"type":"response.output_text.delta","delta":" you"}\n\n',
        COMPLETED,
    ],
    "ids that change between events": [
        CREATED,
        ADDED,
        HELLO.replace(b'"m1"', b'"gibberish_1"'),
        WORLD.replace(b'"m1"', b'"gibberish_2"'),
        DONE_TEXT.replace(b'"m1"', b'"gibberish_3"'),
        DONE_ITEM.replace(b'"m1"', b'"gibberish_4"'),
        COMPLETED.replace(b'"r1"', b'"gibberish_5"'),
    ],
}


@pytest.mark.parametrize("body", RESPONSES.values(), ids=RESPONSES.keys())
async def test_a_response_is_assembled_from_its_events(body: list[bytes]) -> None:
    heard = await play_response(*body)
    lines = [line[line.index(b"data: ") :] for line in body if line != DONE]
    assert heard.raws == objects(*lines)
    assert heard.text == "Hello you"
    assert heard.snapshot.output_text == "Hello you"
    assert len(heard.snapshot.output) == 1
    assert heard.snapshot.status == "completed"
    assert heard.verdict == COMPLETE
    assert heard.error is None


def test_no_event_of_these_responses_has_a_sequence_number() -> None:
    """Check that no event above has a sequence number, so the cases above also show that events may lack it."""
    assert b"sequence_number" not in b"".join(RESPONSES["as OpenAI sends it"])


async def test_the_event_name_replaces_a_missing_type() -> None:
    body = [
        b"event: response.output_text.delta\ndata: {" + M1 + b',"delta":"Hello"}\n\n',
        b'event: response.completed\ndata: {"response":{"id":"r1","status":"completed","output":[]}}\n\n',
    ]
    heard = await play_response(*body)
    assert [event.type for event in heard.events] == ["response.output_text.delta", "response.completed"]
    assert heard.raws == [json.loads(line.partition(b"data: ")[2]) for line in body]
    assert heard.text == heard.snapshot.output_text == "Hello"
    assert heard.verdict == COMPLETE


FUNCTION = b'{"type":"function_call","id":"%s","call_id":"call_%s","name":"f%s","arguments":%s}'


def function_added(number: bytes, index: bytes = b"") -> bytes:
    item = FUNCTION % (b"fc_" + number, number, number, b'""')
    return b'data: {"type":"response.output_item.added",' + index + b'"item":' + item + b"}\n\n"


def arguments(number: bytes, piece: bytes, index: bytes = b"") -> bytes:
    return (
        b'data: {"type":"response.function_call_arguments.delta",'
        + index
        + b'"item_id":"fc_%s","delta":"%s"}\n\n' % (number, piece)
    )


@pytest.mark.parametrize(
    "indexes", [(b'"output_index":0,', b'"output_index":1,'), (b"", b"")], ids=["index", "id alone"]
)
async def test_items_that_overlap_without_arguments_done_are_complete(indexes: tuple[bytes, bytes]) -> None:
    one, two = indexes
    heard = await play_response(
        CREATED,
        function_added(b"1", one),
        function_added(b"2", two),
        arguments(b"2", b'{\\"b\\"', two),
        arguments(b"1", b'{\\"a\\"', one),
        arguments(b"2", b":2}", two),
        arguments(b"1", b":1}", one),
        COMPLETED,
    )
    assert [(item.type, item.name, item.call_id, item.arguments) for item in heard.snapshot.output] == [
        ("function_call", "f1", "call_1", '{"a":1}'),
        ("function_call", "f2", "call_2", '{"b":2}'),
    ]
    assert heard.texts == []
    assert heard.verdict == COMPLETE
