"""Many calls at once: `run_many` and `stream_many` (`many.py`), `race` (`race.py`), and a live view (`progress.py`).

May import `_stream` and everything below it. `checks.py` explains a wrong argument. Start reading in `many.py`.
"""
