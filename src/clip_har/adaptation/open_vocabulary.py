"""Whether other labels still work: measured on classes that are held out of adaptation.

Zhou et al. 2022, "Conditional Prompt Learning for Vision-Language Models" (CVPR), section 4.1: a method is fitted on the
photographs of the base classes only. Base accuracy is among base classes; novel accuracy is among the novel ones, which
are scored through their texts as the Predictor scores labels of a caller's own; the harmonic mean is of the two
(Xian et al. 2017, "Zero-Shot Learning: The Good, the Bad and the Ugly", equation 4). Zero-shot gives the same figures
without adaptation, and the verdict compares with them.

What is measured is the method, not the model that is kept: that one is fitted on all classes. The test split may be
used, since nothing is chosen by these figures: methods choose their settings, and the leaderboard its winner, on
validation.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, StoredEncoders
from clip_har.component import ComponentConfig
from clip_har.data.manifest import Manifest
from clip_har.errors import ConfigError, DataError, did_you_mean
from clip_har.hashing import sha256_json
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.embeddings import preprocessing_hash
from clip_har.models.head import TextHead
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder


_FEWEST = 2  # classes of each kind: among fewer there is nothing to tell apart


class OpenVocabularyConfig(ComponentConfig):
    """Which classes are held out, and what the words mean."""

    novel_classes: tuple[str, ...] | int = Field(
        description="Classes held out of adaptation, or how many (drawn with the run's seed)."
    )
    split: Literal["validation", "test"] = Field(
        "test",
        description="Split that base and novel classes are measured on. Nothing is chosen by these figures; take "
        "validation where a person will choose by them.",
    )
    kept_within: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Novel accuracy may be so far below zero-shot's and the vocabulary still counts as kept.",
    )
    lost_below: float = Field(
        0.5,
        ge=0,
        le=1,
        description="The vocabulary counts as lost where less than this share of what zero-shot has above chance is left.",
    )

    @field_validator("novel_classes", mode="before")
    @classmethod
    def _names_or_a_number(cls, value: object) -> object:
        named = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        if not named and (not isinstance(value, int) or isinstance(value, bool)):
            raise ValueError(f"a list of classes, or a number of them, is wanted, got {value!r}")
        if (len(value) if named else value) < _FEWEST:
            raise ValueError(f"at least two classes must be held out, got {value!r}")
        twice = [name for name in value if value.count(name) > 1] if named else []
        if twice:
            raise ValueError(f"{twice[0]!r} is listed twice")
        return value


class OpenVocabularyFigures(ComponentConfig):
    """Accuracies of one method."""

    base: float = Field(ge=0, le=1, description="On photographs of base classes, among base classes.")
    novel: float = Field(ge=0, le=1, description="On photographs of novel classes, among novel classes.")

    @property
    def harmonic_mean(self) -> float:
        """2 · base · novel / (base + novel); 0 if both are."""
        return harmonic_mean(self.base, self.novel)


class OpenVocabularyReport(ComponentConfig):
    """A method beside zero-shot on base and on novel classes."""

    name: str = Field(description="The candidate's name.")
    method: str = Field(description="Its adaptation method.")
    base_classes: tuple[str, ...] = Field(description="Classes adapted to.")
    novel_classes: tuple[str, ...] = Field(description="Classes held out.")
    split: str = Field(description="Split that was measured.")
    base_samples: int = Field(description="Its photographs of base classes.")
    novel_samples: int = Field(description="Its photographs of novel classes.")
    adapted: OpenVocabularyFigures = Field(description="The method's figures.")
    zero_shot: OpenVocabularyFigures = Field(description="Zero-shot's, with the ensemble of prompts.")
    word: Literal["kept", "degraded", "lost"] = Field(description="The verdict.")

    def verdict(self) -> OpenVocabulary:
        """What a bundle says."""
        return OpenVocabulary(
            word=self.word,
            basis=f"fitted without {', '.join(self.novel_classes)}: {100 * self.adapted.novel:.1f} % among these on the "
            f"{self.split} split, zero-shot {100 * self.zero_shot.novel:.1f} %",
            novel_classes=self.novel_classes,
            base_accuracy=self.adapted.base,
            novel_accuracy=self.adapted.novel,
            harmonic_mean=self.adapted.harmonic_mean,
            split=self.split,
            base_samples=self.base_samples,
            novel_samples=self.novel_samples,
            zero_shot_base_accuracy=self.zero_shot.base,
            zero_shot_novel_accuracy=self.zero_shot.novel,
            zero_shot_harmonic_mean=self.zero_shot.harmonic_mean,
        )


def harmonic_mean(first: float, second: float) -> float:
    """2 · first · second / (first + second); 0 if both are."""
    return 2 * first * second / (first + second) if first + second else 0.0


def novel_labels(labels: Sequence[str], novel_classes: Sequence[str] | int, seed: int) -> tuple[str, ...]:
    """The labels held out, in the order of `labels`.

    Raises:
        ConfigError: if one is unknown, or fewer than two would remain on either side.
    """
    if isinstance(novel_classes, int):
        drawn = np.random.default_rng(seed).permutation(len(labels))[:novel_classes]
        chosen = {labels[number] for number in drawn}
    else:
        chosen = set(novel_classes)
        for label in novel_classes:
            if label not in labels:
                raise ConfigError(f"adaptation.novel_classes: unknown label {label!r}. {did_you_mean(label, labels)}")
    if len(chosen) < _FEWEST or len(labels) - len(chosen) < _FEWEST:
        raise ConfigError(
            f"adaptation.novel_classes: at least two classes must be held out and two must remain; of {len(labels)} "
            f"classes, {len(chosen)} would be held out."
        )
    return tuple(label for label in labels if label in chosen)


def hold_out(manifest: Manifest, config: OpenVocabularyConfig, seed: int) -> tuple[str, ...]:
    """The classes of these data that are held out; called before anything is fitted.

    Raises:
        ConfigError: as `novel_labels`.
        DataError: if one of the two kinds of classes has no photograph in the split that is measured.
    """
    novel = novel_labels(manifest.labels, config.novel_classes, seed)
    held_out = manifest.split(config.split).frame["label"].isin(novel)
    for kind, number in (("novel", held_out.sum()), ("other", (~held_out).sum())):
        if not number:
            raise DataError(
                f"adaptation.novel_classes: the {config.split} split has no photograph of the {kind} classes; name others "
                f"than {', '.join(novel)}."
            )
    return novel


def measure_open_vocabulary(
    method: AdaptationMethod,
    context: AdaptationContext,
    config: OpenVocabularyConfig,
    name: str,
    split: str = "test",
) -> OpenVocabularyReport:
    """Fit a method on the base classes only, and measure it and zero-shot on both kinds.

    Args:
        method: built from its config; one for the base classes is made of it.
        context: of all classes; its encoder may be changed by the fit.
        split: what is measured on. The method chooses its settings on the validation split's base classes.
    """
    novel = hold_out(context.manifest, config.model_copy(update={"split": split}), context.seed)
    base = tuple(label for label in context.manifest.labels if label not in novel)
    base_context = restricted(context, base)
    measured = {labels: _of_classes(context.manifest, labels).split(split) for labels in (base, novel)}
    prompts = {labels: _prompts_for(context.prompts, labels).texts(labels, "ensemble") for labels in (base, novel)}
    unchanged = {labels: context.encoder.class_matrix(texts) for labels, texts in prompts.items()}
    head = TextHead(context.encoder.logit_scale, context.encoder.logit_bias)

    def zero_shot(labels: tuple[str, ...]) -> float:
        images = context.embeddings.of(measured[labels].ids)
        return _accuracy(head.score(images, unchanged[labels]), measured[labels])

    plain = OpenVocabularyFigures(base=zero_shot(base), novel=zero_shot(novel))
    adapted = type(method)(method.config.restricted_to(base)).adapt(base_context, name)
    encoder = _encoder_after(adapted, context)
    images = {labels: _embed(part, encoder, context) for labels, part in measured.items()}
    text_head = TextHead(encoder.logit_scale, encoder.logit_bias)
    figures = OpenVocabularyFigures(
        base=_accuracy(adapted.head.score(images[base], adapted.class_matrix), measured[base]),
        novel=_accuracy(text_head.score(images[novel], encoder.class_matrix(prompts[novel])), measured[novel]),
    )
    return OpenVocabularyReport(
        name=name,
        method=method.config.method,
        base_classes=base,
        novel_classes=novel,
        split=split,
        base_samples=len(measured[base]),
        novel_samples=len(measured[novel]),
        adapted=figures,
        zero_shot=plain,
        word=judge(figures.novel, plain.novel, len(novel), config),
    )


def judge(
    novel: float, zero_shot: float, classes: int, config: OpenVocabularyConfig
) -> Literal["kept", "degraded", "lost"]:
    """The verdict on a novel accuracy beside zero-shot's, both among so many classes."""
    if novel >= zero_shot - config.kept_within:
        return "kept"
    chance = 1 / classes
    return "lost" if novel - chance < config.lost_below * (zero_shot - chance) else "degraded"


