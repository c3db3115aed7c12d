"""`batch.run`: each line gets its result, whatever happens to the others; resume, duplicates, stopping, and limits."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio
from batch_helpers import ListSink, ListSource, echo, echoing, prompt_of, prompts, read_lines, write_lines

from trio_openai import AdaptiveLimiter, AzureOpenAI, BatchJobError, RateLimiter, Server, Servers, TrioOpenAI, batch
from trio_openai._batch.run import run
from trio_openai.batch import BatchStatistics
from trio_openai.testing import RecordedRequest, Reply


async def done(client: Any, source: Any, sink: Any, **options: Any) -> BatchStatistics:
    """Run a job to its end."""
    async with batch.run(source, sink, clients=client, **{"model": "m", **options}) as job:
        return await job.wait()


async def test_each_line_gets_a_result(tmp_path: Path) -> None:
    lines: list[Any] = [
        {
            "custom_id": "full",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "x", "messages": [{"role": "user", "content": "one"}]},
        },
        {"id": 7, "prompt": "two", "label": "kept"},
        {"custom_id": "list", "messages": [{"role": "user", "content": "three"}]},
        "no JSON",
        {"custom_id": "empty"},
        {"custom_id": "bad", "prompt": "fail"},
        {"custom_id": "broken", "prompt": "cut"},
    ]
    out = tmp_path / "out.jsonl"
    async with echoing() as (client, server):
        statistics = await done(client, write_lines(tmp_path / "in.jsonl", lines), out)
    results = {line["custom_id"]: line for line in read_lines(out)}
    assert (statistics.read, statistics.done, statistics.failed, statistics.invalid) == (7, 3, 4, 2)
    assert statistics.failures == {"InvalidLine": 2, "BadRequestError": 1, "StreamTruncatedError": 1}
    assert statistics.usage.total_tokens == 21
    assert statistics.first_content_p50 is not None
    assert (statistics.bytes_read, statistics.fraction) == (statistics.bytes_total, 1.0)
    full = results["full"]
    assert full["id"].startswith("batch_req_")
    assert full["response"]["status_code"] == 200
    assert full["response"]["body"]["choices"][0]["message"]["content"] == "one"
    assert (full["error"], full["verdict"]["state"], full["usage"]["output_tokens"]) == (None, "done", 4)
    assert full["timings"]["first_content"] is not None
    assert results["7"]["fields"] == {"label": "kept"}
    assert results["bad"]["response"]["status_code"] == 400
    assert results["bad"]["error"]["type"] == "BadRequestError"
    assert results["broken"]["partial"]["choices"][0]["message"]["content"] == "half"
    assert results["broken"]["verdict"]["state"] == "truncated"
    assert results["empty"]["error"]["line"] == 5
    assert results[None]["error"]["line"] == 4  # type: ignore[index]
    assert {request.json()["model"] for request in server.requests} == {"m", "x"}


async def test_a_second_run_sends_nothing_whatever_the_order_of_the_lines(tmp_path: Path) -> None:
    lines: list[Any] = [*prompts("a", "b", "c", "fail"), "no JSON", {"prompt": "unnamed"}]
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    async with echoing() as (client, server):
        await done(client, write_lines(source, lines), out)
        assert len(server.requests) == 5
        before = out.read_bytes()
        statistics = await done(client, write_lines(source, [*reversed(lines), {"prompt": "new"}]), out)
    assert (statistics.skipped, statistics.done) == (6, 1)
    assert [prompt_of(request) for request in server.requests[5:]] == ["new"]
    assert out.read_bytes().startswith(before)


async def test_the_same_custom_id_with_another_body_is_another_request(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    async with echoing() as (client, server):
        await done(client, ListSource(prompts("a")), out)
        await done(client, ListSource([{"custom_id": "a", "prompt": "changed"}]), out)
    assert len(server.requests) == 2


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.parametrize("at_once", [1, 10])
async def test_identical_requests_are_sent_once_and_each_line_gets_its_result(
    tmp_path: Path, to_file: bool, at_once: int
) -> None:
    lines = [{"custom_id": str(number), "prompt": f"p {number % 3}"} for number in range(30)]
    sink = tmp_path / "out.jsonl" if to_file else ListSink()
    async with echoing() as (client, server):
        statistics = await done(client, ListSource(lines), sink, max_concurrent=at_once)
    results = sink.lines if isinstance(sink, ListSink) else read_lines(sink)
    assert len(server.requests) == 3
    assert (statistics.done, statistics.copied, statistics.usage.total_tokens) == (30, 27, 21)
    assert {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in results} == {
        str(number): f"p {number % 3}" for number in range(30)
    }
    assert sum(line["usage"] is not None for line in results) == 3


async def test_a_request_that_an_earlier_run_has_answered_is_not_sent_again_for_another_line(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    async with echoing() as (client, server):
        await done(client, ListSource([{"custom_id": "first", "prompt": "a"}]), out)
        statistics = await done(client, ListSource([{"custom_id": "second", "prompt": "a"}]), out)
    assert (len(server.requests), statistics.copied) == (1, 1)
    assert read_lines(out)[1]["copy_of"] == "first"


async def test_without_dedupe_every_line_is_sent(tmp_path: Path) -> None:
    lines = [{"prompt": "same"}] * 5
    async with echoing() as (client, server):
        await done(client, ListSource(lines), tmp_path / "out", dedupe=False)
        assert len(server.requests) == 5
        statistics = await done(client, ListSource([*lines, {"prompt": "same"}]), tmp_path / "out", dedupe=False)
    assert (statistics.skipped, len(server.requests)) == (5, 6)


async def test_failed_lines_are_sent_again_only_if_wanted(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    works = False

    def script(request: RecordedRequest) -> Reply:
        return Reply.chat("ok") if works else echo(request)

    source = [*prompts("a", "fail", "fail 2"), {"custom_id": "again", "prompt": "fail"}, "no request"]
    async with echoing(script) as (client, server):
        await done(client, ListSource(source), out)
        sent = len(server.requests)
        await done(client, ListSource(source), out)
        assert len(server.requests) == sent == 3
        works = True
        statistics = await done(client, ListSource(source), out, retry_failed=True)
        assert (statistics.done, statistics.skipped, statistics.copied, len(server.requests)) == (3, 2, 1, 5)
        assert (await done(client, ListSource(source), out, retry_failed=True)).skipped == 5
        assert (await done(client, ListSource(source), out)).skipped == 5
    counts = Counter(line["custom_id"] for line in read_lines(out))
    assert counts == {"a": 1, "fail": 2, "fail 2": 2, "again": 2, None: 1}


async def test_stop_lets_running_requests_finish(autojump_clock: object) -> None:
    sink = ListSink()
    async with (
        echoing() as (client, server),
        run(ListSource(prompts("10", "11", "12", "13")), sink, clients=client, model="m", max_concurrent=2) as job,
    ):
        await trio.sleep(5)
        job.stop()
        statistics = await job.wait()
        assert trio.current_time() < 15
    assert set(sink.by_id()) == {"10", "11"}
    assert len(server.requests) == 2
    assert statistics.stopped_by == "stop"
    assert sink.calls[-1] == "aclose"


async def test_stop_cancels_requests_that_take_longer_than_allowed(autojump_clock: object) -> None:
    sink = ListSink()
    async with (
        echoing() as (client, server),
        run(ListSource(prompts("3", "100")), sink, clients=client, model="m") as job,
    ):
        await trio.sleep(1)
        job.stop(5)
        await job.wait()
        assert trio.current_time() < 7
        await server.wait_idle()
        assert server.statistics().disconnects == 1
    assert set(sink.by_id()) == {"3"}


async def test_stop_does_not_begin_requests_that_wait_for_a_limiter(autojump_clock: object) -> None:
    sink = ListSink()
    limiter = RateLimiter(requests_per_minute=1)
    async with (
        echoing(limiter=limiter) as (client, server),
        run(ListSource(prompts("a", "b", "c")), sink, clients=client, model="m") as job,
    ):
        await trio.sleep(5)
        job.stop()
        await job.wait()
        assert trio.current_time() < 6
    assert len(server.requests) == len(sink.lines) == 1


@pytest.mark.promise(n=1)
async def test_cancel_ends_the_job_at_once(autojump_clock: object) -> None:
    sink = ListSink()
    async with echoing() as (client, server), run(ListSource(prompts("9")), sink, clients=client, model="m") as job:
        await trio.sleep(1)
        job.cancel()
        await job.wait()
        assert trio.current_time() < 2
        await server.wait_idle()
        assert server.statistics().disconnects == 1
    assert (sink.lines, sink.calls[-1]) == ([], "aclose")


@pytest.mark.promise(n=2)
async def test_an_exception_of_the_block_cancels_the_job_and_is_raised_bare(autojump_clock: object) -> None:
    sink = ListSink()
    async with echoing() as (client, server):
        with pytest.raises(KeyError, match="mine"):
            async with run(ListSource(prompts("9")), sink, clients=client, model="m"):
                await trio.sleep(1)
                raise KeyError("mine")
        await server.wait_idle()
        assert server.statistics().disconnects == 1
    assert sink.calls[-1] == "aclose"


async def test_a_deadline_around_the_block_ends_the_job(autojump_clock: object) -> None:
    sink = ListSink()
    async with echoing() as (client, server):
        with trio.move_on_after(3) as scope:
            async with run(ListSource(prompts("1", "9")), sink, clients=client, model="m"):
                pass
        assert scope.cancelled_caught
        await server.wait_idle()
        assert server.statistics().disconnects == 1
    assert (set(sink.by_id()), sink.calls[-1]) == ({"1"}, "aclose")


class CancelAtAnyStep(trio.abc.Instrument):
    """Cancel a scope after so many steps of any tasks."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self.left = step
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.left -= 1
        if self.left == 0:
            self._scope.cancel()


