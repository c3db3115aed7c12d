"""Structured outputs: a class to a JSON schema, and an answer to an object of that class.

May import the protocols beside it. Start reading in `answer_format.py`.
"""
