"""`ParquetSink`: the results as a table, with the guarantees of a file of lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from batch_helpers import ListSource, echo, echoing, prompts, read_lines

from trio_openai import BatchJobError, batch
from trio_openai.testing import RecordedRequest, Reply


async def test_results_become_a_table(tmp_path: Path) -> None:
    parquet: Any = pytest.importorskip("pyarrow.parquet")
    path, works = tmp_path / "out.parquet", False

    def script(request: RecordedRequest) -> Reply:
        return Reply.chat("works now") if works else echo(request)

    async with echoing(script) as (client, _):
        for retry in (False, True):
            works = retry
            async with batch.run(
                ListSource([*prompts("a", "fail"), "no JSON"]), path, clients=client, model="m", retry_failed=retry
            ):
                pass
            rows = {row["custom_id"]: row for row in parquet.read_table(path).to_pylist()}
            assert len(rows) == 3
            assert (rows["a"]["text"], rows["a"]["output_tokens"], rows["a"]["finish_reason"]) == ("a", 4, "stop")
            assert rows["fail"]["status_code"] == (200 if retry else 400)
            assert rows["fail"]["text"] == ("works now" if retry else "")
            assert rows[None]["error"].startswith("this line is not JSON")
    assert len(read_lines(tmp_path / "out.parquet.jsonl")) == 4


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(BatchJobError, match=r"pip install 'trio-openai\[parquet\]'"):
        batch.ParquetSink("out.parquet")
