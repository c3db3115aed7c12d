"""The demo: six streams at once, a race, and many prompts.

`arguments.py` has the options, and `command.py` runs it and turns errors into an exit code. `scenes.py` has the three
scenes, `backends.py` the servers that answer, `script.py` the scripted one's answers, and `display.py` the output.
Start reading in `scenes.py`.
"""
