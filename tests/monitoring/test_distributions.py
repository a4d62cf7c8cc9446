"""Distributions for the page's drawings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clip_har.monitoring.distributions import BINS, with_distributions
from clip_har.monitoring.report import CheckResult, Distribution
from tests.monitoring.observed import observations
from tests.monitoring.reported import drift_report

REFERENCE = observations(600, 0)


def of(window, *names: str) -> dict[str, Distribution | None]:
    checks = tuple(CheckResult(name=name, title=name, kind="image", verdict="ok") for name in names)
    report = drift_report(window).model_copy(update={"checks": checks})
    return {check.name: check.distribution for check in with_distributions(report, REFERENCE, window).checks}


def mean(found: Distribution, shares: tuple[float, ...]) -> float:
    edges = np.array(found.edges)
    return float(np.average((edges[1:] + edges[:-1]) / 2, weights=shares))


def test_bins_are_shared_and_hold_every_picture():
    window = observations(400, 1, darker=1.5)
    found = of(window, "brightness")["brightness"]
    assert len(found.edges) == BINS + 1
    assert len(found.reference) == len(found.current) == BINS
    assert sum(found.reference) == pytest.approx(1, abs=1e-3)
    assert sum(found.current) == pytest.approx(1, abs=1e-3)
    fall = mean(found, found.reference) - mean(found, found.current)
    assert fall == pytest.approx(REFERENCE.figures["brightness"].mean() - window.figures["brightness"].mean(), abs=0.01)


def test_what_a_side_lacks_has_none_and_nan_is_left_out():
    window = observations(200, 1)
    half = np.where(np.arange(200) < 100, np.nan, window.figures["aspect"])
    holed = replace(window, figures=window.figures | {"aspect": half, "red": np.full(200, np.nan)}, probabilities=None)
    found = of(holed, "aspect", "red", "entropy", "errors", "confidence")
    assert sum(found["aspect"].current) == pytest.approx(1, abs=1e-3)
    assert found["red"] is found["entropy"] is found["errors"] is None
    assert found["confidence"] is not None
    constant = replace(window, figures=window.figures | {"aspect": np.full(200, 1.0)})
    assert sum(of(constant, "aspect")["aspect"].current) == pytest.approx(1, abs=1e-3)


def test_labels_are_bars_the_most_changed_first():
    window = observations(400, 1, mix=(8, 1, 1, 1, 1, 1))
    found = of(window, "predicted_labels")["predicted_labels"]
    assert found.labels[0] == window.labels[0]
    assert found.current[0] > 2 * found.reference[0]
    assert sum(found.current) == pytest.approx(1, abs=1e-3)
    assert not found.edges


def test_many_labels_become_one_bar_of_others():
    reference, window = observations(600, 0, classes=20), observations(400, 1, classes=20)
    check = CheckResult(name="predicted_labels", title="", kind="labels", verdict="ok")
    report = drift_report(window).model_copy(update={"checks": (check,)})
    found = with_distributions(report, reference, window).checks[0].distribution
    assert len(found.labels) == 15
    assert found.labels[-1] == "6 others"
    assert sum(found.reference) == pytest.approx(1, abs=1e-3)


def test_strange_pictures_are_farther_and_no_picture_is_its_own_neighbour():
    found = of(observations(300, 1, strange=0.5), "out_of_vocabulary")["out_of_vocabulary"]
    assert mean(found, found.current) > 1.2 * mean(found, found.reference)
    same = of(REFERENCE, "out_of_vocabulary")["out_of_vocabulary"]
    # The reference beside itself: as a window its pictures find themselves, as the reference they do not.
    assert mean(same, same.reference) > 1.05 * mean(same, same.current)


def test_a_check_that_was_not_made_has_none():
    checks = (CheckResult(name="brightness", title="", kind="image", verdict="not checked"),)
    report = drift_report(REFERENCE).model_copy(update={"checks": checks})
    assert with_distributions(report, REFERENCE, REFERENCE).checks[0].distribution is None
