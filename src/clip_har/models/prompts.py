"""Prompts: labels turned into words, words put into templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.errors import ConfigError, did_you_mean

_PLACE = "{}"


def words_of_label(label: str) -> str:
    """A label in plain words: "using_laptop", "using-laptop" and "UsingLaptop" all give "using laptop"."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return re.sub(r"[\s_\-]+", " ", spaced).strip().lower()


def check_template(template: str) -> str:
    """The template, if it can be filled.

    Raises:
        ValueError: if it does not have the place for the action, `{}`, exactly once.
    """
    if template.count(_PLACE) != 1 or re.sub(re.escape(_PLACE), "", template).count("{"):
        raise ValueError(f"the template {template!r} needs the place for the action, {{}}, exactly once")
    return template


def class_matrix(texts: Mapping[str, Sequence[str]], encode_texts: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
    """Texts of each class → float32 [c, d]: mean of a class's text embeddings, L2-normalised again.

    Args:
        encode_texts: n texts → float32 [n, d], L2-normalised; asked for each distinct text once.
    """
    distinct = list(dict.fromkeys(text for of_class in texts.values() for text in of_class))
    embeddings = dict(zip(distinct, encode_texts(distinct), strict=True))
    rows = np.stack([np.mean([embeddings[text] for text in of_class], axis=0) for of_class in texts.values()])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class PromptConfig(ComponentConfig):
    """The texts that stand for the classes.

    Ensembling templates follows Radford et al. 2021, "Learning Transferable Visual Models From Natural Language
    Supervision", section 3.1.4.
    """

    single: str = Field("a photo of a person {}.", description="The one template of a single prompt.")
    templates: tuple[str, ...] = Field(
        (
            "a photo of a person {}.",
            "a photo of people {}.",
            "a photo of someone {}.",
            "a picture of a man or a woman {}.",
            "a person is {}.",
            "a candid photo of a person who is {}.",
            "the action in this photo is {}.",
        ),
        min_length=1,
        description="Templates of the ensemble; {} is the place for the action.",
    )
    class_names: dict[str, tuple[str, ...]] = Field(
        {}, description="Label → one or more ways to say it. Labels that are not named are said as they are written."
    )

    @field_validator("single")
    @classmethod
    def _single_can_be_filled(cls, value: str) -> str:
        return check_template(value)

    @field_validator("templates")
    @classmethod
    def _templates_can_be_filled(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_template(template) for template in value)

    @field_validator("class_names", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {label: (names,) if isinstance(names, str) else names for label, names in value.items()}

    def names(self, label: str) -> tuple[str, ...]:
        """The ways to say a label."""
        return self.class_names.get(label) or (words_of_label(label),)

    def texts(self, labels: tuple[str, ...], prompts: Literal["single", "ensemble"]) -> dict[str, list[str]]:
        """The texts of each label.

        Args:
            prompts: "single" (the one template with the label's first name) or "ensemble" (every template with every
                name).

        Raises:
            ConfigError: if `class_names` names a label that is not among `labels`.
        """
        for label in self.class_names:
            if label not in labels:
                raise ConfigError(f"prompts.class_names: unknown label {label!r}. {did_you_mean(label, labels)}")
        if prompts == "single":
            return {label: [self.single.replace(_PLACE, self.names(label)[0])] for label in labels}
        return {
            label: [template.replace(_PLACE, name) for name in self.names(label) for template in self.templates]
            for label in labels
        }
