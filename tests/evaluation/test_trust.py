"""Promises of the calibration are measured as they are meant."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.evaluation.trust import trust_figures
from clip_har.models.abstention import AbstentionThreshold
from clip_har.models.calibration import Calibration, CalibrationConfig, calibrate
from clip_har.models.conformal import ConformalQuantiles
from clip_har.models.head import softmax

PROBABILITIES = np.float32([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
LABELS = np.array([0, 1, 0, 2])
CALIBRATION = Calibration(
    temperature=1.0,
    split="calibration",
    samples=99,
    data_hash="",
    abstention=AbstentionThreshold(precision=0.8, threshold=0.5, answered=0.5, measured=0.9),
    conformal=ConformalQuantiles(penalty=0.0, largest_free=1, coverages=(0.9,), quantiles=(0.75,)),
    coverage=0.9,
)


def test_figures_by_hand() -> None:
    found = trust_figures(PROBABILITIES, LABELS, CALIBRATION)
    # sets {0, 1}, all three, {2, 0} and {0, 1}
    assert found.covered == 0.75
    assert found.mean_set_size == pytest.approx((2 + 3 + 2 + 2) / 4)
    assert (found.answered, found.answered_precision) == (0.75, pytest.approx(1 / 3))
    assert 0 < found.covered_low <= 0.9 <= found.covered_high <= 1


def test_a_calibrated_model_keeps_its_promises() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2.5, (1600, 6)).astype(np.float32)
    labels = (softmax(logits).cumsum(axis=1) < generator.uniform(size=(1600, 1))).sum(axis=1).clip(0, 5)
    config = CalibrationConfig(precision=0.8, coverage=0.9)
    calibration = calibrate(logits[:800], labels[:800], config, split="calibration", data_hash="")
    found = trust_figures(softmax(logits[800:], calibration.temperature), labels[800:], calibration)
    assert found.covered_low <= found.covered <= found.covered_high
    assert found.covered_high - found.covered_low < 0.08
    assert found.answered_precision > 0.8 > (logits.argmax(axis=1) == labels).mean()


def test_an_older_bundle_promises_nothing() -> None:
    older = Calibration(temperature=1.0, split="calibration", samples=9, data_hash="")
    assert trust_figures(PROBABILITIES, LABELS, older).model_dump(exclude_none=True) == {}


def test_the_interval_is_of_the_coverage_whose_quantile_is_used() -> None:
    labels, probabilities = np.tile(LABELS, 50), np.tile(PROBABILITIES, (50, 1))
    between = CALIBRATION.model_copy(update={"coverage": 0.8})  # the sets of 0.9 are what there is
    asked, used = (trust_figures(probabilities, labels, given) for given in (between, CALIBRATION))
    assert (asked.covered_low, asked.covered_high) == (used.covered_low, used.covered_high)
