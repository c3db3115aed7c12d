"""Limiters: when the next attempt may begin.

May import `_wire`. The arithmetic has neither I/O nor a clock: `rate.py` for limits that are stated, `adaptive.py` for
those that are found out, with `randomness.py` and `spacing.py`. `limiter.py` waits by it, and `permits.py` is one
call's side of it. Start reading in `limiter.py`.
"""
