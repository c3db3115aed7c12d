"""`batch.run_sync`: a batch job without an event loop."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from batch_helpers import ListSink, ListSource, echo, prompts, read_lines

from trio_openai import BatchJobError, SyncOpenAI, batch
from trio_openai.testing import ScriptedServer


async def test_a_job_runs_without_an_event_loop(tmp_path: Path) -> None:
    seen: list[batch.BatchStatistics] = []

    def in_thread() -> batch.BatchStatistics:
        with SyncOpenAI(base_url=server.base_url, api_key="none", trust_env=False) as client:
            with pytest.raises(BatchJobError, match="No such file"):
                batch.run_sync(tmp_path / "missing", ListSink(), client=client)
            with pytest.raises(ValueError, match="max_concurrent"):
                batch.run_sync(ListSource([]), ListSink(), client=client, max_concurrent=0)
            return batch.run_sync(
                ListSource(prompts("a", "b", "fail")),
                tmp_path / "out.jsonl",
                client=client.with_options(max_retries=0),
                model="m",
                progress=seen.append,
            )

    async with trio.open_nursery() as nursery:
        server = ScriptedServer(echo)
        await server.start(nursery)
        statistics = await trio.to_thread.run_sync(in_thread)
        nursery.cancel_scope.cancel()
    assert (statistics.done, statistics.failed) == (2, 1)
    assert (seen[-1].done, seen[-1].failed) == (2, 1)
    assert len(read_lines(tmp_path / "out.jsonl")) == 3
