"""The command line: `trio-openai`, or `python -m trio_openai`.

May import everything that a program may import. `main.py` has the commands, and `parsing.py` the parser of each. A
command is one module or folder: `chat/`, `batch/`, `models.py`, `demo/`. `connection.py` makes the client of those that
ask one server. Start reading in `main.py`.
"""
