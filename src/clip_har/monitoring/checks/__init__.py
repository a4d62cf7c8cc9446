"""The checks of a window against the reference, found by name."""

from __future__ import annotations

from collections.abc import Iterable

from clip_har.component import Registry
from clip_har.monitoring.checks.base import Check
from clip_har.monitoring.checks.exact import ExactCheck

_HERE = "clip_har.monitoring.checks"

CHECKS: Registry[Check] = Registry(
    "check",
    {
        "brightness": f"{_HERE}.distributions:Brightness",
        "contrast": f"{_HERE}.distributions:Contrast",
        "sharpness": f"{_HERE}.distributions:Sharpness",
        "saturation": f"{_HERE}.distributions:Saturation",
        "red": f"{_HERE}.distributions:Red",
        "green": f"{_HERE}.distributions:Green",
        "blue": f"{_HERE}.distributions:Blue",
        "aspect": f"{_HERE}.distributions:Aspect",
        "megapixels": f"{_HERE}.distributions:Megapixels",
        "bits_per_pixel": f"{_HERE}.distributions:BitsPerPixel",
        "predicted_labels": f"{_HERE}.predicted_labels:PredictedLabels",
        "out_of_vocabulary": f"{_HERE}.shares:OutOfVocabulary",
        "abstentions": f"{_HERE}.shares:Abstentions",
        "confidence": f"{_HERE}.distributions:Confidence",
        "entropy": f"{_HERE}.distributions:Entropy",
        "estimated_accuracy": f"{_HERE}.estimated_accuracy:EstimatedAccuracy",
        "embedding_classifier": f"{_HERE}.embedding_classifier:EmbeddingClassifier",
        "embedding_mmd": f"{_HERE}.embedding_mmd:EmbeddingMmd",
    },
)
"""Those whose thresholds come from disjoint pairs of the reference's pictures."""

EXACT_CHECKS: Registry[ExactCheck] = Registry(
    "check", {"errors": f"{_HERE}.exact:Errors", "accuracy": f"{_HERE}.exact:Accuracy"}
)
"""Those with an exact test of their own."""


def checks_named(names: Iterable[str] | None) -> tuple[tuple[Check, ...], tuple[ExactCheck, ...]]:
    """The checks of these names, all if there are none, in the order of the registries.

    Raises:
        ConfigError: if there is no check of a name; the message names the nearest.
    """
    from clip_har.errors import ConfigError, did_you_mean

    known = [*CHECKS, *EXACT_CHECKS]
    wanted = set(known if names is None else names)
    for name in wanted.difference(known):
        raise ConfigError(f"monitor.checks: there is no check {name!r}. {did_you_mean(name, known)}")
    return (
        tuple(CHECKS.get(name)() for name in CHECKS if name in wanted),
        tuple(EXACT_CHECKS.get(name)() for name in EXACT_CHECKS if name in wanted),
    )