@pytest.mark.promise(n=1)
async def test_a_job_cancelled_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    source, step, is_through = prompts("a", "b", "fail", "c"), 1, False
    async with echoing() as (client, server):
        while not is_through:
            path = tmp_path / str(step)
            scope = trio.CancelScope()
            canceller = CancelAtAnyStep(scope, step)
            with scope:
                trio.lowlevel.add_instrument(canceller)
                try:
                    await done(client, ListSource(source), path, max_concurrent=2)
                finally:
                    trio.lowlevel.remove_instrument(canceller)
            written = read_lines(path) if path.exists() else []
            assert len({line["custom_id"] for line in written}) == len(written)
            await done(client, ListSource(source), path)
            assert sorted(line["custom_id"] for line in read_lines(path)) == ["a", "b", "c", "fail"]
            is_through = canceller.left > 0
            step += 7
        assert step > 50
        assert client.statistics().open_streams == 0
        assert len(server.requests) <= (step // 7) * (4 + 2)


@pytest.mark.promise(n=2)
async def test_an_exception_of_the_source_is_raised_bare_after_the_running_requests(autojump_clock: object) -> None:
    def lines() -> Any:
        yield from prompts("2", "3")
        raise KeyError("mine")

    sink = ListSink()
    async with echoing() as (client, _):
        with pytest.raises(KeyError, match="mine"):
            await done(client, ListSource(lines()), sink)
    assert set(sink.by_id()) == {"2", "3"}


async def test_an_exception_of_the_sink_keeps_the_answers(autojump_clock: object) -> None:
    class Failing(ListSink):
        async def write(self, lines: Any) -> None:
            await trio.lowlevel.checkpoint()
            raise OSError("full")

    async with echoing() as (client, server):
        source, unsaved = ListSource(prompts("1", "2", "3", "4")), list[Any]()
        with pytest.raises(OSError, match="full"):
            async with run(source, Failing(), clients=client, model="m", max_concurrent=2) as job:
                try:
                    await job.wait()
                finally:
                    unsaved = job.unsaved
        assert len(server.requests) == len(unsaved) == 2


async def test_a_sink_that_hangs_is_an_error_of_ours(autojump_clock: object) -> None:
    class Hanging(ListSink):
        async def write(self, lines: Any) -> None:
            await trio.sleep_forever()

    async with echoing() as (client, _):
        with pytest.raises(BatchJobError, match="not stored a line within 30 seconds") as caught:
            await done(client, ListSource(prompts("a")), Hanging())
    assert [line["custom_id"] for line in caught.value.unsaved] == ["a"]


async def test_a_stop_does_not_cancel_a_line_that_the_sink_is_storing(autojump_clock: object) -> None:
    class Slow(ListSink):
        async def write(self, lines: Any) -> None:
            await trio.sleep(5)
            await super().write(lines)

    sink = Slow()
    async with (
        echoing() as (client, _),
        run(ListSource([{}, *prompts("a", "b")]), sink, clients=client, model="m") as job,
    ):
        await trio.sleep(1)
        job.stop()
    assert [line["custom_id"] for line in sink.lines] == [None]


async def test_max_failures_ends_the_job(autojump_clock: object) -> None:
    sink = ListSink()
    async with echoing() as (client, server):
        source = ListSource(prompts(*(f"fail {number}" for number in range(50))))
        statistics = await done(client, source, sink, max_failures=3, max_concurrent=1)
    assert (statistics.stopped_by, statistics.failed, len(server.requests)) == ("max_failures", 3, 3)


async def test_limit_bounds_the_requests_that_are_sent(autojump_clock: object) -> None:
    sink = ListSink()
    source = prompts("a", "b", "c", "d", "e")
    async with echoing() as (client, server):
        assert (await done(client, ListSource(source), sink, limit=2)).stopped_by == "limit"
        assert len(server.requests) == 2
        statistics = await done(client, ListSource(source), sink, limit=2)
    assert (statistics.skipped, statistics.done, len(server.requests)) == (2, 2, 4)


async def test_shards_are_disjoint_and_complete_whatever_the_order(autojump_clock: object) -> None:
    lines: list[Any] = [*prompts(*(f"p {number}" for number in range(40))), b"no JSON", b"[]"]
    sinks = [ListSink() for _ in range(3)]
    async with echoing() as (client, server):
        for part, sink in enumerate(sinks, 1):
            source = lines if part % 2 else lines[::-1]
            await done(client, ListSource(source), sink, shard=(part, 3))
    assert len(server.requests) == 40
    assert all(sink.lines for sink in sinks)
    assert Counter(line["custom_id"] for sink in sinks for line in sink.lines) == Counter(
        [*(f"p {number}" for number in range(40)), None, None]
    )


async def test_a_dry_run_sends_and_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    price = {"m": batch.Price(input=1.0, output=2.0)}
    lines = [*prompts("a", "b"), {"custom_id": "b again", "prompt": "b"}, {"custom_id": "x"}]
    async with echoing() as (client, server):
        statistics = await done(client, ListSource(lines), out, dry_run=True, prices=price, params={"max_tokens": 50})
        assert not out.exists()
        assert (statistics.would_send, statistics.estimated_tokens, statistics.invalid) == (2, 100, 1)
        assert statistics.estimated_cost == pytest.approx(2 * 50 * 2.0 / 1e6)
        await done(client, ListSource(lines), out, limit=1)
        before = out.read_bytes()
        assert (await done(client, ListSource(lines), out, dry_run=True)).would_send == 1
    assert len(server.requests) == 1
    assert out.read_bytes() == before


async def test_the_budget_of_tokens_is_never_exceeded(autojump_clock: object) -> None:
    sink = ListSink()
    source = ListSource(prompts(*(f"p {number}" for number in range(20))))
    async with echoing() as (client, server):
        statistics = await done(client, source, sink, max_tokens_total=30, params={"max_tokens": 7})
    assert statistics.stopped_by == "max_tokens_total"
    assert (len(server.requests), statistics.usage.total_tokens) == (4, 28)


async def test_the_budget_of_money_is_never_exceeded(tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text('{"m": {"input": 1000, "output": 100000}}')
    source = ListSource(prompts(*(f"p {number}" for number in range(20))))
    async with echoing() as (client, _):
        statistics = await done(
            client, source, ListSink(), max_cost=1.5, prices=prices, params={"max_tokens": 4}, max_concurrent=1
        )
    assert statistics.stopped_by == "max_cost"
    assert statistics.cost == pytest.approx(statistics.done * 0.403)
    assert statistics.cost is not None
    assert 1.0 < statistics.cost <= 1.5


async def test_a_model_without_a_price_ends_the_job_before_anything_is_sent(autojump_clock: object) -> None:
    async with echoing() as (client, server):
        with pytest.raises(BatchJobError, match="no price for the model 'm'"):
            await done(client, ListSource(prompts("a")), ListSink(), prices={"other": batch.Price(input=1, output=1)})
    assert not server.requests


async def test_rpm_spreads_the_requests(autojump_clock: object) -> None:
    async with echoing() as (client, _):
        began = trio.current_time()
        await done(client, ListSource(prompts(*"abcdefg")), ListSink(), rpm=60)
        assert 5.9 <= trio.current_time() - began <= 7


async def test_max_concurrent_bounds_the_requests_in_flight(autojump_clock: object) -> None:
    most = 0
    async with (
        echoing() as (client, _),
        run(
            ListSource(prompts(*(f"{number}.5" for number in range(1, 20)))),
            ListSink(),
            clients=client,
            model="m",
            max_concurrent=3,
        ) as job,
    ):
        while not job.is_done:
            most = max(most, job.statistics().running)
            await trio.sleep(0.1)
    assert most == 3


@pytest.mark.promise(n=6)
async def test_the_source_is_read_lazily(autojump_clock: object) -> None:
    source = ListSource(prompts(*(f"{number}" for number in range(1000, 2000))))
    async with echoing() as (client, _), run(source, ListSink(), clients=client, model="m", max_concurrent=5) as job:
        await trio.sleep(500)
        assert source.taken <= 7
        job.cancel()


async def test_two_clients_share_the_work(autojump_clock: object) -> None:
    async with echoing() as (one, server), echoing() as (other, second):
        statistics = await done([one, other], ListSource(prompts(*(f"{n}.5" for n in range(8)))), ListSink())
    assert statistics.done == 8
    assert len(server.requests) == len(second.requests) == 4


async def test_a_server_that_is_down_does_not_fail_a_line(autojump_clock: object) -> None:
    async with echoing() as (one, server), echoing(Reply.error(503, "down")) as (other, second):
        servers = Servers([Server(one, models={"m": "renamed"}), other])
        statistics = await done(servers, ListSource(prompts(*(f"{n}.5" for n in range(8)))), ListSink())
    assert (statistics.done, statistics.failed) == (8, 0)
    assert {request.json()["model"] for request in server.requests} == {"renamed"}
    assert 1 <= len(second.requests) < 8


async def test_stop_does_not_begin_requests_that_wait_for_a_server(autojump_clock: object) -> None:
    sink = ListSink()
    limiters = [AdaptiveLimiter(initial=2, maximum=2) for _ in range(2)]
    async with echoing(limiter=limiters[0]) as (one, server), echoing(limiter=limiters[1]) as (other, second):
        source = ListSource(prompts(*(f"{n}.5" for n in range(10, 30))))
        async with run(source, sink, clients=[one, other], model="m") as job:
            await trio.sleep(1)
            assert job.statistics().running == 20
            job.stop()
            await job.wait()
            assert trio.current_time() < 15
    assert len(server.requests) + len(second.requests) == len(sink.lines) == 4
    assert [limiter.statistics().in_flight for limiter in limiters] == [0, 0]


async def test_other_endpoints_and_plain_answers(autojump_clock: object) -> None:
    def script(request: RecordedRequest) -> Reply:
        body = request.json()
        if request.path.endswith("/embeddings"):
            return Reply.json({"object": "list", "data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}})
        if request.path.endswith("/responses"):
            assert body["instructions"] == "be kind"
            return Reply.response("from responses")
        assert body["stream"] is False
        return Reply.json({"id": "c", "object": "chat.completion", "choices": [], "usage": {"total_tokens": 1}})

    message = [{"role": "user", "content": "x"}]
    lines = [
        {"custom_id": "e", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}},
        {"custom_id": "r", "url": "/v1/responses", "body": {"input": "x", "instructions": "be kind", "unknown": 1}},
        {"custom_id": "c", "url": "/v1/chat/completions", "body": {"messages": message, "stream": False}},
        {"custom_id": "f", "url": "/v1/unknown", "body": {"messages": message, "stream": False}},
    ]
    sink = ListSink()
    async with echoing(script) as (client, server):
        statistics = await done(client, ListSource(lines), sink)
    results = sink.by_id()
    assert results["e"]["response"]["body"]["object"] == "list"
    assert results["e"]["usage"]["input_tokens"] == 5
    assert batch_text(results["r"]) == "from responses"
    assert statistics.done == 4
    assert next(one for one in server.requests if one.path.endswith("responses")).json()["unknown"] == 1


def batch_text(line: dict[str, Any]) -> str:
    from trio_openai._batch.results import text_of

    return text_of(line["response"]["body"])


async def test_a_parameter_that_cannot_be_sent_fails_its_line(autojump_clock: object) -> None:
    sink = ListSink()
    lines = [
        {"custom_id": "no messages", "url": "/v1/chat/completions", "body": {"model": "m"}},
        {"custom_id": "no model", "body": {"messages": []}},
        *prompts("fine"),
    ]
    async with echoing() as (client, _):
        await done(client, ListSource(lines), sink, model=None, params={"model": "p"})
    results = sink.by_id()
    assert "messages is missing" in results["no messages"]["error"]["message"]
    assert "model is missing" in results["no model"]["error"]["message"]
    assert results["fine"]["error"] is None


async def test_short_output_lines_have_the_text(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    sink = batch.JSONLSink(out, format="text")
    lines = [*prompts("a", "fail"), {"custom_id": "a again", "prompt": "a"}, {"prompt": "b", "label": 1}]
    async with echoing() as (client, _):
        await done(client, ListSource(lines), sink)
        assert (await done(client, ListSource(lines), batch.JSONLSink(out, format="text"))).skipped == 4
    results = {line["custom_id"]: line for line in read_lines(out)}
    assert results["a"]["text"] == results["a again"]["text"] == "a"
    assert (results["fail"]["text"], results["fail"]["error"]["type"]) == ("", "BadRequestError")
    assert any(line.get("fields") == {"label": 1} for line in results.values())


async def test_an_azure_client_sends_to_the_deployment(autojump_clock: object) -> None:
    async with echoing() as (client, server):
        azure = AzureOpenAI(
            azure_endpoint="http://azure.example", api_version="1", api_key="k", http_client=client._session.http
        )
        statistics = await done(azure, ListSource(prompts("a")), ListSink())
    assert statistics.done == 1
    assert "/deployments/m/chat/completions" in server.requests[0].path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_concurrent": 0}, "max_concurrent takes a whole number"),
        ({"limit": -1}, "limit takes"),
        ({"shard": (4, 3)}, "shard takes"),
        ({"max_cost": 1.0}, "max_cost needs prices="),
        ({"rpm": 0}, "rpm takes a number above zero"),
        ({"url": "chat"}, "url takes a path"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    client: Any = object.__new__(TrioOpenAI)
    with pytest.raises(ValueError, match=words):
        batch.run("in", "out", clients=client, **options)


def test_clients_and_sinks_of_the_wrong_type_are_refused_at_once() -> None:
    with pytest.raises(TypeError, match="clients takes"):
        batch.run("in", "out", clients=[])
    client: Any = object.__new__(TrioOpenAI)
    with pytest.raises(TypeError, match="sink takes"):
        batch.run("in", 5, clients=client)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="source takes"):
        batch.run(5, "out", clients=client)  # type: ignore[arg-type]


def test_every_name_of_the_module_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "batch.md").read_text()
    assert {name for name in batch.__all__ if f"::: trio_openai.batch.{name}\n" not in f"{page}\n"} == set()
