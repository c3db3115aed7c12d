"""The converter of cattrs that knows the wire classes: it reads them, and writes what they stand for now.

cattrs' stock hooks coerce (a null in a `str` field becomes `'None'`) and refuse (an unknown enum value is an error),
and a stream must survive both. So the hooks are ours: `types/_fields.py` reads, `types/_plain.py` writes.
"""

from __future__ import annotations

from typing import Any, cast

import cattrs

from trio_openai.types import _fields
from trio_openai.types._fields import Hook, is_wire, is_wire_union
from trio_openai.types._plain import current

__all__ = ["Hook", "converter", "hook_for"]

converter = cattrs.Converter()
converter.register_structure_hook_factory(is_wire, _fields.hook_for)
converter.register_structure_hook_factory(is_wire_union, _fields.hook_for)
converter.register_unstructure_hook_func(is_wire, current)


def hook_for(cls: Any) -> Hook:
    """Return the function that makes a `cls` (a class or a union of them) of a decoded JSON object.

    Get it once and hold it. Its second argument is the type, as cattrs calls its hooks; ours do not look at it.
    """
    return cast("Hook", converter.get_structure_hook(cls))
