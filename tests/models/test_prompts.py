"""Prompts: labels in words, words in templates."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from clip_har.errors import ConfigError
from clip_har.models.prompts import PromptConfig, words_of_label


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("using_laptop", "using laptop"),
        ("using-laptop", "using laptop"),
        ("UsingLaptop", "using laptop"),
        ("usingLaptop", "using laptop"),
        (" listening_to  music ", "listening to music"),
        ("running", "running"),
        ("__running__", "running"),
        ("playing2Drums", "playing2 drums"),
        ("übenYoga", "üben yoga"),
        ("TV", "tv"),
    ],
)
def test_labels_in_words(label, words):
    assert words_of_label(label) == words
    assert PromptConfig(single="a {}").texts((label,), "single") == {label: [f"a {words}"]}


def test_an_ensemble_is_every_template_with_every_name():
    prompts = PromptConfig(templates=("a {}.", "b {}."), class_names={"run": ("jogging", "racing")}, single="one {}")
    assert prompts.texts(("sit_down", "run"), "ensemble") == {
        "sit_down": ["a sit down.", "b sit down."],
        "run": ["a jogging.", "b jogging.", "a racing.", "b racing."],
    }
    assert prompts.texts(("run",), "single") == {"run": ["one jogging"]}


def test_a_name_is_put_in_as_it_is_written():
    prompts = PromptConfig(single="a {}", class_names={"x": "Tai Chi {100 %}"})
    assert prompts.texts(("x",), "single") == {"x": ["a Tai Chi {100 %}"]}


def test_a_name_for_an_unknown_label_is_refused():
    prompts = PromptConfig(class_names={"runing": "jogging"})
    with pytest.raises(ConfigError, match=r"prompts\.class_names: unknown label 'runing'\. Did you mean 'running'"):
        prompts.texts(("running", "sitting"), "ensemble")


@pytest.mark.parametrize("template", ["a photo", "{} and {}", "a {name}", "a {} of {x}", ""])
@pytest.mark.parametrize("field", ["single", "templates"])
def test_a_template_has_one_place(template, field):
    with pytest.raises(ValidationError, match="exactly once"):
        PromptConfig(**{field: template if field == "single" else ("a {}", template)})


def test_the_defaults_make_distinct_texts():
    texts = PromptConfig().texts(("running", "sitting"), "ensemble")
    assert len({text for of_label in texts.values() for text in of_label}) == 2 * len(PromptConfig().templates) >= 10
