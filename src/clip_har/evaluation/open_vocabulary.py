"""Base and novel classes of each method beside zero-shot's: for the report, and for `metrics.json`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from clip_har.models.bundle import OpenVocabulary

BASELINE = "zero_shot"
_KINDS = {"base": "base_accuracy", "novel": "novel_accuracy", "harmonic_mean": "harmonic_mean"}
_Z = 1.959964  # of 95 %


def open_vocabulary_figures(named: Mapping[str, OpenVocabulary]) -> dict[str, Any] | None:
    """The figures alone: no times, no ids; None if nothing was measured.

    Args:
        named: name of each method → what its bundle says, all measured on the same photographs.
    """
    measured = _measured(named)
    if not measured:
        return None
    first = next(iter(measured.values()))
    return {
        "split": first.split,
        "novel_classes": list(first.novel_classes),
        "base_samples": first.base_samples,
        "novel_samples": first.novel_samples,
        "zero_shot": _values(first, "zero_shot_"),
        "methods": {name: {**_values(said), "word": said.word} for name, said in measured.items()},
    }


def open_vocabulary_section(named: Mapping[str, OpenVocabulary]) -> dict[str, Any] | None:
    """What the report shows: a row a method in the order given, zero-shot first; None if nothing was measured.

    Each row has `name`, `word` (None for the baseline), and for each kind `value`, `low` and `high` of its 95 % interval
    (None for the harmonic mean) and `gain` over zero-shot.
    """
    figures = open_vocabulary_figures(named)
    if figures is None:
        return None
    samples = {"base": figures["base_samples"], "novel": figures["novel_samples"]}
    baseline = figures["zero_shot"]
    rows = [
        _row(name, {kind: values[kind] for kind in _KINDS}, values["word"], samples, baseline)
        for name, values in figures["methods"].items()
    ]
    same = [row for row in rows if row["name"] == BASELINE and all(part["gain"] == 0 for part in row["kinds"].values())]
    if same:  # the candidate is the baseline
        rows.remove(same[0])
    first = _row(BASELINE, baseline, same[0]["word"] if same else None, samples, baseline)
    return {**figures, "rows": [first | {"baseline": True}, *rows]}


def wilson_interval(share: float, samples: int) -> tuple[float, float]:
    """95 % interval of a share among so many samples (Wilson 1927, "Probable Inference, the Law of Succession, and
    Statistical Inference")."""
    spread = _Z**2 / samples
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _measured(named: Mapping[str, OpenVocabulary]) -> dict[str, OpenVocabulary]:
    return {name: said for name, said in named.items() if said.measured}


def _values(said: OpenVocabulary, whose: str = "") -> dict[str, float]:
    return {kind: getattr(said, f"{whose}{field}") for kind, field in _KINDS.items()}


def _row(
    name: str, values: Mapping[str, float], word: str | None, samples: Mapping[str, int], baseline: Mapping[str, float]
) -> dict[str, Any]:
    kinds = {}
    for kind, value in values.items():
        low, high = wilson_interval(value, samples[kind]) if kind in samples else (None, None)
        kinds[kind] = {"value": value, "low": low, "high": high, "gain": value - baseline[kind]}
    return {"name": name, "word": word, "kinds": kinds, "baseline": False}
