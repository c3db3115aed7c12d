"""Many calls at once: `run_many` and `stream_many` (`many.py`), and `race` (`race.py`).

May import `_stream` and everything below it. `checks.py` explains a wrong argument. Start reading in `many.py`.
"""
