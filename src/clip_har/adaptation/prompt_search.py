"""Prompt search: which templates, names and descriptions together say the classes best, on cached embeddings.

* The ensemble is grown greedily, a member at a time while the validation split gains: forward selection as in Caruana et
  al. 2004, "Ensemble Selection from Libraries of Models", of text embeddings averaged as in Radford et al. 2021, section
  3.1.4. Then, class by class, the names (synonyms) are chosen the same way.
* Descriptions: Menon and Vondrick 2023, "Visual Classification via Description from Large Language Models" (ICLR). The
  paper averages the scores of a class's descriptions (equation 1); the mean of their embeddings gives the same up to its
  length, which the class matrix normalises away.
* The control: Roth et al. 2023, "Waffling around for Performance: Visual Classification with Random Words and Broad
  Concepts" (ICCV) got most of the gain from random words in the descriptions' place. So the search is run again with
  each description's words replaced by random ones of the same lengths, and both figures are reported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import better
from clip_har.errors import ConfigError, did_you_mean
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.models.prompts import check_template
from clip_har.training.scores import validation_scores

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

_POOL = (
    "{}.",
    "a photo of {}.",
    "a photo of a person {}.",
    "a photo of people {}.",
    "a photo of someone {}.",
    "a photo of a person who is {}.",
    "a picture of a man or a woman {}.",
    "a person is {}.",
    "people are {}.",
    "someone is {}.",
    "a candid photo of a person who is {}.",
    "a snapshot of someone {}.",
    "a close-up photo of a person {}.",
    "a photo of a person {} indoors.",
    "a photo of a person {} outdoors.",
    "the action in this photo is {}.",
    "an example of {}.",
    "human action: {}.",
    "a stock photo of a person {}.",
    "this is what {} looks like.",
)
_SHORT_POOL = _POOL[:12]
_DESCRIPTIONS = "descriptions"


class PromptSearchConfig(MethodConfig):
    """The pool and how much of it may be chosen."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {"templates": list(_SHORT_POOL), "largest": 6, "control_draws": 3},
        "published": {"templates": list(_POOL), "largest": 20, "control_draws": 7},
    }

    method: Literal["prompt_search"] = "prompt_search"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the whole pool; cpu is a part of it."
    )
    templates: tuple[str, ...] = Field(
        _SHORT_POOL, description="Templates to choose from, besides those of `prompts`; {} is the place for the action."
    )
    synonyms: dict[str, tuple[str, ...]] = Field(
        {}, description="Label → further ways to say it, to choose from besides those of `prompts.class_names`."
    )
    descriptions: dict[str, tuple[str, ...]] = Field(
        {},
        description="Label → what it looks like ('hands around a cup'), or a JSON file of that. The recipe keeps the "
        "descriptions, not the file's name.",
    )
    largest: int = Field(6, ge=1, description="Most members of the ensemble; all descriptions together are one.")
    control_draws: int = Field(3, ge=1, description="How often random words are drawn in the descriptions' place.")

    @field_validator("templates")
    @classmethod
    def _templates_can_be_filled(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(check_template(template) for template in value)

    @field_validator("descriptions", mode="before")
    @classmethod
    def _read_a_file(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return json.loads(Path(value).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{value!r} is not a JSON file of label → list of descriptions: {error}") from None

    @field_validator("descriptions")
    @classmethod
    def _all_say_something(cls, value: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        silent = [label for label, texts in value.items() if not texts or not all(text.strip() for text in texts)]
        if silent:
            raise ValueError(f"the label {silent[0]!r} has no descriptions, or an empty one")
        return value

    def restricted_to(self, labels: Collection[str]) -> PromptSearchConfig:
        kept = {
            field: {label: texts for label, texts in getattr(self, field).items() if label in labels}
            for field in ("synonyms", "descriptions")
        }
        return self.model_copy(update=kept)


class PromptSearch(AdaptationMethod):
    """Chooses texts; nothing else changes."""

    Config = PromptSearchConfig
    config: PromptSearchConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        self._check(context.manifest.labels, name)
        search = _Search(context, self.config)
        texts, scores, history, members = search.run(self.config.descriptions)
        remarks = [f"Chosen: {', '.join(members)}."]
        if self.config.descriptions:
            remarks += self._compare(search, context, scores, members, history)
        class_matrix = context.encoder.class_matrix(texts)
        head = TextHead(context.encoder.logit_scale, context.encoder.logit_bias)
        ids = context.validation.ids
        return AdaptedModel(
            name=name,
            method=self.config.method,
            recipe=self.config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=OpenVocabulary(word="kept", basis="only texts were chosen"),
            validation_ids=tuple(ids),
            validation_logits=head.score(context.embeddings.of(ids), class_matrix),
            trained_parameters=0,
            history=history,
            remarks=remarks,
        )

    def _check(self, labels: tuple[str, ...], name: str) -> None:
        for field in ("synonyms", "descriptions"):
            for label in getattr(self.config, field):
                if label not in labels:
                    raise ConfigError(
                        f"adaptation.{name}.{field}: unknown label {label!r}. {did_you_mean(label, labels)}"
                    )
        missing = [label for label in labels if label not in self.config.descriptions]
        if self.config.descriptions and missing:
            raise ConfigError(f"adaptation.{name}.descriptions: there are none for {', '.join(missing)}.")

    def _compare(
        self,
        search: _Search,
        context: AdaptationContext,
        scores: dict[str, float],
        members: list[str],
        history: list[dict[str, float]],
    ) -> list[str]:
        """The search without descriptions, and with random words in their place: rows and a sentence."""
        without = search.run({})[1]
        words = vocabulary(context.encoder)
        controls, alone = [], []
        for draw in range(self.config.control_draws):
            generator = np.random.default_rng([context.seed, draw])
            scrambled = {
                label: tuple(random_words(text, words, generator) for text in texts)
                for label, texts in self.config.descriptions.items()
            }
            controls.append(search.run(scrambled)[1])
            alone.append(search.descriptions_alone(scrambled)["accuracy"])
            history.append({"control": float(draw), **controls[-1], "accuracy_alone": alone[-1]})
            context.progress(draw + 1, self.config.control_draws, "random words in the descriptions' place")
        found = [control["accuracy"] for control in controls]
        gain = scores["accuracy"] - float(np.mean(found))
        chosen = "chosen" if _DESCRIPTIONS in members else "not chosen"
        history.append({"without_descriptions": 1.0, **without})
        return [
            f"Descriptions were {chosen}: {scores['accuracy']:.2%} on validation with them in the pool, "
            f"{without['accuracy']:.2%} without, {np.mean(found):.2%} with random words of the same number and lengths in "
            f"their place ({len(found)} draws, {min(found):.2%} to {max(found):.2%}): what they say is worth "
            f"{100 * gain:+.2f} points.",
            f"Descriptions alone: {search.descriptions_alone(self.config.descriptions)['accuracy']:.2%}; random words in "
            f"their place alone: {np.mean(alone):.2%} ({min(alone):.2%} to {max(alone):.2%}).",
        ]


class _Search:
    """Text embeddings by sentence, kept over several searches."""

    def __init__(self, context: AdaptationContext, config: PromptSearchConfig) -> None:
        self._context, self._config = context, config
        self._labels = context.manifest.labels
        self._templates = tuple(dict.fromkeys([*context.prompts.templates, *config.templates]))
        self._names = {
            label: tuple(dict.fromkeys([*context.prompts.names(label), *config.synonyms.get(label, ())]))
            for label in self._labels
        }
        self._images = context.embeddings.of(context.validation.ids)
        self._truth = context.validation.label_indices
        self._head = TextHead(context.encoder.logit_scale, context.encoder.logit_bias)
        self._embeddings: dict[str, np.ndarray] = {}

    def run(
        self, descriptions: dict[str, tuple[str, ...]]
    ) -> tuple[dict[str, list[str]], dict[str, float], list[dict[str, float]], list[str]]:
        """The texts of each class, their figures, a row a step, and the members' names."""
        pool = [*self._templates, *([_DESCRIPTIONS] if descriptions else [])]
        names = dict(self._names)
        self._embed(
            [
                text
                for member in pool
                for label in self._labels
                for text in self._say(member, label, names[label], descriptions)
            ]
        )
        chosen: list[str] = []
        best: dict[str, float] | None = None
        history: list[dict[str, float]] = []
        while len(chosen) < min(self._config.largest, len(pool)):
            tried = {
                member: self._measure([*chosen, member], names, descriptions) for member in pool if member not in chosen
            }
            member = max(tried, key=lambda one: (tried[one]["accuracy"], -tried[one]["log_loss"]))
            if not better(tried[member], best):
                break
            chosen, best = [*chosen, member], tried[member]
            history.append({"members": float(len(chosen)), **best})
            self._context.progress(len(chosen), self._config.largest, f"accuracy={best['accuracy']:.3f} {member}")
        for label in self._labels:
            names[label], best = self._choose_names(label, chosen, names, descriptions, best)
        history.append({"members": float(len(chosen)), "names": float(sum(map(len, names.values()))), **best})
        return self._texts(chosen, names, descriptions), best, history, chosen

    def descriptions_alone(self, descriptions: dict[str, tuple[str, ...]]) -> dict[str, float]:
        """Figures of the descriptions without any template besides."""
        self._embed(
            [
                text
                for label in self._labels
                for text in self._say(_DESCRIPTIONS, label, self._names[label], descriptions)
            ]
        )
        return self._measure([_DESCRIPTIONS], self._names, descriptions)

    def _choose_names(
        self,
        label: str,
        chosen: list[str],
        names: dict[str, tuple[str, ...]],
        descriptions: dict[str, tuple[str, ...]],
        best: dict[str, float],
    ) -> tuple[tuple[str, ...], dict[str, float]]:
        """The names of one class, grown from one while that is better than all of them."""
        kept, grown = names[label], ()
        while len(names[label]) > 1 and len(grown) < len(names[label]):
            tried = {
                name: self._measure(chosen, {**names, label: (*grown, name)}, descriptions)
                for name in names[label]
                if name not in grown
            }
            name = max(tried, key=lambda one: (tried[one]["accuracy"], -tried[one]["log_loss"]))
            grown = (*grown, name)
            if better(tried[name], best):
                kept, best = grown, tried[name]
            elif len(grown) > len(kept):
                break
        return kept, best

    def _say(
        self, member: str, label: str, names: Sequence[str], descriptions: dict[str, tuple[str, ...]]
    ) -> list[str]:
        if member != _DESCRIPTIONS:
            return [member.replace("{}", name) for name in names]
        single = self._context.prompts.single.rstrip(".")
        return [f"{single.replace('{}', name)}, {text}." for name in names for text in descriptions[label]]

    def _texts(
        self, chosen: list[str], names: dict[str, tuple[str, ...]], descriptions: dict[str, tuple[str, ...]]
    ) -> dict[str, list[str]]:
        return {
            label: [text for member in chosen for text in self._say(member, label, names[label], descriptions)]
            for label in self._labels
        }

    def _embed(self, texts: list[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._embeddings]
        if new:
            self._embeddings.update(zip(new, self._context.encoder.encode_texts(new), strict=True))

    def _measure(
        self, chosen: list[str], names: dict[str, tuple[str, ...]], descriptions: dict[str, tuple[str, ...]]
    ) -> dict[str, float]:
        """Figures on the validation split of the class matrix of these texts, as `DualEncoder.class_matrix` makes it."""
        texts = self._texts(chosen, names, descriptions)
        rows = np.stack([np.mean([self._embeddings[text] for text in of_class], axis=0) for of_class in texts.values()])
        class_matrix = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
        return validation_scores(self._head.score(self._images, class_matrix), self._truth)


def vocabulary(encoder: DualEncoder) -> dict[int, list[str]]:
    """The tokenizer's whole words by their length, in order; where control descriptions come from."""
    tokens = encoder.tokenizer.get_vocab()
    ends = [token for token in tokens if token.endswith("</w>")]  # CLIP marks ends of words, others parts of them
    words = {token.removesuffix("</w>").lstrip("Ġ▁") for token in ends or tokens if not token.startswith("##")}
    by_length: dict[int, list[str]] = {}
    for word in sorted(words):
        if re.fullmatch("[a-z]+", word):
            by_length.setdefault(len(word), []).append(word)
    return by_length


def random_words(text: str, words: dict[int, list[str]], generator: np.random.Generator) -> str:
    """The text with every word replaced by a random one of the same length (random letters where there is none)."""

    def other(match: re.Match) -> str:
        known = words.get(len(match[0]))
        if known:
            return known[generator.integers(len(known))]
        return "".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), len(match[0])))

    return re.sub(r"[^\W_]+", other, text)
