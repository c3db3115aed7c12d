"""Batch jobs: from a file of requests to a file of results, with resume.

May import the clients and everything below them. `rows.py`, `journal.py` and `table.py` compute and do no I/O. Start
reading in `run.py`.
"""
