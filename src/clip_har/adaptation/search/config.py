"""What is searched for, checked against the candidate's own config before anything is started (no Optuna here)."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field, model_validator

from clip_har.adaptation import parse_method_config
from clip_har.adaptation.base import MethodConfig
from clip_har.component import ComponentConfig, validated
from clip_har.errors import ConfigError, did_you_mean
from clip_har.hashing import canonical_json

_NOT_SEARCHED = ("method", "preset")


class FieldConfig(ComponentConfig):
    """The values that a field may take: between two ends, or one of several."""

    low: int | float | None = Field(None, description="Smallest value.")
    high: int | float | None = Field(None, description="Largest value.")
    log: bool = Field(False, description="Search evenly over the value's logarithm.")
    step: int | float | None = Field(None, gt=0, description="Distance between values, from `low` on.")
    choices: tuple[Any, ...] | None = Field(None, description="The values to choose from, instead of two ends.")

    @model_validator(mode="before")
    @classmethod
    def _list_of_choices(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return {"choices": value}
        if not isinstance(value, dict | FieldConfig):
            raise ValueError(f"wanted: {{low: …, high: …}} or a list of choices, got {value!r}")
        for key in value if isinstance(value, dict) else ():
            if key not in cls.model_fields:  # a mapping of models: its keys are not known where messages are made
                raise ValueError(f"unknown key {key!r}. {did_you_mean(str(key), cls.model_fields)}")
        return value

    @model_validator(mode="after")
    def _ends_or_choices(self) -> FieldConfig:
        if self.choices is not None:
            if self.log or any(value is not None for value in (self.low, self.high, self.step)):
                raise ValueError("choices stand alone: leave out low, high, log and step")
            if len({canonical_json(choice) for choice in self.choices}) < max(2, len(self.choices)):
                raise ValueError("at least two choices are wanted, and no two the same")
            return self
        if self.low is None or self.high is None:
            raise ValueError("wanted: low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low must be below high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 for log, got {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step must be at most high - low, got {self.step:g}")
        return self

    def probes(self) -> dict[str, Any]:
        """Name of a key here → a value that the field must take."""
        if self.choices is not None:
            return {f"choices.{number}": choice for number, choice in enumerate(self.choices)}
        return {"low": self.low, "high": self.high}


class SearchConfig(ComponentConfig):
    """The search for one candidate's settings."""

    candidate: str = Field(description="Name of a candidate that `adaptation.methods` lists.")
    fields: dict[str, FieldConfig] = Field(
        min_length=1, description="Dotted names of the candidate's settings (training.learning_rate), and their values."
    )
    trials: int = Field(20, ge=1, description="Settings to try, the candidate's own among them.")
    timeout: float | None = Field(None, gt=0, description="Seconds after which no further trial is begun.")
    select_by: Literal["accuracy", "log_loss"] = Field(
        "log_loss",
        description="Figure on the validation split by which settings are better. A small split decides an accuracy by "
        "chance sooner than a loss.",
    )
    sampler: Literal["tpe", "random"] = Field(
        "tpe", description="How settings are drawn: tpe looks at the trials before; random does not."
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median",
        description="Which trials are given up on the way: those below the median of the others so far, or by "
        "successive halving in brackets.",
    )
    seed: int | None = Field(None, ge=0, lt=2**31, description="Of the drawing of settings; the run's if not given.")

    @model_validator(mode="before")
    @classmethod
    def _dotted_names(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("fields"), dict):
            return value | {"fields": dict(_dotted(value["fields"]))}
        return value


def _dotted(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{"training": {"learning_rate": …}}` is another way to write `{"training.learning_rate": …}`."""
    for name, value in fields.items():
        nested = isinstance(value, dict) and value and not set(value) & set(FieldConfig.model_fields)
        if nested and all(isinstance(below, dict | list) for below in value.values()):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def read_searches(value: Any) -> tuple[SearchConfig, ...]:
    """One search or a list of them; a search that names several candidates stands for one each.

    Raises:
        ConfigError: if something is wrong with one of them, or two are for the same candidate.
    """
    several = isinstance(value, list | tuple)
    searches: list[SearchConfig] = []
    for number, given in enumerate(value if several else [] if value is None else [value]):
        place = f"search.{number}" if several else "search"
        if isinstance(given, SearchConfig):
            searches.append(given)
            continue
        names = given.get("candidate") if isinstance(given, dict) else None
        for name in names if isinstance(names, list | tuple) else [names]:
            one = given if name is None else given | {"candidate": name}
            searches.append(validated(SearchConfig, one, place))
    names = [search.candidate for search in searches]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"search: there are two searches for {twice!r}; put their fields into one.")
    return tuple(searches)


def check_search(search: SearchConfig, candidates: Mapping[str, MethodConfig]) -> None:
    """Check that the candidate is there and that its config takes the ends and choices of every field.

    Args:
        candidates: those that will be fitted.

    Raises:
        ConfigError: naming the key, what is wrong with it, and the nearest valid one.
    """
    if search.candidate not in candidates:
        raise ConfigError(
            f"search.candidate: {search.candidate!r} is not among adaptation.methods. "
            f"{did_you_mean(search.candidate, candidates)}"
        )
    method = candidates[search.candidate]
    for name, field in search.fields.items():
        place = f"search.fields.{name}"
        kind = _kind_of(type(method), name, place)
        ends = () if field.choices is not None else (field.low, field.high, field.step or 1)
        if ends and kind is None:
            raise ConfigError(f"{place}: {search.candidate} takes no number there; wanted: choices.")
        for key, value in field.probes().items():
            try:
                with_settings(method, {name: value})
            except ConfigError as error:
                raise ConfigError(f"{place}.{key}: {search.candidate} refuses it: {error}") from None
        if kind is int and not all(isinstance(value, int) for value in ends):
            raise ConfigError(f"{place}: whole numbers are wanted for low, high and step.")


def with_settings(method: MethodConfig, settings: Mapping[str, Any]) -> MethodConfig:
    """A method's config with other values in some fields.

    Args:
        settings: dotted names and values.

    Raises:
        ConfigError: if the config does not take them.
    """
    changed = method.model_dump(mode="json")
    for name, value in settings.items():
        *path, last = name.split(".")
        place = changed
        for part in path:
            if place.get(part) is None:
                place[part] = {}
            place = place[part]
        place[last] = value
    return parse_method_config(changed, "")


def setting_of(method: MethodConfig, name: str) -> Any:
    """What stands in a config under a dotted name, as JSON; None if a part above it is not given."""
    value: Any = method.model_dump(mode="json")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _kind_of(model: type[BaseModel], name: str, place: str) -> type | None:
    """int or float for a field that is a number, None for one that is not; it must exist."""
    known = dict(_fields_of(model))
    if name in _NOT_SEARCHED:
        raise ConfigError(f"{place}: it stands for many settings; name those, or make variants with one search each.")
    if name not in known:
        raise ConfigError(f"{place}: unknown field. {did_you_mean(name, known)}")
    options = set(_options(known[name]))
    return float if float in options else int if int in options else None


def _fields_of(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names of all fields of a config and of those inside it, with their types."""
    for name, field in model.model_fields.items():
        if prefix or name not in _NOT_SEARCHED:
            yield f"{prefix}{name}", field.annotation
            for option in _options(field.annotation):
                if isinstance(option, type) and issubclass(option, BaseModel):
                    yield from _fields_of(option, f"{prefix}{name}.")


def _options(annotation: Any) -> Iterator[Any]:
    """The types that a union is made of; a type that is none by itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        for option in get_args(annotation):
            yield from _options(option)
    else:
        yield annotation
