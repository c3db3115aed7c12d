"""A model that calls functions of the program, and the loop that runs them.

May import `_stream` and everything below it. `tool.py` makes a tool of a function and `conversation.py` builds what
is sent back; both do no I/O. `events.py` lists what a loop reports. Start reading in `run.py`.
"""
