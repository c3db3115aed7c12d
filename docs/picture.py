"""Draw docs/demo.svg, the picture of the demo in the README: `python docs/picture.py`. It takes six seconds.

The picture is what the demo leaves on a terminal when the scripted server answers. Times in it differ a little each
time. It needs `rich` (the extra `demo`), loads nothing from elsewhere, and brings its own dark background.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from trio_openai import Items
from trio_openai._cli.demo.backends import from_script
from trio_openai._cli.demo.command import show
from trio_openai._cli.demo.display import LiveDisplay, Rows
from trio_openai._concurrent.progress import View
from trio_openai._concurrent.progress_text import frames_of

PICTURE = Path(__file__).parent / "demo.svg"
COMMAND = "$ scripts/demo --scripted"
WIDTH = 88
# Unlike rich's own format, this loads no font from a server.
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="The demo on a terminal">
<style>
.{unique_id}-matrix {{
  font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  line-height: {line_height}px;
}}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class FinalDisplay(LiveDisplay):
    """A terminal that shows only the final state of rows, since a recording would keep every frame."""

    @contextlib.asynccontextmanager
    async def showing(self, rows: Rows) -> AsyncGenerator[None]:
        await trio.lowlevel.checkpoint()
        yield
        self._console.print(self.drawn(rows()))

    @contextlib.asynccontextmanager
    async def progress(self, results: Items[Any]) -> AsyncGenerator[None]:
        await trio.lowlevel.checkpoint()
        yield
        self._console.print(View(frames_of(results.statistics)).drawn(WIDTH, is_over=True))


async def run_demo(console: Console) -> None:
    """Run the demo with the scripted server."""
    console.print(COMMAND)
    async with from_script() as backend:
        await show(backend, FinalDisplay(console))


def draw() -> str:
    """Run the demo and return its picture."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", highlight=False
    )
    trio.run(run_demo, console)
    svg = console.export_svg(title="trio_openai", code_format=FORMAT, unique_id="demo")
    # Rich clips each line to its height, which hides underscores, and writes each line's end as an element.
    svg = re.sub(r'<text[^>]*>\n</text>| clip-path="url\(#demo-line-\d+\)"', "", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines() if line.strip()) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw())
