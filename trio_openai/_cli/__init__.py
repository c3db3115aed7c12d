"""The command line: `python -m trio_openai`.

May import everything that a program may import. `main.py` parses the arguments; `demo/` streams many prompts at once
and draws their progress. Start reading in `main.py`.
"""
