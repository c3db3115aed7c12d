"""An SVG chart of the cost per event by number of streams, drawn from the JSON of `stream.py` and `scale.py`.

python benchmarks/chart.py FILE.json... -o docs/performance.svg
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import attrs

_WIDTH, _HEIGHT = 1100, 430
_TOP, _BOTTOM, _LEFT, _LABELS = 64, 52, 56, 222  # margins of a panel; the labels are to the right of the lines
_LABEL_GAP = 17
_TITLES = {(1, "lockstep"): "one event a read", (20, "free"): "20 events a write"}
_COLOURS = ("#0f8a7e", "#d1495b", "#e08e1b", "#6f7bd0", "#8a8f98", "#a05fb4")
_STYLE = """
  svg { font: 13px system-ui, sans-serif; }
  .paper { fill: #ffffff; } text { fill: #24292f; } .faint { fill: #6a737d; } .grid { stroke: #e3e6ea; }
  .line { fill: none; stroke-width: 2.2; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1b1e24; } text { fill: #e6e8eb; } .faint { fill: #9aa3ad; } .grid { stroke: #343a43; }
  }
"""

Point = tuple[float, float]


def lines(files: Iterable[Path], api: str) -> dict[tuple[int, str], dict[str, list[Point]]]:
    """Return each contender's points (streams, µs per event) for each way of writing.

    If several files have the same point, the first file wins.
    """
    found: dict[tuple[int, str], dict[str, dict[float, float]]] = {key: {} for key in _TITLES}
    for file in files:
        for entry in json.loads(file.read_text())["results"]:
            plan: dict[str, Any] = entry.get("plan") or {}
            key = (plan.get("per_write"), plan.get("pace"))
            if key in found and plan["api"] == api and entry["median_cpu_us"]:
                points = found[key].setdefault(entry["contender"], {})
                points.setdefault(plan["streams"], entry["median_cpu_us"])
    return {key: {name: sorted(points.items()) for name, points in of.items()} for key, of in found.items()}


@attrs.frozen
class Axes:
    """The axes of a panel. They convert values to pixels, and both are logarithmic."""

    left: float
    right: float
    streams: Point
    cost: Point

    def x(self, streams: float) -> float:
        return self.left + _share(streams, self.streams) * (self.right - self.left)

    def y(self, cost: float) -> float:
        return _HEIGHT - _BOTTOM - _share(cost, self.cost) * (_HEIGHT - _BOTTOM - _TOP)


def _share(value: float, ends: Point) -> float:
    low, high = map(math.log, ends)
    return (math.log(value) - low) / (high - low)


def _ticks(ends: Point, steps: tuple[int, ...]) -> list[float]:
    decades = range(math.floor(math.log10(ends[0])), math.ceil(math.log10(ends[1])) + 1)
    return [n * 10.0**e for e in decades for n in steps if ends[0] <= n * 10.0**e <= ends[1]]


def grid(axes: Axes) -> list[str]:
    """Return the axes with their lines and numbers."""
    bottom, parts = _HEIGHT - _BOTTOM, []
    for cost in _ticks(axes.cost, (1, 2, 5)):
        y = axes.y(cost)
        parts.append(f'<line class="grid" x1="{axes.left}" x2="{axes.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(axes.left - 8, y + 4, f"{cost:g}", "end", "faint"))
    for streams in _ticks(axes.streams, (1,)):
        x = axes.x(streams)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
        parts.append(_text(x, bottom + 20, f"{streams:,.0f}", "middle", "faint"))
    return [*parts, _text((axes.left + axes.right) / 2, bottom + 40, "streams at a time", "middle", "faint")]


def panel(title: str, contenders: dict[str, list[Point]], axes: Axes, colours: dict[str, str]) -> list[str]:
    """Return the panel of one way of writing, with a line for each contender and its name at the end."""
    parts = [_text(axes.left, _TOP - 14, title, "start"), *grid(axes)]
    for name, points in contenders.items():
        places = [(axes.x(streams), axes.y(cost)) for streams, cost in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line" stroke="{colours[name]}" points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colours[name]}"/>' for x, y in places]
    for name, y in _spread({name: axes.y(points[-1][1]) for name, points in contenders.items()}).items():
        parts.append(_text(axes.right + 10, y + 4, name, "start", colour=colours[name]))
    return parts


def _spread(wanted: dict[str, float]) -> dict[str, float]:
    """Return heights for the labels that keep them apart, each as near as possible to its line."""
    placed: dict[str, float] = {}
    lowest = -math.inf
    for name, y in sorted(wanted.items(), key=lambda item: item[1]):
        placed[name] = lowest = max(y, lowest + _LABEL_GAP)
    return placed


def _text(x: float, y: float, text: str, anchor: str, css: str = "", colour: str = "") -> str:
    style = f' class="{css}"' if css else f' style="fill: {colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{escape(text)}</text>'


def chart(of: dict[tuple[int, str], dict[str, list[Point]]], api: str) -> str:
    """Return the whole chart as SVG."""
    points = [point for contenders in of.values() for some in contenders.values() for point in some]
    streams = [n for n, _ in points] or [1, 1000]
    costs = [cost for _, cost in points] or [1, 100]
    names = dict.fromkeys(name for contenders in of.values() for name in contenders)
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(names)}
    width = _WIDTH / len(of)
    title = f"CPU per event of the client, µs ({api}); both scales are logarithmic"
    parts = [f'<rect class="paper" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>', _text(16, 26, title, "start")]
    for number, (key, contenders) in enumerate(of.items()):
        left = number * width + _LEFT
        limits = (min(streams), max(*streams, 2)), (min(costs) * 0.8, max(costs) * 1.2)
        parts += panel(_TITLES[key], contenders, Axes(left, left + width - _LEFT - _LABELS, *limits), colours)
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'


def main() -> int:
    """Run the command."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("files", nargs="+", type=Path, metavar="FILE.json", help="output of stream.py and scale.py")
    options.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.svg")
    options.add_argument("--api", default="chat", help="the API to draw (chat)")
    args = options.parse_args()
    args.output.write_text(chart(lines(args.files, args.api), args.api))
    return 0


if __name__ == "__main__":
    sys.exit(main())
