"""What the API offers, under its own names.

May import `_tools`, `_concurrent`, `_request` and everything below them. Each endpoint's file gives its path, its
parameters, its answer and the protocol of its stream. `_doors.py` has the ways to call an endpoint, `_parameters.py`
checks what a call is given, and `_pages.py` is for lists. Start reading in `chat.py`.
"""
