"""What the API offers, by its names.

`_doors` has the ways to call an endpoint, `_parameters` checks what it is given, `_pages` is for lists. The other files
are the endpoints: each says its path, the types of its parameters and answers, and the dialect of its stream. The
client imports them one by one, when they are first used.
"""

from __future__ import annotations
