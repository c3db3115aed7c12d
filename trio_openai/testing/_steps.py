"""The steps of a reply's body: bytes to write, waits, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

import attrs

not_negative = attrs.validators.ge(0.0)  # also refuses nan


@attrs.frozen
class Pause:
    """Wait before the next step, by trio's clock (so `autojump_clock` skips it).

    Attributes:
        seconds: How long to wait. `math.inf` is the same as `Stall()`.
    """

    seconds: float = attrs.field(validator=not_negative)


@attrs.frozen
class Stall:
    """Stop writing and keep the connection open until the peer leaves."""


@attrs.frozen
class Cut:
    """Close the connection here, before the end of the body (with `framing="close"` this *is* the end)."""


@attrs.frozen
class Reset:
    """Reset the connection here (RST on a socket). The peer can read what was written, then gets an error."""


Fault: TypeAlias = Stall | Cut | Reset
Step: TypeAlias = bytes | Pause | Stall | Cut | Reset


def first_bytes(steps: tuple[Step, ...], n: int) -> Iterator[Step]:
    """Yield the steps up to the n-th byte."""
    for step in steps:
        if n == 0:
            return
        piece = step[:n] if isinstance(step, bytes) else step
        n -= len(piece) if isinstance(piece, bytes) else 0
        yield piece


def sliced(steps: tuple[Step, ...], k: int) -> Iterator[Step]:
    """Yield the steps, with every run of adjacent bytes cut into pieces of `k` bytes."""
    run: list[bytes] = []
    for step in (*steps, None):
        if isinstance(step, bytes):
            run.append(step)
            continue
        joined = b"".join(run)
        yield from (joined[at : at + k] for at in range(0, len(joined), k))
        run.clear()
        if step is not None:
            yield step
