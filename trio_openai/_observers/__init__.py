"""Observers, who are told how each call goes, from its start to its end.

May import the folders below it: `_protocols`, `_wire`, `types`, `errors`.
Start reading in `records.py`: it has what observers are told, and their base class. `watch.py` tells it for one call,
and `log.py` is an observer that writes log lines.
"""
