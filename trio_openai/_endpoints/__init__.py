"""The endpoints of the API, under the API's own names.

May import `_tools`, `_concurrent`, `_stream` and everything below them. Each file declares the endpoints of one part of
the API: their paths, their parameters, and the classes of their results and streams. `_doors.py` has the methods that
all streaming endpoints share, `_operations.py` those that never stream, `_pages.py` lists, `_parameters.py` the checks
of arguments. `_endpoint.py` explains the types. Start reading in `chat.py`.
"""
