"""`run_tools`: a model that calls Python functions, and the loop that runs them.

May import `_stream` and everything below it. `tool.py` turns a function into a tool, `conversation.py` builds the next
request, `normalize.py` repairs the calls in it, `output.py` makes what the model gets of a result (none does I/O).
`calls.py` runs the tools, and `queue.py` decides which is next. `events.py` lists what a run reports. Start
reading in `run.py`.
"""
