"""Small Markdown tables for the pages that only show the most important figures. `page.py` inserts them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from _contenders import BARE, LIBRARY, OPENAI, OPENAI_BLOCKING, SYNC

Reports = dict[str, Any]

_STREAMS = 100
_HTTPX = "httpx aiter_raw"
_HEADS = {
    LIBRARY: "`TrioOpenAI`",
    SYNC: "`SyncOpenAI`",
    OPENAI: "`AsyncOpenAI` on trio",
    OPENAI_BLOCKING: "`openai.OpenAI`",
    _HTTPX: "httpx alone, bytes only",
    BARE: "bare trio socket and `orjson`",
}


def _plan_name(plan: dict[str, Any]) -> str:
    how = {"lockstep": "a read", "free": "a write"}[plan["pace"]]
    events = "one event" if plan["per_write"] == 1 else f"{plan['per_write']} events"
    return f"{plan['api']}, {plan['streams']:,} stream{'s' * (plan['streams'] > 1)}, {events} {how}"


def _rows(report: dict[str, Any], streams: int | None, names: list[str]) -> list[list[str]]:
    """Return a row for each plan: the first contender's cost, and the others' costs with their ratios to it."""
    costs: dict[str, dict[str, float]] = {}
    for entry in report["results"]:
        if streams is None or entry["plan"]["streams"] == streams:
            costs.setdefault(_plan_name(entry["plan"]), {})[entry["contender"]] = entry["median_cpu_us"]
    return [[title, *_cells(of, names)] for title, of in costs.items()]


def _cells(costs: dict[str, float], names: list[str]) -> list[str]:
    own = costs[names[0]]
    others = [f"{costs[name]:.1f} µs ({costs[name] / own:.2g} ×)" if name in costs else "-" for name in names[1:]]
    return [f"{own:.1f} µs", *others]


def _markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _comparison(reports: list[dict[str, Any]], streams: int | None, names: list[str]) -> str:
    rows = [row for report in reports for row in _rows(report, streams, names)]
    return _markdown(["CPU per event", *(_HEADS[name] for name in names)], rows)


def _of_both_apis(reports: Reports) -> list[dict[str, Any]]:
    return [reports[name] for name in ("stream", "responses") if name in reports]


def about(reports: Reports) -> str:
    """Return a sentence that names the machine and the versions."""
    of = reports["stream"]
    packages = ", ".join(f"{name} {version}" for name, version in of["packages"].items())
    return f"{of['machine']}, {of['system']}, {of['python']}; {packages}."


def stream(reports: Reports) -> str:
    """Return the table of 100 streams of each API, with the peers."""
    return _comparison(_of_both_apis(reports), _STREAMS, [LIBRARY, OPENAI, BARE])


def stream_with_httpx(reports: Reports) -> str:
    """Return the same table with a column for httpx."""
    return _comparison(_of_both_apis(reports), _STREAMS, [LIBRARY, OPENAI, _HTTPX, BARE])


def sync(reports: Reports) -> str:
    """Return the table of the clients that need no event loop."""
    return _comparison([reports["sync"]], None, [SYNC, OPENAI_BLOCKING, LIBRARY])


SUMMARIES: dict[str, Callable[[Reports], str]] = {
    "machine": about,
    "stream": stream,
    "stream with httpx": stream_with_httpx,
    "sync": sync,
}
"""The name in the page's marker, and the function that makes the table."""

NEEDS = {
    "machine": {"stream"},
    "stream": {"stream"},
    "stream with httpx": {"stream"},
    "sync": {"sync"},
}
"""The name in the page's marker, and the runs whose figures it uses."""
