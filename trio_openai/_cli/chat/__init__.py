"""The command `trio-openai chat`: one answer, or a conversation on the terminal.

`arguments.py` has the options, `question.py` makes a message of a prompt and files, `command.py` asks and prints.
"""
