"""The prices of models, from a file of the user. There are no built-in prices, since they change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Price:
    """The price of a model, per million tokens, in any currency.

    Attributes:
        input: The price of the prompt's tokens.
        output: The price of the answer's tokens.
        cached_input: The price of those prompt tokens that the server had in its cache. By default as `input`.
    """

    input: float
    output: float
    cached_input: float | None = None


def load_prices(path: str | Path) -> Mapping[str, Price]:
    """Read a price file: JSON with an object for each model, such as `{"gpt-4o-mini": {"input": 0.15, "output": 0.6}}`.

    The model `*` stands for all others.

    Raises:
        BatchJobError: The file cannot be read, or has something else in it.
    """
    raise NotImplementedError
