"""Limiters: when the next attempt of a call may begin.

May import `_wire`. `permits.py` connects one call to its limiter. The arithmetic has no I/O and no clock: `rate.py` for
limits that somebody states, `adaptive.py` (with `randomness.py` and `spacing.py`) for limits that must be discovered.
Start reading in `limiter.py`, which has the public limiters and the queue in which attempts wait.
"""
