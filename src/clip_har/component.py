"""What every component is made of: a frozen config of its own, and a registry that finds it by name."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from clip_har.errors import ConfigError, did_you_mean

T = TypeVar("T")


class ComponentConfig(BaseModel):
    """Base of all configs: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Artifact:
    """Base of the typed artifacts that are not configs: pydantic (and so ZenML) takes them as they are."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.is_instance_schema(cls)


class Registry(Generic[T]):
    """Classes found by name and imported when first asked for.

    Args:
        kind: what an entry is, for messages ("data source").
        entries: name → "package.module:Class".
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries: dict[str, str | type[T]] = dict(entries)

    def register(self, name: str, entry: str | type[T]) -> None:
        """Add an entry: a class, or where to find it.

        Raises:
            ConfigError: if the name is taken by something else.
        """
        if self._entries.get(name, entry) != entry:
            raise ConfigError(f"The {self.kind} {name!r} is registered already, as {self._entries[name]}.")
        self._entries[name] = entry

    def get(self, name: str) -> type[T]:
        """The class registered under `name`.

        Raises:
            ConfigError: if there is none; the message names the nearest.
        """
        if name not in self._entries:
            raise ConfigError(f"There is no {self.kind} {name!r}. {did_you_mean(name, self._entries)}")
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = getattr(importlib.import_module(module), attribute)
        return entry

    def module(self, name: str) -> str:
        """Name of the module that defines the entry."""
        return self.get(name).__module__

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries


def parse_tagged(base: type[BaseModel], registry: Registry, tag: str, value: Any, place: str) -> Any:
    """Validate a mapping as the config class that it names: a tagged union that can grow.

    Args:
        base: class of all configs of the kind; an instance is taken as it is.
        registry: where the named entry, and its `Config`, is found.
        tag: the field that names the entry.
        place: where the mapping stands in the run's config, for messages.

    Raises:
        ConfigError: if no entry, or an unknown one, is named, or its config refuses the mapping.
    """
    if isinstance(value, base):
        return value
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: a mapping is wanted, got {value!r}.")
    if not isinstance(value.get(tag), str):
        raise ConfigError(f"{place}.{tag}: a value is wanted. {did_you_mean('', registry)}")
    try:
        config = registry.get(value[tag]).Config
    except ConfigError as error:
        raise ConfigError(f"{place}.{tag}: {error}") from None
    return validated(config, value, place)


def validated(model: type[BaseModel], value: Any, place: str = "") -> Any:
    """`model.model_validate(value)` with errors in words.

    Raises:
        ConfigError: a line for each thing that is wrong: its key, what it is, what would be right.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [_explain(detail, model, place) for detail in error.errors()]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _explain(detail: Any, model: type[BaseModel], place: str) -> str:
    path = [str(part) for part in detail["loc"]]
    key = ".".join([part for part in [place, *path] if part]) or "the configuration"
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        match = did_you_mean(path[-1], known)
        return f"{key}: unknown key. {match}"
    if detail["type"] == "missing":
        return f"{key}: a value is wanted and none is given."
    reason = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    wanted = f"{reason[0].lower()}{reason[1:]}" if detail["type"] == "value_error" else f"wanted: {reason}"
    said = f"{key}: {wanted}" + ("" if detail["type"] == "value_error" else f", got {detail['input']!r}")
    return said if said.endswith((".", "?", "!")) else f"{said}."


def _fields_at(model: type[BaseModel], path: list[str]) -> list[str]:
    """The keys known at a path below a model."""
    current: Any = model
    for part in path:
        if not (isinstance(current, type) and issubclass(current, BaseModel)) or part not in current.model_fields:
            return []
        current = _model_of(current.model_fields[part].annotation)
    is_model = isinstance(current, type) and issubclass(current, BaseModel)
    return list(current.model_fields) if is_model else []


def _model_of(annotation: Any) -> Any:
    """The model class in an annotation like `Model | None`."""
    from typing import get_args

    options = [annotation, *get_args(annotation)]
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)