def restricted(context: AdaptationContext, labels: tuple[str, ...]) -> AdaptationContext:
    """The context of these classes only; a fit on them is another than the one on all, and so is its key."""
    return replace(
        context,
        manifest=_of_classes(context.manifest, labels),
        prompts=_prompts_for(context.prompts, labels),
        key=sha256_json([context.key, list(labels)]) if context.key else "",
    )


def _of_classes(manifest: Manifest, labels: tuple[str, ...]) -> Manifest:
    kept = manifest.frame[manifest.frame["label"].isin(labels)]
    return replace(manifest, frame=kept.reset_index(drop=True), labels=labels)


def _prompts_for(prompts: PromptConfig, labels: Collection[str]) -> PromptConfig:
    names = {label: said for label, said in prompts.class_names.items() if label in labels}
    return prompts.model_copy(update={"class_names": names})


def _encoder_after(adapted: AdaptedModel, context: AdaptationContext) -> DualEncoder:
    if adapted.encoder is None:
        return context.encoder
    assert not isinstance(adapted.encoder, StoredEncoders)  # it was made a moment ago, in memory
    return adapted.encoder


def _embed(part: Manifest, encoder: DualEncoder, context: AdaptationContext) -> np.ndarray:
    """float32 [n, d]: cached embeddings where the image encoder is the one they are of."""
    encoder_hash = encoder.image_encoder_hash()
    if (encoder_hash, preprocessing_hash(encoder.preprocessing)) == context.embeddings.key:
        return context.embeddings.of(part.ids)
    made = (context.embedding_cache or EmbeddingCache.none()).embed(
        part,
        encoder,
        batch_size=context.compute.batch_size,
        limits=context.limits,
        pixels=context.cache,
        progress=lambda done, total: context.progress(done, total, "base and novel classes"),
    )
    return made.matrix


def _accuracy(logits: np.ndarray, part: Manifest) -> float:
    return float((logits.argmax(axis=1) == part.label_indices).mean())
