"""The words and numbers of a live view: what fits on a line, and what is left to do. It draws nothing.

`Figure`s have a rank. A narrow terminal shows only those of the highest ranks, so the line never wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from trio_openai._stream.results import ManyStatistics

GAP = 2  # spaces between two figures
SMALLEST_BAR, LARGEST_BAR = 10, 40  # characters
_BARS = {4: SMALLEST_BAR, 5: SMALLEST_BAR, 6: 20, 7: 20}
"""How wide a bar has to be before a figure of a rank gets any room. A figure of a rank below 4 matters more."""


@attrs.frozen
class Figure:
    """A part of the line.

    Attributes:
        text: what it says.
        rank: how important it is: 0 is always shown.
        style: its colour, as rich names it.
    """

    text: str
    rank: int
    style: str = ""


@attrs.frozen
class Frame:
    """The state of a view at one moment.

    Attributes:
        figures: the parts of the line.
        fraction: how much of the bar is filled, from 0 to 1; None if nobody can know.
        seconds: time since the start, which moves a bar that cannot be filled.
    """

    figures: Sequence[Figure]
    fraction: float | None
    seconds: float


def frames_of(statistics: Callable[[], ManyStatistics]) -> Callable[[bool], Frame]:
    """Return a function that returns the present frame of a `run_many` or `stream_many`.

    Its argument says whether the block has ended.
    """
    estimate = Estimate()

    def frame(is_over: bool) -> Frame:
        now = statistics()
        left = estimate.left(now.done + now.failed, now.total, now.seconds)
        return Frame(figures_of(now, left, is_over=is_over), now.fraction, now.seconds)

    return frame


def figures_of(now: ManyStatistics, left: float | None, *, is_over: bool) -> list[Figure]:
    """Return what there is to say, from left to right.

    Args:
        now: the progress.
        left: the seconds that the rest takes, or None.
        is_over: whether the block has ended, so that nothing is running any more.
    """
    ended, tokens = now.done + now.failed, now.usage.total_tokens
    has_left = left is not None and not is_over
    count = f"{ended} done" if now.total is None else f"{ended}/{now.total}".rjust(2 * len(str(now.total)) + 1)
    figures = [Figure(count, 0)]
    if now.fraction is not None:
        # Rounded down, so that 100% means all of them.
        figures.append(Figure(f"{int(now.fraction * 100)}%".rjust(4), 3))
    if now.failed:
        figures.append(Figure(f"{now.failed} failed", 1, "red"))
    if not is_over and now.running + now.queued:
        figures.append(Figure(f"{now.running + now.queued} running", 6))
    if tokens:
        figures.append(Figure(f"{tokens:,} tokens", 4))
    if not is_over:
        figures.append(Figure(f"{now.events_per_second:,.0f} events/s", 5))
    figures.append(Figure(duration(now.seconds), 7 if has_left else 2))
    if left is not None and has_left:
        figures.append(Figure(f"{duration(left)} left", 2))
    return figures


def fitted(figures: Sequence[Figure], width: int) -> list[Figure]:
    """Return the figures of the highest ranks that fit into a width. A bar counts more than some of them."""
    kept = list(figures)
    while len(kept) > 1:
        last = max(kept, key=lambda figure: figure.rank)
        bar = GAP + _BARS[last.rank] if last.rank in _BARS else 0
        if width_of(kept) + bar <= width:
            break
        kept.remove(last)
    return kept


def width_of(figures: Sequence[Figure]) -> int:
    """Return how many characters the figures take, with the spaces between them."""
    return sum(len(figure.text) for figure in figures) + GAP * (len(figures) - 1)


def plain_line(figures: Sequence[Figure], title: str) -> str:
    """Return the figures as a sentence, for a log or a file."""
    words = ", ".join(figure.text.strip() for figure in figures)
    return f"{title}: {words}" if title else words


class Estimate:
    """An estimate of how long the rest takes, from the rate so far. It counts down until the next call ends."""

    def __init__(self) -> None:
        self._ended = 0
        self._seconds = 0.0  # when the latest call ended

    def left(self, ended: int, total: float | None, seconds: float) -> float | None:
        """Return the seconds that are left. None while nobody can know.

        Args:
            ended: how many calls have ended.
            total: how many there are, or None.
            seconds: time since the start.
        """
        if ended != self._ended:
            self._ended, self._seconds = ended, seconds
        if total is None or not ended:
            return None
        rest = (total - ended) * self._seconds / ended
        return max(0.0, rest - (seconds - self._seconds))


def duration(seconds: float) -> str:
    """Return a time such as `0:07` or `1:23:45`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
