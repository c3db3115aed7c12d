"""Many calls at once: `run_many` and `stream_many` in `many.py`, and `race`, whose first useful answer wins.

May import `_stream` and everything below it. Start reading in `many.py`.
"""
