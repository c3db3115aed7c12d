"""Limiters: when the next attempt of a call may begin.

May import `_wire`. `limiter.py` has the public limiters and the queue in which attempts wait; start reading there.
`permits.py` connects one call to its limiter. The arithmetic has no I/O and no clock: `rate.py` for limits that
somebody states, `adaptive.py` for limits that have to be discovered (with `randomness.py` and `spacing.py`).
"""
