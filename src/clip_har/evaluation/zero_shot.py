"""Zero-shot of a backbone on labelled photographs: on all classes, and apart on those that pretraining never saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.evaluation.evaluate import EvaluationConfig
from clip_har.evaluation.metrics import Estimate, confusion_matrix, estimates, per_class
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import embed_manifest
from clip_har.models.head import TextHead, softmax
from clip_har.models.prompts import PromptConfig


class GroupFigures(ComponentConfig):
    """Zero-shot on the photographs of some classes.

    Attributes tell two tasks apart: choosing among these classes only, and among all.
    """

    name: str = Field(description="all, seen or unseen.")
    labels: tuple[str, ...] = Field(description="The classes.")
    samples: int = Field(description="Their photographs.")
    among_themselves: Estimate = Field(description="Accuracy when only these classes can be answered.")
    among_all: Estimate = Field(description="Accuracy when every class can be answered.")

    @property
    def chance(self) -> float:
        """Accuracy of guessing among these classes."""
        return 1 / len(self.labels)


class ZeroShotReport(ComponentConfig):
    """A backbone measured without any training on the classes."""

    labels: tuple[str, ...] = Field(description="Classes.")
    samples: int = Field(description="Photographs.")
    prompts: dict[str, tuple[str, ...]] = Field(description="The names by which each class was asked for.")
    groups: tuple[GroupFigures, ...] = Field(description="All classes; then those seen and unseen, if any is unseen.")
    metrics: dict[str, Estimate] = Field(description="Further figures on all classes.")
    confusion: tuple[tuple[int, ...], ...] = Field(description="Rows are true classes, columns predicted ones.")
    per_class: tuple[dict[str, Any], ...] = Field(description="A row a class.")

    def group(self, name: str) -> GroupFigures | None:
        """The figures of a group, None if there is no such group."""
        return next((group for group in self.groups if group.name == name), None)

    def figures(self) -> dict[str, Any]:
        """The figures alone, for `metrics.json`."""
        return {
            "samples": self.samples,
            "groups": {
                group.name: {
                    "classes": len(group.labels),
                    "samples": group.samples,
                    "chance": group.chance,
                    "among_themselves": group.among_themselves.model_dump(),
                    "among_all": group.among_all.model_dump(),
                }
                for group in self.groups
            },
            **{name: estimate.model_dump() for name, estimate in sorted(self.metrics.items())},
        }


def measure_zero_shot(
    model: ModelConfig,
    manifest: Manifest,
    prompts: PromptConfig,
    unseen: Sequence[str],
    config: EvaluationConfig,
    compute: ComputeConfig,
    *,
    limits: ImageLimits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ZeroShotReport:
    """Classify every photograph of a data set by its cosine to the classes' prompts (the ensemble of templates).

    Args:
        manifest: all of it is measured on, whatever the splits: nothing is fitted.
        unseen: labels that pretraining never saw; those that the data do not have are passed over.
    """
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    texts = prompts.texts(manifest.labels, "ensemble")
    embeddings = embed_manifest(
        manifest,
        encoder.encode_images,
        encoder.image_encoder_hash(),
        encoder.preprocessing,
        batch_size=compute.batch_size,
        limits=limits,
        progress=progress,
    )
    logits = TextHead(encoder.logit_scale, encoder.logit_bias).score(embeddings.matrix, encoder.class_matrix(texts))
    return report_of(
        logits,
        manifest.label_indices,
        manifest.labels,
        unseen,
        config,
        {label: prompts.names(label) for label in manifest.labels},
    )


def report_of(
    logits: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    unseen: Sequence[str],
    config: EvaluationConfig,
    prompts: dict[str, tuple[str, ...]],
) -> ZeroShotReport:
    """The report on logits.

    Args:
        logits: float [n, c].
        labels: int [n].
        names: the c classes.
        unseen: names of those that pretraining never saw.
    """
    new = np.array([name in unseen for name in names])
    groups = [("all", np.ones(len(names), dtype=bool))]
    if new.any() and not new.all():
        groups += [("seen", ~new), ("unseen", new)]
    whole = estimates(softmax(logits), labels, resamples=config.resamples, seed=config.seed)
    predicted = logits.argmax(axis=1)
    return ZeroShotReport(
        labels=names,
        samples=len(labels),
        prompts=prompts,
        groups=tuple(
            _group(name, chosen, logits, labels, names, config) for name, chosen in groups if chosen[labels].any()
        ),
        metrics={name: estimate for name, estimate in whole.items() if not name.startswith("weighted")},
        confusion=tuple(map(tuple, confusion_matrix(labels, predicted, len(names)).tolist())),
        per_class=tuple(per_class(softmax(logits), labels, names)),
    )


def _group(
    name: str,
    chosen: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
    config: EvaluationConfig,
) -> GroupFigures:
    rows, columns = chosen[labels], np.flatnonzero(chosen)
    alone = columns[logits[rows][:, columns].argmax(axis=1)] == labels[rows]
    among = logits[rows].argmax(axis=1) == labels[rows]
    return GroupFigures(
        name=name,
        labels=tuple(names[column] for column in columns),
        samples=int(rows.sum()),
        among_themselves=_share(alone, config),
        among_all=_share(among, config),
    )


def _share(right: np.ndarray, config: EvaluationConfig) -> Estimate:
    """Share of right answers with its 95 % percentile bootstrap interval."""
    generator = np.random.default_rng(config.seed)
    drawn = generator.integers(0, len(right), size=(config.resamples, len(right)))
    low, high = np.percentile(right[drawn].mean(axis=1), [2.5, 97.5])
    return Estimate(value=float(right.mean()), low=float(low), high=float(high))
