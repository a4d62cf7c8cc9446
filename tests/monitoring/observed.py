"""Pictures as they might have been observed: Gaussian clusters on the sphere, a class each, and a model that knows them well."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip_har.monitoring.observations import IMAGE_FIGURES, Observations

MODEL_ID, ENCODER_HASH = "a" * 64, "e" * 64
START = 1_780_000_000.0  # a moment in 2026
LABELS = ("running", "sitting", "eating", "sleeping", "cycling", "dancing", "reading", "cooking")
_MEANS = {
    **{"brightness": 0.45, "contrast": 0.22, "sharpness": 0.08, "saturation": 0.35, "red": 0.47, "green": 0.45},
    **{"blue": 0.42, "aspect": 1.4, "megapixels": 0.06, "bits_per_pixel": 1.8},
}
_SPREADS = {
    **{"brightness": 0.11, "contrast": 0.05, "sharpness": 0.025, "saturation": 0.12, "red": 0.12, "green": 0.11},
    **{"blue": 0.12, "aspect": 0.25, "megapixels": 0.015, "bits_per_pixel": 0.5},
}


def observations(
    count: int = 200,
    seed: int = 0,
    *,
    classes: int = 6,
    dimensions: int = 16,
    spread: float = 1.2,
    mix: Sequence[float] | None = None,
    figures: dict[str, float] | None = None,
    darker: float = 0.0,
    strange: float = 0.0,
    moved: float = 0.0,
    accuracy: float | None = None,
    labelled: float = 1.0,
    errors: dict[str, int] | None = None,
    start: float | None = START,
    seconds: float = 60.0,
    detailed: bool = True,
) -> Observations:
    """Pictures of one world: all calls draw from the same clusters, another seed gives other pictures.

    Args:
        count: pictures.
        classes, dimensions: of the world (another world for others).
        spread: of a cluster around its centre, in all its dimensions together; more makes pictures harder.
        mix: shares of the classes; all alike if not given.
        figures: name in IMAGE_FIGURES → shift of its mean, in standard deviations.
        darker: fall of the brightness (and red, green and blue), in standard deviations.
        strange: share of pictures from a cluster that is none of the classes'.
        moved: how far all embeddings are moved in a direction of no class, in spreads.
        accuracy: share of right answers; as the model is if not given. Others get a wrong truth: the model is overconfident.
        labelled: share of pictures whose truth is known.
        errors: reason → pictures refused.
        start, seconds: time of the first picture, None for no times; and from one to the next.
        detailed: without, no embeddings, probabilities, figures: as from a short table.
    """
    world, generator = np.random.default_rng([classes, dimensions]), np.random.default_rng([seed, 1])
    centres = _normalised(world.normal(size=(classes + 2, dimensions)))
    truth = generator.choice(classes, count, p=None if mix is None else np.asarray(mix) / np.sum(mix))
    is_strange = generator.random(count) < strange
    embeddings = centres[np.where(is_strange, classes, truth)]
    noise = generator.normal(size=(count, dimensions)) * (spread / dimensions**0.5)
    embeddings = _normalised(embeddings + noise + moved * spread * centres[classes + 1])
    # The posterior of a Gaussian mixture is a softmax of the dot products, over the variance: this model is calibrated.
    logits = (embeddings @ centres[:classes].T) * (1 + spread**2) ** 0.5 * dimensions / spread**2
    probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    if accuracy is not None:
        right = generator.random(count) < accuracy
        truth = np.where(right, predicted, (predicted + 1 + generator.integers(classes - 1, size=count)) % classes)
    truth = np.where(is_strange | (generator.random(count) >= labelled), -1, truth)
    shifts = dict.fromkeys(("brightness", "red", "green", "blue"), -darker) | (figures or {})
    light = generator.normal(size=count)  # brightness and colours go together
    measured = {}
    for name in IMAGE_FIGURES:
        own = generator.normal(size=count)
        drawn = 0.9 * light + 0.44 * own if name in ("brightness", "red", "green", "blue") else own
        measured[name] = (_MEANS[name] + _SPREADS[name] * (drawn + shifts.get(name, 0.0))).astype(np.float32)
    return Observations(
        model_id=MODEL_ID,
        encoder_hash=ENCODER_HASH,
        labels=LABELS[:classes] if classes <= len(LABELS) else tuple(f"action {number}" for number in range(classes)),
        ids=tuple(f"{seed:08x}{number:024x}" for number in range(count)),
        predicted=predicted,
        confidence=confidence,
        abstained=confidence < 0.5,
        embeddings=embeddings.astype(np.float32) if detailed else None,
        probabilities=probabilities if detailed else None,
        figures=measured if detailed else {},
        times=None if start is None else start + seconds * np.arange(count, dtype=np.float64),
        truth=truth if labelled > 0 else None,
        errors=dict(errors or {}),
        source="synthetic",
    )


def _normalised(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
