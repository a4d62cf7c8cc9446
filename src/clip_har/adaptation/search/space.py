"""The fields of a search as Optuna knows them, and what comes back as settings."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from clip_har.adaptation.base import MethodConfig
from clip_har.adaptation.search.config import FieldConfig, SearchConfig, setting_of, with_settings
from clip_har.hashing import canonical_json

_MOST_COMBINATIONS = 100_000


class SearchSpace:
    """Fields by name; choices are texts to Optuna, which stores no lists or mappings.

    Args:
        method: the candidate's own config.
    """

    def __init__(self, config: SearchConfig, method: MethodConfig) -> None:
        self._method = method
        self._choices: dict[str, dict[str, Any]] = {}
        self.distributions: dict[str, BaseDistribution] = {}
        for name, field in config.fields.items():
            if field.choices is not None:
                self._choices[name] = {canonical_json(choice): choice for choice in field.choices}
                self.distributions[name] = CategoricalDistribution(list(self._choices[name]))
            elif isinstance(value_in(method, name, field.low), int):
                step, high = int(field.step or 1), _last_step(field)
                self.distributions[name] = IntDistribution(field.low, int(high), log=field.log, step=step)
            else:
                self.distributions[name] = FloatDistribution(
                    field.low, _last_step(field), log=field.log, step=field.step
                )

    def settings(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """What Optuna drew → dotted names and values."""
        return {name: self._value(name, drawn[name]) for name in self.distributions}

    def _value(self, name: str, drawn: Any) -> Any:
        distribution = self.distributions[name]
        if name in self._choices:
            return self._choices[name][drawn]
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            low, step = _exact(distribution.low, distribution.step)
            return float(low + round((drawn - distribution.low) / distribution.step) * step)
        return drawn

    def key(self, drawn: Mapping[str, Any]) -> str:
        """A text that is equal for equal settings."""
        return canonical_json(self.settings(drawn))

    def own(self) -> dict[str, Any] | None:
        """The candidate's own settings as Optuna would draw them; None if they are out of reach."""
        drawn = {}
        for name, distribution in self.distributions.items():
            value = setting_of(self._method, name)
            if name in self._choices:
                same = canonical_json(value)
                value = next(
                    (
                        text
                        for text, choice in self._choices[name].items()
                        if canonical_json(value_in(self._method, name, choice)) == same
                    ),
                    None,
                )
            if value is None or not distribution._contains(distribution.to_internal_repr(value)):
                return None
            drawn[name] = value
        return drawn

    def untried(self, tried: set[str], generator: np.random.Generator) -> dict[str, Any] | None:
        """Some combination that was not tried, of a space that has few; None if there is none, or far too many.

        Args:
            tried: as `key` gives them.
        """
        values = [_all_values(distribution) for distribution in self.distributions.values()]
        if any(column is None for column in values) or math.prod(map(len, values)) > _MOST_COMBINATIONS:
            return None
        rows = (dict(zip(self.distributions, row, strict=True)) for row in itertools.product(*values))
        left = [row for row in rows if self.key(row) not in tried]
        return left[int(generator.integers(len(left)))] if left else None


def value_in(method: MethodConfig, name: str, value: Any) -> Any:
    """What a config makes of a value for one of its fields, as JSON."""
    return setting_of(with_settings(method, {name: value}), name)


def _last_step(field: FieldConfig) -> float:
    """The largest value that whole steps from `low` come to."""
    if field.step is None:
        return field.high
    low, high, step = _exact(field.low, field.high, field.step)
    return float(low + (high - low) // step * step)


def _exact(*numbers: float) -> list[Decimal]:
    """The numbers as they are written: 0.1 and three steps of 0.2 are 0.7, and no more."""
    return [Decimal(str(number)) for number in numbers]


def _all_values(distribution: BaseDistribution) -> list[Any] | None:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    if isinstance(distribution, IntDistribution):
        return list(range(distribution.low, distribution.high + 1, distribution.step))
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        low, high, step = _exact(distribution.low, distribution.high, distribution.step)
        return [float(low + place * step) for place in range(int((high - low) / step) + 1)]
    return None
