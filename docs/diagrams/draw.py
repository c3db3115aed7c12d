"""Draw the diagrams of the pages: `python docs/diagrams/draw.py` writes the SVG files next to this script.

They are narrow, so that their text stays readable on a phone, and have their own background, so that they can be read
on light and dark pages alike.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

HERE = Path(__file__).parent
WIDTH = 460
STYLE = """
  .paper { fill: #ffffff; stroke: #d0d7de; }
  .box { fill: #e0f2f1; stroke: #00796b; stroke-width: 1.2; }
  .far { fill: #eceff1; stroke: #607d8b; stroke-width: 1.2; }
  .scope { fill: none; stroke: #b45309; stroke-width: 1.6; stroke-dasharray: 6 4; }
  .line { fill: none; stroke: #455a64; stroke-width: 1.6; }
  .tip { fill: #455a64; }
  text { font: 13px system-ui, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328; }
  .code { font: 12.5px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
  .head { font-weight: 600; }
  .note { font-size: 12px; fill: #57606a; }
  .name { fill: #b45309; font-size: 12px; }
  .middle { text-anchor: middle; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1b1f27; stroke: #3d444d; }
    .box { fill: #12403c; stroke: #4db6ac; }
    .far { fill: #2b333b; stroke: #90a4ae; }
    .scope { stroke: #f0b060; }
    .name { fill: #f0b060; }
    .line { stroke: #b0bec5; }
    .tip { fill: #b0bec5; }
    text { fill: #e6edf3; }
    .note { fill: #a8b3bf; }
  }
"""


class Drawing:
    """A drawing that grows downwards.

    Args:
        title: What a screen reader says first.
        about: What the picture shows, in full sentences.
    """

    def __init__(self, title: str, about: str) -> None:
        self._title, self._about = title, about
        self._parts: list[str] = []

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """Write a line of text. Its baseline is at y."""
        self._parts.append(f'<text x="{x}" y="{y}" class="{kind}">{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, *lines: str, kind: str = "box", height: float = 44) -> None:
        """Draw a box with one or two centered lines. Lines that begin with a backtick are code."""
        self._parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" class="{kind}"/>')
        first = y + height / 2 + 4.5 - 8.5 * (len(lines) - 1)
        for number, line in enumerate(lines):
            style = "code middle" if line[0] == "`" else "middle"
            self.text(x + width / 2, first + 17 * number, line.strip("`"), style)

    def scope(self, x: float, y: float, width: float, height: float, name: str, name_at: float = 10) -> None:
        """Draw the border of a scope, with its name at the top."""
        self._parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" class="scope"/>')
        self.text(x + name_at, y + 17, name, "name")

    def line(self, *points: tuple[float, float]) -> None:
        """Draw a line without a tip."""
        self._parts.append(f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" class="line"/>')

    def arrow(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw an arrow, horizontally or vertically."""
        dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
        x3, y3 = x2 - 8 * dx, y2 - 8 * dy
        self._parts.append(f'<path d="M{x1} {y1}L{x3} {y3}" class="line"/>')
        tip = f"{x2},{y2} {x3 - 4 * dy},{y3 - 4 * dx} {x3 + 4 * dy},{y3 + 4 * dx}"
        self._parts.append(f'<polygon points="{tip}" class="tip"/>')

    def save(self, name: str, height: int) -> None:
        """Write the file."""
        size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(self._title)}</title>',
            f'<desc id="desc">{escape(self._about)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="10" class="paper"/>',
            *self._parts,
            "</svg>\n",
        ]
        (HERE / f"{name}.svg").write_text("\n".join(lines))


def three_ways() -> None:
    """Draw who reads the socket, and which scope ends the stream, for each way to open one."""
    draw = Drawing(
        "Three ways to open a stream",
        "With stream, your task reads from the server inside an async with block, and leaving the block closes the "
        "stream. With start_stream, a background task in your nursery reads from the server into a buffer, from which "
        "your task reads; the end of the nursery closes the stream. With create and stream=True, your task reads from "
        "the server until it calls aclose, or until the client closes.",
    )
    rows = (
        ("async with E.stream(...) as stream:", "the block", False, "Leaving the block closes the stream."),
        ("await E.start_stream(nursery, ...)", "the nursery", True, "Cancelling the nursery closes the stream."),
        ("await E.create(stream=True, ...)", "until aclose()", False, "Closing the client closes it at the latest."),
    )
    y = 14
    for call, scope, has_task, end in rows:
        draw.text(16, y + 16, call, "code head")
        draw.scope(112, y + 28, 332, 78, scope)
        draw.box(16, y + 52, 70, "server", kind="far")
        if has_task:
            draw.arrow(86, y + 74, 124, y + 74)
            draw.box(124, y + 52, 104, "background", "task")
            draw.arrow(228, y + 74, 248, y + 74)
            draw.box(248, y + 52, 78, "buffer of", "64 events")
            draw.arrow(326, y + 74, 346, y + 74)
            draw.box(346, y + 52, 86, "your tasks")
        else:
            draw.arrow(86, y + 74, 250, y + 74)
            draw.box(250, y + 52, 182, "your task", "`async for event`")
        draw.text(112, y + 123, end, "note")
        y += 146
    draw.save("three-ways", y - 4)


def path_of_a_byte() -> None:
    """Draw the steps from the socket to the loop of the program."""
    draw = Drawing(
        "The path of a byte",
        "A byte goes from the socket through the HTTP parser, the SSE parser and the JSON decoder to the lifecycle, "
        "which decides what happens next, and from there as a typed event to your loop and to subscribers. The loop "
        "asks for the next event, and only then is the socket read. The steps from the SSE parser to the lifecycle do "
        "no input or output.",
    )
    steps = (
        ("socket", "_http/", "far", "Bytes arrive."),
        ("HTTP parser", "_http/", "box", "Status, headers, body."),
        ("SSE parser", "_wire/", "box", "Lines become messages."),
        ("decoder", "_wire/", "box", "JSON becomes typed events."),
        ("lifecycle", "_wire/", "box", "Complete, or truncated?"),
        ("your loop", "_stream/", "box", "And every subscriber."),
    )
    draw.scope(112, 142, 332, 218, "no I/O, no clock, no trio", name_at=146)
    for number, (name, folder, kind, about) in enumerate(steps):
        y = 16 + 68 * number + (6 if number > 1 else 0) + (6 if number > 4 else 0)
        draw.box(126, y, 120, name, f"`{folder}`", kind=kind)
        draw.text(258, y + 27, about, "note")
        if number:
            draw.arrow(186, y - (30 if number in (2, 5) else 24), 186, y)
    draw.line((126, 390), (70, 390), (70, 38), (118, 38))
    draw.arrow(118, 38, 126, 38)
    draw.text(14, 218, "asks for", "note")
    draw.text(14, 234, "the next", "note")
    draw.text(14, 250, "event", "note")
    draw.save("path-of-a-byte", 430)


def on_cancellation() -> None:
    """Draw what happens between the end of a deadline and the end of the block."""
    draw = Drawing(
        "What happens on cancellation",
        "First the cancel scope is cancelled, for example because its deadline has passed. Then trio raises Cancelled "
        "where your task waits for the next event. Leaving the block closes the connection without awaiting anything, "
        "so nothing can interrupt it, and frees its place in the pool. The server sees that and can stop generating. "
        "After the block, the text that had arrived is still there.",
    )
    steps = (
        ("1", "The cancel scope is cancelled", "Its deadline has passed, or a task calls scope.cancel()."),
        ("2", "`async for` raises trio.Cancelled", "Your task was waiting for the next event."),
        ("3", "Leaving the block closes the connection", "There is no await, so nothing can interrupt this."),
        ("4", "The server sees the disconnect", "It can stop generating. The place in the pool is free."),
        ("5", "stream.text has what had arrived", "You can read it after the block."),
    )
    for number, (digit, head, about) in enumerate(steps):
        y = 16 + 66 * number
        draw.box(16, y, 32, digit, kind="far" if digit == "4" else "box", height=46)
        draw.text(62, y + 19, head.replace("`", ""), "head")
        draw.text(62, y + 38, about, "note")
        if number:
            draw.arrow(32, y - 20, 32, y)
    draw.save("on-cancellation", 16 + 66 * len(steps) - 4)


if __name__ == "__main__":
    three_ways()
    path_of_a_byte()
    on_cancellation()
