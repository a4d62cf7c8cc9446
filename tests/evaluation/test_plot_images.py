"""PNG files of a run's main plots, for experiment trackers."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from clip_har.evaluation.evaluate import EvaluationReport
from clip_har.evaluation.plot_images import plot_images
from tests.evaluation.test_plot_data import board, report

CURVE = [{"step": 0, "accuracy": 0.1, "log_loss": 2.0}, {"step": 5, "accuracy": 0.2, "log_loss": 1.0}]
BINS = [
    {"low": 0.4, "high": 0.6, "count": 3, "confidence": 0.5, "accuracy": 0.4},
    {"low": 0.6, "high": 1.0, "count": 0},
]


def measured(**changes: object) -> EvaluationReport:
    bins = {"ece": 0.1, "bins": BINS}
    return report().model_copy(update={"uncalibrated": bins, "calibrated": bins} | changes)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_what_is_measured_alone_has_two() -> None:
    images = plot_images(measured())
    assert list(images) == ["confusion", "reliability"]
    assert all(pixels(png).std() > 0 for png in images.values())


def test_each_trained_candidate_has_its_curves() -> None:
    several = [{"ratio": ratio, **row} for ratio in (0.2, 0.8) for row in CURVE]
    tried = [{"inverse_strength": value, "accuracy": 0.3, "log_loss": 1.5} for value in (0.1, 1.0)]
    histories = {
        "lora": CURVE,
        "adapter": several,
        "probe": tried,
        "one": CURVE[:1],
        "zero_shot": [],
        "mixed": tried + CURVE,
    }
    images = plot_images(measured(), board(), histories)
    curves = ["lora/curves", "adapter/curves", "probe/curves", "mixed/curves"]
    assert list(images) == ["confusion", "reliability", "leaderboard", *curves]
    heights = {name: pixels(images[name]).shape[0] for name in curves}
    assert heights["mixed/curves"] > 1.5 * heights["lora/curves"], "settings and training have rows of their own"


@pytest.mark.parametrize("change", ["confusion", "metrics"])
def test_the_pictures_show_the_figures(change: str) -> None:
    before, after = plot_images(measured(), board()), {}
    if change == "confusion":
        after = plot_images(measured(confusion=((0, 3), (3, 0))), board())
    else:
        worse = {"accuracy": board().rows[0].metrics["accuracy"].model_copy(update={"value": 0.3})}
        rows = (board().rows[0].model_copy(update={"metrics": worse}), *board().rows[1:])
        after = plot_images(measured(), board().model_copy(update={"rows": rows}))
    changed = [name for name in before if before[name] != after[name]]
    assert changed == [{"confusion": "confusion", "metrics": "leaderboard"}[change]]


def test_equal_results_give_equal_bytes_and_many_classes_fit() -> None:
    assert plot_images(measured(), board(), {"lora": CURVE}) == plot_images(measured(), board(), {"lora": CURVE})
    many = tuple(f"class {number}" for number in range(100))
    shown = pixels(
        plot_images(measured(labels=many, confusion=tuple(map(tuple, np.eye(100, dtype=int).tolist()))))["confusion"]
    )
    assert max(shown.shape) < 2000
