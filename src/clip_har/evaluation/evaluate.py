"""A bundle measured on a split: everything that the report shows, as data."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits, decode_image
from clip_har.data.manifest import Manifest
from clip_har.errors import did_you_mean
from clip_har.evaluation.metrics import (
    Estimate,
    confusion_matrix,
    difference,
    estimates,
    per_class,
    precision_recall_curve,
    reliability,
)
from clip_har.evaluation.trust import TrustFigures, trust_figures
from clip_har.inference.predictor import Predictor
from clip_har.inference.runtimes import RUNTIMES
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.calibration import Calibration
from clip_har.models.embeddings import EmbeddingSet, embed_manifest
from clip_har.models.head import ClassHead, softmax

ZERO_SHOT = "zero_shot"
_THUMBNAIL = 200


class EvaluationConfig(ComponentConfig):
    """How a model is measured."""

    split: Literal["train", "validation", "calibration", "test"] = Field("test", description="Split to measure on.")
    resamples: int = Field(2000, ge=100, description="Bootstrap samples behind each interval.")
    runtime: str = Field(
        "torch",
        description="What encodes the photographs: torch, the model itself; or a form that `deploy` made, like onnx-int8.",
    )
    examples: int = Field(12, ge=0, le=100, description="Most confident right, and wrong, predictions to show.")
    seed: int = Field(0, description="Of the bootstrap.")

    @field_validator("runtime")
    @classmethod
    def _runtime_is_known(cls, value: str) -> str:
        if value not in RUNTIMES:
            raise ValueError(f"there is no runtime {value!r}. {did_you_mean(value, RUNTIMES)}")
        return value


class Example(ComponentConfig):
    """One photograph and what the model said of it."""

    id: str = Field(description="Sample id.")
    label: str = Field(description="True class.")
    predicted: str = Field(description="Winning class.")
    confidence: float = Field(description="Its probability.")
    picture: str = Field(description="Small JPEG as a data URI.")


class Baseline(ComponentConfig):
    """Another model on the same photographs."""

    name: str = Field(description="Its name.")
    metrics: dict[str, Estimate] = Field(description="Its figures.")
    gain: Estimate = Field(description="Paired difference of accuracy: the measured model minus this one.")


EVALUATION_FILE = "evaluation.json"
"""What an `EvaluationReport` is stored as, with an artifact and with a run."""


class EvaluationReport(ComponentConfig):
    """A model measured on a split."""

    model_id: str = Field(description="Model id of the bundle.")
    method: str = Field(description="Its adaptation method.")
    labels: tuple[str, ...] = Field(description="Classes.")
    split: str = Field(description="Split that was measured on.")
    samples: int = Field(description="Photographs in it.")
    runtime: str = Field("torch", description="What encoded them.")
    metrics: dict[str, Estimate] = Field(description="Figures with 95 % intervals.")
    confusion: tuple[tuple[int, ...], ...] = Field(description="Rows are true classes, columns predicted ones.")
    per_class: tuple[dict[str, Any], ...] = Field(description="A row a class.")
    curves: dict[str, dict[str, list[float]]] = Field(description="Precision–recall curve of each class.")
    temperature: float = Field(description="Temperature of the calibration.")
    uncalibrated: dict[str, Any] = Field(description="Reliability before the temperature.")
    calibrated: dict[str, Any] = Field(description="Reliability with it.")
    trust: TrustFigures | None = Field(
        None, description="Label sets and abstention, as the bundle's calibration has them."
    )
    baseline: Baseline | None = Field(None, description="Zero-shot on the same photographs.")
    right: tuple[Example, ...] = Field(description="Most confident right predictions.")
    wrong: tuple[Example, ...] = Field(description="Most confident wrong predictions.")

    def figures(self) -> dict[str, Any]:
        """The figures alone, for `metrics.json`: no times, no ids."""
        return {
            "split": self.split,
            "samples": self.samples,
            "method": self.method,
            **({"runtime": self.runtime} if self.runtime != "torch" else {}),
            **{name: estimate.model_dump() for name, estimate in sorted(self.metrics.items())},
            "calibration": {
                "temperature": self.temperature,
                "ece_before": self.uncalibrated["ece"],
                "ece_after": self.calibrated["ece"],
            },
            **({"trust": self.trust.model_dump()} if self.trust else {}),
            "per_class": {
                row["label"]: {key: row[key] for key in ("precision", "recall", "f1")} for row in self.per_class
            },
            **({"zero_shot": _baseline_figures(self.baseline)} if self.baseline else {}),
        }


def _baseline_figures(baseline: Baseline) -> dict[str, Any]:
    figures = {name: estimate.model_dump() for name, estimate in sorted(baseline.metrics.items())}
    return figures | {"gain": baseline.gain.model_dump()}


def evaluate(
    *,
    model_id: str,
    method: str,
    manifest: Manifest,
    probabilities: np.ndarray,
    uncalibrated: np.ndarray,
    temperature: float,
    config: EvaluationConfig,
    baseline: tuple[str, np.ndarray] | None = None,
    calibration: Calibration | None = None,
) -> EvaluationReport:
    """Measure predictions on a split.

    Args:
        manifest: the split's samples.
        probabilities: [n, c], calibrated.
        uncalibrated: [n, c], without the temperature.
        baseline: name and probabilities [n, c] of a model to compare with.
        calibration: of the bundle, for label sets and abstention.
    """
    labels, names = manifest.label_indices, manifest.labels
    predicted = probabilities.argmax(axis=1)
    options = {"resamples": config.resamples, "seed": config.seed}
    compared = None
    if baseline is not None:
        compared = Baseline(
            name=baseline[0],
            metrics=estimates(baseline[1], labels, **options),
            gain=difference(baseline[1].argmax(axis=1), predicted, labels, **options),
        )
    correct = predicted == labels
    return EvaluationReport(
        model_id=model_id,
        method=method,
        labels=names,
        split=config.split,
        samples=len(labels),
        runtime=config.runtime,
        metrics=estimates(probabilities, labels, **options),
        confusion=tuple(map(tuple, confusion_matrix(labels, predicted, len(names)).tolist())),
        per_class=tuple(per_class(probabilities, labels, names)),
        curves={
            name: precision_recall_curve(probabilities[:, index], labels == index)
            for index, name in enumerate(names)
            if (labels == index).any()
        },
        temperature=temperature,
        uncalibrated=reliability(uncalibrated, labels),
        calibrated=reliability(probabilities, labels),
        trust=None if calibration is None else trust_figures(probabilities, labels, calibration),
        baseline=compared,
        right=_examples(manifest, probabilities, np.flatnonzero(correct), config.examples),
        wrong=_examples(manifest, probabilities, np.flatnonzero(~correct), config.examples),
    )


def evaluate_bundle(
    bundle: ModelBundle,
    manifest: Manifest,
    config: EvaluationConfig,
    compute: ComputeConfig,
    *,
    embeddings: EmbeddingSet | None = None,
    zero_shot: tuple[ClassHead, np.ndarray] | None = None,
    limits: ImageLimits | None = None,
    progress: Callable[[int, int], None] | None = None,
    embed: Callable[[Manifest, Predictor], EmbeddingSet | None] | None = None,
) -> EvaluationReport:
    """Measure a bundle on a split of a data set, through the Predictor.

    Args:
        manifest: the data set, split; its classes must be known to the bundle.
        embeddings: of the backbone's image encoder: used for the bundle where it has the same, and for zero-shot.
        zero_shot: the backbone's head and class matrix to compare with; if not given, the bundle's own where its
            encoders were not changed.
        embed: gives what the Predictor's runtime makes of the samples, for example from a cache, or None if it cannot.

    Raises:
        DataError: if the data have classes that the bundle does not know.
    """
    predictor = Predictor.load(
        bundle, config.runtime, device=compute.device, batch_size=compute.batch_size, limits=limits
    )
    samples = manifest.in_the_order_of(bundle.labels).split(config.split)
    if embeddings is not None and embeddings.key == predictor.encoder_key:
        measured = embeddings.of(samples.ids)
    elif embed is not None and (known := embed(samples, predictor)) is not None:
        measured = known.of(samples.ids)
    else:
        measured = embed_manifest(
            samples,
            predictor.runtime.encode,
            bundle.info.encoder_hash,
            predictor.preprocessing,
            batch_size=compute.batch_size,
            limits=limits,
            progress=progress,
        ).matrix
    baseline = None
    if zero_shot is not None and embeddings is not None:
        baseline = zero_shot[0].score(embeddings.of(samples.ids), zero_shot[1])
    elif predictor.encoders_unchanged and bundle.info.method != ZERO_SHOT:
        baseline = predictor.text_head.score(measured, bundle.class_matrix)
    return evaluate(
        model_id=bundle.model_id,
        method=bundle.info.method,
        manifest=samples,
        probabilities=predictor.score_embeddings(measured),
        uncalibrated=softmax(predictor.logits(measured)),
        temperature=bundle.calibration.temperature,
        config=config,
        baseline=None if baseline is None else (ZERO_SHOT, softmax(baseline)),
        calibration=bundle.calibration,
    )


def _examples(manifest: Manifest, probabilities: np.ndarray, chosen: np.ndarray, number: int) -> tuple[Example, ...]:
    """The most confident of the chosen samples, at most two of one true class so that many classes are seen."""
    confidence = probabilities.max(axis=1)
    paths: Sequence[Path] = manifest.paths
    shown: list[Example] = []
    seen: dict[int, int] = {}
    for index in sorted(chosen.tolist(), key=lambda index: (-confidence[index], index)):
        truth = int(manifest.label_indices[index])
        if len(shown) == number or seen.get(truth, 0) == 2:
            continue
        seen[truth] = seen.get(truth, 0) + 1
        shown.append(
            Example(
                id=manifest.ids[index],
                label=manifest.labels[truth],
                predicted=manifest.labels[int(probabilities[index].argmax())],
                confidence=float(confidence[index]),
                picture=thumbnail(paths[index]),
            )
        )
    return tuple(shown)


def thumbnail(path: Path, size: int = _THUMBNAIL) -> str:
    """A small JPEG of a photograph as a data URI; at most `size` pixels a side."""
    image = decode_image(path, reduce_above=size).image.copy()
    image.thumbnail((size, size))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
