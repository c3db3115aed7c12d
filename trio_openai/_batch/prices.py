"""The prices of models, from a file of the user. There are no built-in prices, since they change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from trio_openai._statistics import Usage
from trio_openai._wire.json import decode_json, is_object
from trio_openai.errors import BatchJobError

_MILLION = 1_000_000
_EXAMPLE = '{"gpt-4o-mini": {"input": 0.15, "output": 0.6}}'


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

    def of(self, usage: Usage) -> float:
        """Return the price of a usage."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = max(usage.input_tokens - usage.cached_tokens, 0)
        total = fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return total / _MILLION


def load_prices(path: str | Path) -> Mapping[str, Price]:
    """Read a price file: JSON with an object for each model, such as `{"gpt-4o-mini": {"input": 0.15, "output": 0.6}}`.

    The model `*` stands for all others.

    Raises:
        BatchJobError: The file cannot be read, or has something else in it.
    """
    try:
        found = decode_json(Path(path).read_bytes())
    except OSError as error:
        raise BatchJobError(f"the price file {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise BatchJobError(f"the price file {path} is not JSON: {error}") from error
    if not is_object(found):
        raise BatchJobError(f"the price file {path} needs an object for each model, such as {_EXAMPLE}")
    return {model: _price(model, given, path) for model, given in found.items()}


def price_of(prices: Mapping[str, Price], model: object) -> Price:
    """Return the price of a model.

    Raises:
        BatchJobError: There is none.
    """
    found = prices.get(model if isinstance(model, str) else "*") or prices.get("*")
    if found is None:
        raise BatchJobError(f'there is no price for the model {model!r}: add it to the prices, or add "*"')
    return found


def _price(model: str, given: Any, path: str | Path) -> Price:
    names = {field.name for field in attrs.fields(Price)}
    is_valid = is_object(given) and {"input", "output"} <= given.keys() <= names
    if not is_valid or not all(type(one) in (int, float) and one >= 0 for one in given.values()):
        raise BatchJobError(
            f"the price file {path} has something wrong for {model!r}: it takes the prices of a million tokens as "
            f"numbers, such as {_EXAMPLE}, and perhaps cached_input"
        )
    return Price(**given)
