"""The command `trio-openai batch`: from a file of requests to a file of results.

May import everything that a program may import. `arguments.py` has the options and imports nothing else, so that
`--help` is fast. `report.py` computes what is printed and does no I/O. Start reading in `command.py`.
"""
