"""The command line: `python -m trio_openai`.

May import everything that a program may import. `main.py` reads the arguments; `demo/` streams many prompts at once
and draws what happens. Start reading in `main.py`.
"""
