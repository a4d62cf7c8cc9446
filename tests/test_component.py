"""Registries and validation in words."""

from __future__ import annotations

import importlib
import pickle

import pytest
from pydantic import BaseModel, Field, ValidationError

from clip_har.adaptation import METHODS
from clip_har.component import Artifact, ComponentConfig, Registry, parse_tagged, validated
from clip_har.data.sources import SOURCES
from clip_har.errors import ConfigError, ImageError, did_you_mean, nearest
from clip_har.inference.runtimes import RUNTIMES


class Inner(ComponentConfig):
    width: int = 3


class Outer(ComponentConfig):
    inner: Inner = Inner()
    maybe: Inner | None = None
    many: tuple[int, ...] = Field((), max_length=2)


class Shape(ComponentConfig):
    kind: str


class SquareConfig(Shape):
    side: int = Field(gt=0)


class Square:
    Config = SquareConfig


@pytest.fixture
def shapes() -> Registry:
    return Registry("shape", {"square": f"{__name__}:Square", "circle": "a.module.that.is.not:there"})


@pytest.mark.parametrize("registry", [METHODS, SOURCES, RUNTIMES], ids=lambda registry: registry.kind)
def test_every_entry_of_a_registry_is_there_and_knows_its_name(registry):
    assert list(registry)
    for name in registry:
        entry = registry.get(name)
        assert importlib.import_module(registry.module(name)) is not None
        if hasattr(entry, "Config"):
            tag = "source" if registry is SOURCES else "method"
            assert entry.Config.model_fields[tag].default == name


def test_entries_are_imported_when_asked_for(monkeypatch):
    shapes = Registry("shape", {"fraction": "fractions:Fraction", "circle": "a.module.that.is.not:there"})
    assert "circle" in shapes
    assert list(shapes) == ["fraction", "circle"]
    assert shapes.get("fraction").__name__ == "Fraction"
    with pytest.raises(ImportError):
        shapes.get("circle")


def test_an_unknown_entry_names_the_nearest(shapes):
    with pytest.raises(ConfigError, match=r"no shape 'sqare'\. Did you mean 'square'"):
        shapes.get("sqare")
    with pytest.raises(ConfigError, match=r"Known: circle, square"):
        shapes.get("xyz")


def test_a_name_is_registered_once(shapes):
    shapes.register("triangle", Square)
    shapes.register("triangle", Square)  # the same again is no mistake
    assert shapes.get("triangle") is Square
    with pytest.raises(ConfigError, match="'square' is registered already"):
        shapes.register("square", Inner)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("square", r"shape: a mapping is wanted, got 'square'"),
        ({"side": 1}, r"shape\.kind: a value is wanted\. Known: square"),
        ({"kind": 3}, r"shape\.kind: a value is wanted"),
        ({"kind": "sqare"}, r"shape\.kind: There is no shape 'sqare'\. Did you mean 'square'"),
        ({"kind": "square"}, r"shape\.side: a value is wanted and none is given"),
        ({"kind": "square", "side": 0}, r"shape\.side: wanted: greater than 0, got 0"),
        ({"kind": "square", "sid": 1}, r"shape\.sid: unknown key\. Did you mean 'side'"),
    ],
)
def test_a_tagged_config_is_refused_in_words(value, message):
    with pytest.raises(ConfigError, match=message):
        parse_tagged(Shape, Registry("shape", {"square": Square}), "kind", value, "shape")


def test_a_tagged_config_is_of_the_class_that_it_names():
    shapes = Registry("shape", {"square": Square})
    parsed = parse_tagged(Shape, shapes, "kind", {"kind": "square", "side": 2}, "shape")
    assert parsed == SquareConfig(kind="square", side=2)
    assert parse_tagged(Shape, shapes, "kind", parsed, "shape") is parsed


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": {"wdth": 1}}, r"^here\.inner\.wdth: unknown key\. Did you mean 'width'\?$"),
        ({"maybe": {"wdth": 1}}, r"^here\.maybe\.wdth: unknown key\. Did you mean 'width'\?$"),
        ({"inner": {"width": "x"}}, r"^here\.inner\.width: wanted: a valid integer.*got 'x'\.$"),
        ({"many": [1, "a"]}, r"^here\.many\.1: wanted: a valid integer"),
        ({"many": [1, 2, 3]}, r"^here\.many: wanted: .*at most 2 items"),
        (7, r"^here: wanted: a valid dictionary"),
    ],
)
def test_each_mistake_is_told_with_its_place(value, message):
    with pytest.raises(ConfigError, match=message):
        validated(Outer, value, "here")


def test_configs_are_frozen_closed_and_hashable():
    with pytest.raises(ValidationError):
        Inner(wide=1)
    with pytest.raises(ValidationError):
        Inner().width = 4
    assert hash(Inner(width=1)) == hash(Inner(width=1))


def test_an_artifact_is_taken_as_it_is():
    class Table(Artifact):
        pass

    class Holder(BaseModel):
        table: Table

    table = Table()
    assert Holder(table=table).table is table
    with pytest.raises(ValidationError):
        Holder(table=3)


@pytest.mark.parametrize(
    ("word", "known", "found"),
    [
        ("runing", ["running", "sitting"], "running"),
        ("RUNNING", ["Running"], "Running"),
        ("xyz", ["running"], None),
        ("", ["running"], None),
    ],
)
def test_nearest(word, known, found):
    assert nearest(word, known) == found


def test_a_long_list_is_cut():
    said = did_you_mean("???", [f"label_{number:02d}" for number in range(30)])
    assert "label_19" in said
    assert "label_20" not in said
    assert said.endswith("….")
    assert did_you_mean("x", []) == "There are none."


def test_an_image_error_crosses_processes():
    copy = pickle.loads(pickle.dumps(ImageError("truncated", "a.jpg is damaged")))
    assert (copy.reason, str(copy)) == ("truncated", "a.jpg is damaged")
