"""The log: one line per call, more at DEBUG, and never a key, a prompt or an answer."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from net_helpers import client_over, no_environment, outcome, serve

import trio_openai
from trio_openai import APIError, Deadlines, RateLimiter, TrioOpenAI
from trio_openai._observers.lines import write_line
from trio_openai.azure import AzureOpenAI
from trio_openai.sync import SyncAzureOpenAI, SyncOpenAI
from trio_openai.testing import Cut, RecordedRequest, Reply, Stall

SECRET = "sk-proj-9f8e7d6c5b4a"
PROMPT, ANSWER = "Why is the prompt private?", "Because the answer is."
ASK: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": PROMPT}]}
PLAIN = Reply.chat(ANSWER, stream=False)
STREAM = Reply.chat(ANSWER, usage=True)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    no_environment(monkeypatch)


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    caplog.set_level(logging.INFO, "trio_openai")
    return lambda: [record for record in caplog.get_records("call") if record.name == "trio_openai"]


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    caplog.set_level(logging.DEBUG, "trio_openai")
    return lambda: [record for record in caplog.get_records("call") if record.name == "trio_openai"]


Records = Callable[[], list[logging.LogRecord]]


def parsed(record: logging.LogRecord) -> dict[str, str]:
    """Return the pairs of a line, parsed as the documentation says."""
    return dict(pair.split("=", 1) for pair in shlex.split(record.getMessage()) if "=" in pair)


async def read(client: TrioOpenAI, **more: Any) -> None:
    async with client.chat.completions.stream(**ASK, **more) as stream:
        await stream.until_done()


def ended_by(reason: str) -> dict[str, Any]:
    """Return a chunk of a chat with content and a finish reason."""
    choice = {"index": 0, "delta": {"content": ANSWER}, "finish_reason": reason}
    return {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


# ---------------------------------------------------------------------------------------------------- one line per call


async def test_stream_writes_one_line_when_it_ends(
    nursery: trio.Nursery, autojump_clock: object, info: Records
) -> None:
    reply = attrs.evolve(Reply.chat("One two.", usage=True, pace=0.25), delay=0.5)
    server = await serve(nursery, reply)
    async with server.client() as client, client.chat.completions.stream(**ASK) as stream:
        await anext(stream)
        assert info() == []
        await stream.until_done()
        (record,) = info()
    assert record.levelname == "INFO"
    values = parsed(record)
    call = values.pop("call")
    assert record.getMessage().startswith("POST /chat/completions model=gpt-4o-mini status=200 verdict=done ")
    assert values == {
        "model": "gpt-4o-mini",
        "status": "200",
        "verdict": "done",
        "by": "[DONE]",
        "reason": "stop",
        "attempts": "1",
        "request_id": "req_scripted",
        "headers_ms": "500",
        "first_event_ms": "500",
        "first_content_ms": "750",
        "total_ms": values["total_ms"],
        "input_tokens": values["input_tokens"],
        "output_tokens": "2",
        "server": "127.0.0.1:80",
    }
    assert int(values["total_ms"]) >= 1000
    assert int(call) > 0


async def test_plain_call_writes_one_line(nursery: trio.Nursery, info: Records) -> None:
    server = await serve(nursery, PLAIN)
    async with server.client() as client:
        await client.chat.completions.create(**ASK)
        await client.with_raw_response.chat.completions.create(**ASK)
        await client.with_options(max_retries=0).chat.completions.create(**ASK)
    assert [parsed(record)["verdict"] for record in info()] == ["done"] * 3
    assert len({parsed(record)["call"] for record in info()}) == 3


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply.error(400, "no"), {"status": "400", "verdict": "failed", "error": "BadRequestError"}),
        (
            attrs.evolve(STREAM, body=(*STREAM.body[:3], Cut())),
            {"status": "200", "verdict": "truncated", "error": "StreamTruncatedError"},
        ),
        (
            attrs.evolve(STREAM, body=(*STREAM.body[:3], Stall())),
            {"status": "200", "verdict": "failed", "error": "APITimeoutError", "phase": "idle"},
        ),
    ],
    ids=["refused", "truncated", "stalled"],
)
async def test_line_tells_how_a_call_failed(
    nursery: trio.Nursery, autojump_clock: object, info: Records, reply: Reply, expected: dict[str, str]
) -> None:
    server = await serve(nursery, reply)
    async with server.client(timeout=Deadlines(idle=5), max_retries=0) as client:
        with pytest.raises(APIError):
            await read(client)
    (record,) = info()
    values = parsed(record)
    assert expected.items() <= values.items(), values
    assert record.levelname == "INFO"
    assert record.exc_info is None


async def test_line_counts_attempts_and_shows_the_last_request_id(
    nursery: trio.Nursery, autojump_clock: object, info: Records
) -> None:
    again = Reply.chat(ANSWER, headers={"x-request-id": "req_2"})
    server = await serve(nursery, [Reply.error(500, "x"), again])
    async with server.client() as client:
        await read(client)
    values = parsed(info()[0])
    assert (values["attempts"], values["request_id"], values["status"]) == ("2", "req_2", "200")


async def test_break_cancellation_and_collection_each_write_one_line(
    nursery: trio.Nursery, autojump_clock: object, info: Records
) -> None:
    server = await serve(nursery, Reply.chat(ANSWER, pace=1))
    async with server.client() as client:
        async with client.chat.completions.stream(**ASK) as stream:
            await anext(stream)
        with trio.move_on_after(2):
            await read(client)
        left = [await client.chat.completions.create(**ASK, stream=True)]
        await anext(left[0])
        with pytest.warns(ResourceWarning):
            left.clear()
    values = [parsed(record) for record in info()]
    assert [one["verdict"] for one in values] == ["closed"] * 3
    assert "error" not in values[0]


async def test_limiter_and_waiting_count_as_phases(
    nursery: trio.Nursery, autojump_clock: object, info: Records
) -> None:
    server = await serve(nursery, PLAIN)
    async with server.client(limiter=RateLimiter(requests_per_minute=60)) as client, trio.open_nursery() as calls:
        for _ in range(200):
            calls.start_soon(lambda: client.chat.completions.create(**ASK))
    assert max(int(parsed(record)["limiter_ms"]) for record in info()) > 1000


async def test_azure_and_blocking_clients_write_the_same_line(nursery: trio.Nursery, info: Records) -> None:
    server = await serve(nursery, PLAIN, memory=False)
    azure = {"azure_endpoint": server.base_url.removesuffix("/v1"), "api_version": "1", "api_key": SECRET}
    async with AzureOpenAI(**azure) as client:
        await client.chat.completions.create(**ASK)

    def block() -> None:
        for blocking in (SyncOpenAI(base_url=server.base_url, api_key=SECRET), SyncAzureOpenAI(**azure)):
            with blocking as client:
                client.chat.completions.create(**ASK)

    await trio.to_thread.run_sync(block)
    paths = [record.getMessage().split()[1] for record in info()]
    of_azure = "/openai/deployments/gpt-4o-mini/chat/completions"
    assert [of_azure.endswith(path) or path == "/chat/completions" for path in paths] == [True] * 3
    assert all(parsed(record)["verdict"] == "done" for record in info())


async def test_record_has_the_values_as_attributes(nursery: trio.Nursery, info: Records) -> None:
    server = await serve(nursery, STREAM)
    async with server.client() as client:
        await read(client)
    (record,) = info()
    fields = {name: value for name, value in vars(record).items() if name.startswith("openai_")}
    json.dumps(fields)
    assert fields["openai_event"] == "call ended"
    assert fields["openai_method"] == "POST"
    assert fields["openai_path"] == fields["openai_endpoint"] == "/chat/completions"
    assert fields["openai_status"] == 200
    assert isinstance(fields["openai_total_ms"], int)
    assert {f"openai_{name}" for name in parsed(record)} < fields.keys()


async def test_record_attributes_do_not_collide_with_those_of_a_program(nursery: trio.Nursery, info: Records) -> None:
    """Keep the line if the program gives every record a `request_id`, which `extra` must not overwrite."""
    before = logging.getLogRecordFactory()

    def with_request_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.request_id = record.model = record.status = "of the program"
        return record

    server = await serve(nursery, STREAM)
    logging.setLogRecordFactory(with_request_id)
    try:
        async with server.client() as client:
            await read(client)
    finally:
        logging.setLogRecordFactory(before)
    (record,) = info()
    assert vars(record)["request_id"] == "of the program"
    assert vars(record)["openai_request_id"] == "req_scripted"


def test_values_are_quoted_cut_and_kept_on_one_line(info: Records) -> None:
    log = logging.getLogger("trio_openai")
    given = {"a": 'x "y"', "b": "1\n2\x1b[31m", "c": "back\\slash", "d": "", "e": "é=ü", "f": "z" * 1000, "g": None}
    write_line(log, logging.INFO, "words", **given)
    message = info()[0].getMessage()
    assert message.isprintable()
    values = parsed(info()[0])
    assert values == {"a": 'x "y"', "b": "1?2?[31m", "c": "back\\slash", "d": "", "e": "é=ü", "f": "z" * 200}


async def test_server_cannot_forge_a_line(nursery: trio.Nursery, info: Records) -> None:
    server = await serve(nursery, Reply.sse(ended_by("stop\nPOST /x verdict=done")))
    async with server.client() as client:
        await read(client)
    (record,) = info()
    assert "reason" not in parsed(record)
    assert record.getMessage().count("verdict=") == 1


# ------------------------------------------------------------------------------------------------------------ at DEBUG


def names(records: list[logging.LogRecord]) -> list[str]:
    return [str(vars(record)["openai_event"]) for record in records]


async def test_debug_lines_follow_a_call(nursery: trio.Nursery, autojump_clock: object, debug: Records) -> None:
    server = await serve(nursery, [Reply.error(500, "x"), STREAM])
    async with server.client(limiter=RateLimiter(requests_per_minute=600)) as client:
        await read(client)
    assert names(debug()) == [
        "call started",
        "limiter permits",
        "attempt",
        "connection opened",
        "connection kept",
        "retry",
        "limiter permits",
        "attempt",
        "connection reused",
        "headers",
        "first event",
        "first content",
        "connection kept",
        "call ended",
        "connection closed",
    ]
    retry = parsed(debug()[5])
    assert (retry["error"], retry["status"], retry["attempt"]) == ("InternalServerError", "500", "1")
    assert int(retry["wait_ms"]) > 100
    assert [record.levelname for record in debug()].count("INFO") == 1


async def test_waiting_for_a_slot_is_logged(nursery: trio.Nursery, autojump_clock: object, debug: Records) -> None:
    server = await serve(nursery, attrs.evolve(STREAM, delay=2))
    client, _ = client_over(server, max_connections=1)
    async with client, trio.open_nursery() as calls:
        for _ in range(3):
            calls.start_soon(read, client)
    lines = [parsed(record) for record in debug() if names([record]) == ["waiting for a slot"]]
    assert [line["waiting"] for line in lines] == ["0", "1"]
    got = [parsed(record) for record in debug() if names([record]) == ["got a slot"]]
    assert len(got) == 2
    assert [line["waited_ms"] for line in got] == ["2000", "4000"]


@pytest.mark.parametrize(
    ("leave", "why"),
    [
        ("break", "its response was left early"),
        ("cancel", "its request failed or was cancelled"),
        ("idle", "it was idle for too long"),
        ("gone", "it had ended, or had not come to the end of its response"),
        ("close", "the transport was closed"),
    ],
)
async def test_closed_connection_is_logged_with_the_reason(
    nursery: trio.Nursery, autojump_clock: object, debug: Records, leave: str, why: str
) -> None:
    scripts = {
        "break": Reply.chat(ANSWER, pace=1),
        "cancel": attrs.evolve(STREAM, delay=9),
        "gone": attrs.evolve(STREAM, close_after=True),
    }
    server = await serve(nursery, scripts.get(leave, STREAM))
    client, _ = client_over(server, keepalive_expiry=5)
    async with client:
        if leave == "break":
            async with client.chat.completions.stream(**ASK) as stream:
                await anext(stream)
        else:
            with trio.move_on_after(3):
                await read(client)
        if leave == "idle":
            await trio.sleep(6)
            await read(client)
        if leave == "gone":
            await read(client)
    whys = [parsed(record)["why"] for record in debug() if names([record]) == ["connection closed"]]
    assert whys[0] == why


# ------------------------------------------------------------------------------------------------------------- secrets

PLACES: dict[str, dict[str, Any]] = {
    "key": {"api_key": SECRET},
    "authorization": {"api_key": "local", "default_headers": {"Authorization": f"Bearer {SECRET}"}},
    "header": {"api_key": "local", "default_headers": {"X-Helicone-Auth": SECRET, "Cookie": SECRET}},
    "query": {"api_key": "local", "default_query": {"key": SECRET}},
    "query of the URL": {"api_key": "local", "base_url": "{base}?subscription-key=" + SECRET},
    "user info": {"api_key": None, "base_url": "http://me:" + SECRET + "@{host}/v1"},
    "azure key": {"api_key": SECRET, "api_version": "1", "azure_endpoint": "http://{host}"},
    "azure token": {"azure_ad_token": SECRET, "api_version": "1", "azure_endpoint": "http://{host}"},
}


def echo(request: RecordedRequest) -> Reply:
    """Repeat the secret wherever a server can."""
    headers = {"x-request-id": f"req_{SECRET}", "x-echo": SECRET}
    body = request.body.replace(b" ", b"")
    if request.path.endswith("/redirect"):
        return Reply(307, {"location": f"/v1/chat/completions?key={SECRET}", **headers}, b"")
    if b"refuse" in body:
        return Reply.error(401, f"{SECRET} is wrong", headers=headers, code=SECRET)
    if b'"stream":true' not in body:
        return Reply.chat(ANSWER, stream=False, headers=headers)
    fault = (Cut(),) if b"cut" in body else ()
    return Reply.sse(ended_by(SECRET), *fault, headers=headers)


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Return a function that returns all that the log shows, with attributes and the locals of tracebacks."""
    caplog.set_level(logging.DEBUG)
    for name in ("trio_openai", "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, name)

    def shown() -> str:
        found = []
        for record in caplog.get_records("call"):
            found += [record.getMessage(), repr(vars(record))]
            if record.exc_info:
                error = record.exc_info[1]
                assert error is not None
                found += traceback.TracebackException.from_exception(error, capture_locals=True).format()
        return "\n".join(found)

    return shown


@pytest.mark.parametrize("place", PLACES)
async def test_no_secret_prompt_or_answer_is_logged(
    nursery: trio.Nursery, everything: Callable[[], str], place: str
) -> None:
    """Use the client's own connections, so that httpx's logger is looked at too."""
    server = await serve(nursery, echo, memory=False)
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    options = {
        name: value.format(base=server.base_url, host=host) if name in ("base_url", "azure_endpoint") else value
        for name, value in PLACES[place].items()
    }
    client_class: Any = AzureOpenAI if place.startswith("azure") else TrioOpenAI
    if client_class is TrioOpenAI:
        options.setdefault("base_url", server.base_url)
    async with client_class(**options, max_retries=1, timeout=5) as client:
        for word in ("", "refuse", "cut"):
            params = {**ASK, "messages": [{"role": "user", "content": f"{PROMPT} {word}"}]}
            await outcome(client.chat.completions.create, **params)
            await outcome(read, client, extra_headers={"x-my-token": SECRET}, user=word)
            await outcome(read, client, extra_query={"key": SECRET, "token[]": [SECRET]}, user=word)
        await outcome(client.post, "/redirect", body=ASK, query={"key": SECRET})
        await outcome(client.get, f"/things?key={SECRET}")
        await outcome(client.get, f"http://me:{SECRET}@{host}/v2/things?key={SECRET}")
        with trio.move_on_after(0.01):
            await outcome(read, client)
    text = everything()
    assert "call ended" in text
    assert "connection opened" in text
    for private in (SECRET, "prompt private", "answer is"):
        assert private not in text, [line for line in text.splitlines() if private in line][:3]


async def test_no_password_of_a_proxy_is_logged(everything: Callable[[], str]) -> None:
    proxy = f"http://me:{SECRET}@127.0.0.1:1"
    async with TrioOpenAI(api_key=SECRET, base_url="http://host.test/v1", proxy=proxy, max_retries=1) as client:
        with pytest.raises(APIError):
            await client.chat.completions.create(**ASK)
    assert "retry" in everything()
    assert SECRET not in everything()


# ------------------------------------------------------------------------------------------------------ httpx's logger


@pytest.mark.parametrize("query", [{}, {"q": "1"}], ids=["raw", "with a query"])
async def test_client_of_its_own_writes_no_line_to_the_logger_of_httpx(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture, query: dict[str, str]
) -> None:
    caplog.set_level(logging.DEBUG)
    moved = Reply(307, {"location": "/v1/chat/completions"}, b"")
    server = await serve(nursery, [PLAIN, moved, PLAIN], memory=False)
    async with TrioOpenAI(base_url=server.base_url, api_key="key", max_retries=0) as client:
        for _ in range(2):
            await client.chat.completions.create(**ASK, extra_query=query)
    assert len(server.requests) == 3
    assert {record.name for record in caplog.records} == {"trio_openai"}


async def test_http_client_of_the_program_logs_as_before(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = await serve(nursery, PLAIN)
    client, _ = client_over(server)
    async with client:
        await client.chat.completions.create(**ASK)
    assert {record.name for record in caplog.records} == {"trio_openai", "httpx"}


async def test_own_client_fails_with_the_errors_of_httpx_without_its_logger(nursery: trio.Nursery) -> None:
    async with TrioOpenAI(base_url="http://127.0.0.1:1/v1", api_key="key", max_retries=0) as client:
        error = await outcome(client.chat.completions.create, **ASK, extra_query={"q": "1"})
    cause = error.__cause__
    assert isinstance(cause, httpx.ConnectError)
    assert str(cause.request.url) == "http://127.0.0.1:1/v1/chat/completions?q=1"


# -------------------------------------------------------------------------------------------- the environment variable


def run(program: str, level: str | None, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-c", program]
    variables = {"PATH": "/usr/bin", **({} if level is None else {"TRIO_OPENAI_LOG": level})}
    root = Path(trio_openai.__file__).parents[1]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, cwd=root)


LINE = "import trio_openai, logging; log = logging.getLogger('trio_openai'); log.debug('d'); log.info('i'); "


def lines(text: str) -> list[str]:
    return [line.partition("] ")[2] for line in text.splitlines()]


def test_variable_turns_the_log_on() -> None:
    assert lines(run(LINE, "info").stderr) == ["i"]
    assert lines(run(LINE, "DEBUG").stderr) == ["d", "i"]
    assert "trio_openai - INFO] i" in run(LINE, "info").stderr
    assert run(LINE, None).stderr == run(LINE, "").stderr == ""


def test_variable_does_not_get_in_the_way_of_the_programs_own_configuration() -> None:
    """Let a later `basicConfig` work, and write each line once."""
    later = "logging.basicConfig(format='own %(message)s'); log.info('later'); logging.getLogger('x').info('x')"
    assert run(LINE + later, "info").stderr.splitlines()[1:] == ["own later"]
    alone = "log.handlers[1:] or log.addHandler(logging.NullHandler()); log.info('later')"
    assert lines(run(LINE + alone, "info").stderr) == ["i"]


def test_invalid_value_of_the_variable_warns_and_names_the_levels() -> None:
    done = run(LINE, "verbose")
    assert done.returncode == 0
    assert "RuntimeWarning: TRIO_OPENAI_LOG is 'verbose', which is not a level" in done.stderr
    assert "use info or debug" in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_import_without_the_variable_loads_nothing_of_logging() -> None:
    program = "import sys, trio_openai; print({'logging', 'trio_openai._observers'} & set(sys.modules))"
    assert run(program, None).stdout.strip() == "set()"


def test_unobserved_call_makes_no_watch() -> None:
    """Import nothing of the observers and make no object for a call that nobody observes."""
    program = (
        "import sys, trio, trio_openai\n"
        "async def main():\n"
        "    client = trio_openai.TrioOpenAI(api_key='x', base_url='http://127.0.0.1:1/v1', max_retries=0)\n"
        "    try: await client.models.list()\n"
        "    except trio_openai.APIConnectionError: pass\n"
        "trio.run(main)\n"
        "print('trio_openai._request.watched' in sys.modules, 'trio_openai._observers.log' in sys.modules)"
    )
    assert run(program, None).stdout.strip() == "False False"
