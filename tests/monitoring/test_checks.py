"""Statistics of the checks: each against a plain computation of the same, by another library where there is one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom, fisher_exact, ks_2samp
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from clip_har.errors import ConfigError
from clip_har.monitoring.checks import CHECKS, EXACT_CHECKS, checks_named
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.distributions import kolmogorov_smirnov
from clip_har.monitoring.checks.embedding_classifier import areas, discriminant_scores
from clip_har.monitoring.checks.exact import Accuracy, Errors
from clip_har.monitoring.checks.pool import Pool, entropy, joined
from clip_har.monitoring.checks.shares import strange_count
from clip_har.monitoring.config import MonitorConfig, ProfileConfig
from clip_har.monitoring.thresholds import statistics_of
from tests.monitoring.observed import observations

CONFIG = ProfileConfig(components=6, neighbours=3)
# Name of a check → what makes it larger than chance.
DRIFTS = {
    **{name: {"figures": {name: 1.5}} for name in CHECKS if CHECKS.get(name).kind == "image"},
    "predicted_labels": {"mix": (6, 1, 1, 1, 1, 1)},
    "out_of_vocabulary": {"strange": 0.5},
    **{name: {"spread": 2.5} for name in ("abstentions", "confidence", "entropy", "estimated_accuracy")},
    **{name: {"moved": 0.6} for name in ("embedding_classifier", "embedding_mmd")},
}


@pytest.fixture(scope="module")
def pool() -> Pool:
    """160 pictures of one world."""
    return Pool(observations(160, 3, spread=1.6), CONFIG)


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """bool [5, 160]: windows of 45 pictures."""
    generator = np.random.default_rng(1)
    return np.stack([np.isin(np.arange(160), generator.permutation(160)[:45]) for _ in range(5)])


def of(name: str, pool: Pool, windows: np.ndarray) -> np.ndarray:
    return CHECKS.get(name)().statistics(pool, windows)


@pytest.mark.parametrize("decimals", [6, 1])
def test_the_distance_of_distributions_is_scipys_with_and_without_ties(decimals, windows):
    values = np.random.default_rng(0).normal(size=160).round(decimals).astype(np.float32)
    wanted = [ks_2samp(values[window], values[~window], method="asymp").statistic for window in windows]
    np.testing.assert_allclose(kolmogorov_smirnov(values, windows), wanted, atol=1e-12)


def test_what_is_not_known_of_a_picture_is_in_neither_distribution(windows):
    values = np.random.default_rng(0).normal(size=160)
    values[::7] = np.nan
    known = np.isfinite(values)
    wanted = [ks_2samp(values[window & known], values[~window & known], method="asymp").statistic for window in windows]
    np.testing.assert_allclose(kolmogorov_smirnov(values, windows), wanted, atol=1e-12)
    assert np.isnan(kolmogorov_smirnov(np.full(160, np.nan), windows)).all()


@pytest.mark.parametrize("decimals", [9, 0])
def test_the_area_under_the_curve_is_sklearns(decimals, windows):
    scores = np.random.default_rng(0).normal(size=windows.shape).round(decimals)
    wanted = [roc_auc_score(window, row) for window, row in zip(windows, scores, strict=True)]
    np.testing.assert_allclose(areas(scores, windows), wanted, atol=1e-12)


def test_each_picture_is_scored_by_a_discriminant_that_was_fitted_without_it(pool, windows):
    coordinates, _ = pool.components
    np.testing.assert_allclose(coordinates.T @ coordinates, np.eye(6), atol=1e-5)
    window = windows[0]
    targets = window - window.mean()
    wanted = []
    for row in range(len(window)):
        others = np.arange(len(window)) != row
        weights = np.linalg.lstsq(coordinates[others], targets[others], rcond=None)[0]
        wanted.append(coordinates[row] @ weights)
    np.testing.assert_allclose(discriminant_scores(pool, windows)[0], wanted, atol=1e-6)


def test_the_discrepancy_is_the_plain_double_sum(pool, windows):
    embeddings = pool.observations.embeddings.astype(np.float64)
    squared = ((embeddings[:, None] - embeddings[None]) ** 2).sum(-1)
    scale = np.median(squared[~np.eye(160, dtype=bool)])
    kernel = np.exp(-squared / scale)
    np.fill_diagonal(kernel, 0)
    wanted = []
    for window in windows:
        w, r = window.sum(), (~window).sum()
        within = kernel[window][:, window].sum() / (w * (w - 1)) + kernel[~window][:, ~window].sum() / (r * (r - 1))
        wanted.append(within - 2 * kernel[window][:, ~window].mean())
    np.testing.assert_allclose(of("embedding_mmd", pool, windows), wanted, atol=5e-5)
    assert np.corrcoef(of("embedding_mmd", pool, windows), wanted)[0, 1] > 0.9999


def test_the_divergence_of_labels_is_scipys(pool, windows):
    predicted = pool.observations.predicted
    wanted = [
        jensenshannon(np.bincount(predicted[window], minlength=6), np.bincount(predicted[~window], minlength=6), 2) ** 2
        for window in windows
    ]
    np.testing.assert_allclose(of("predicted_labels", pool, windows), wanted, atol=1e-9)


def test_abstentions_are_fishers_exact_test(pool, windows):
    abstained = pool.observations.abstained
    wanted = [
        -np.log10(
            fisher_exact([[part.sum(), (~part).sum()] for part in (abstained[window], abstained[~window])], "greater")[
                1
            ]
        )
        for window in windows
    ]
    assert abstained.sum() >= 4
    np.testing.assert_allclose(of("abstentions", pool, windows), wanted, atol=1e-9)


def test_strange_pictures_are_those_beyond_a_quantile_of_the_references_own_distances(pool, windows):
    embeddings, wanted = pool.observations.embeddings, []
    for window in windows:
        nearest = NearestNeighbors(n_neighbors=4, metric="cosine").fit(embeddings[~window])
        own = nearest.kneighbors(embeddings[~window])[0][:, 1:].mean(axis=1)
        theirs = nearest.kneighbors(embeddings[window], n_neighbors=3)[0].mean(axis=1)
        beyond = strange_count(len(own))
        found = (theirs > np.sort(own)[-beyond]).sum()
        wanted.append(-np.log10(betabinom.sf(found - 1, window.sum(), beyond, len(own) + 1 - beyond)))
    np.testing.assert_allclose(of("out_of_vocabulary", pool, windows), wanted, atol=1e-6)


def test_the_fall_of_the_estimate_is_that_of_the_mean_confidence(pool, windows):
    confidence = pool.observations.confidence.astype(np.float64)
    wanted = [confidence[~window].mean() - confidence[window].mean() for window in windows]
    np.testing.assert_allclose(of("estimated_accuracy", pool, windows), wanted, atol=1e-12)


def test_entropy_is_that_of_the_probabilities():
    np.testing.assert_allclose(entropy(np.float32([[1, 0], [0.5, 0.5]])), [0, np.log(2)], atol=1e-6)


@pytest.mark.parametrize("name", list(CHECKS))
def test_every_check_sees_its_own_drift_and_tells_of_it(name):
    reference, alike = observations(150, 1), observations(80, 2)
    changed = observations(80, 2, **DRIFTS[name])
    is_window = (np.arange(230) >= 150)[None]
    check = CHECKS.get(name)()
    assert check.name == name
    before, after = (
        float(statistics_of(check, Pool(joined(reference, window), CONFIG), is_window)[0])
        for window in (alike, changed)
    )
    assert after > before
    values = check.values(Comparison(reference, changed, CONFIG))
    assert (len(values.reference), len(values.window)) == (150, 80)
    for drift in (True, False):
        said = check.said(values, drift)
        assert said[0].isupper() or said[0].isdigit()
        assert said.endswith(".")
        assert ("no more than chance" in said or "as far as can be told" in said or "beyond chance" in said) != drift


@pytest.mark.parametrize("name", list(CHECKS))
def test_no_check_minds_the_order_of_the_pictures(name, pool, windows):
    order = np.random.default_rng(0).permutation(160)
    there = Pool(pool.observations.take(order), CONFIG)
    np.testing.assert_allclose(of(name, there, windows[:, order]), of(name, pool, windows), atol=2e-4)


@pytest.mark.parametrize("name", list(CHECKS))
def test_one_class_one_value_and_one_embedding_are_no_mishap(name):
    plain = observations(60, 1)
    same = plain.take(np.zeros(60, np.int64))
    check = CHECKS.get(name)()
    found = statistics_of(check, Pool(same, CONFIG), (np.arange(60) < 20)[None])
    assert np.isfinite(found).all()
    assert np.isfinite(check.values(Comparison(same, same, CONFIG)).window).all()


def test_what_a_short_table_lacks_is_named():
    short = observations(20, 1, detailed=False)
    lacking = {name for name in CHECKS if CHECKS.get(name)().lacks(short)}
    assert {"brightness", "entropy", "embedding_mmd", "embedding_classifier", "out_of_vocabulary"} <= lacking
    assert not lacking & {"predicted_labels", "confidence", "abstentions", "estimated_accuracy"}


def test_refused_pictures_are_tested_against_the_share_that_is_accepted():
    reference, config = observations(50, 1), MonitorConfig(error_share=0.05)
    few, many = (Errors().test(reference, observations(95, 2, errors={"too_large": n}), config, 0.01) for n in (5, 25))
    assert few.statistic <= few.threshold
    assert few.p_value > 0.01
    assert many.statistic > many.threshold
    assert many.p_value <= 0.01
    assert "too_large 25" in many.findings
    assert many.current == pytest.approx(25 / 120)


def test_measured_accuracy_is_fishers_exact_test():
    reference, window = observations(200, 1, accuracy=0.9), observations(80, 2, accuracy=0.7)
    tested = Accuracy().test(reference, window, MonitorConfig(), 0.01)
    right = [(part.truth == part.predicted).sum() for part in (window, reference)]
    table = [[80 - right[0], right[0]], [200 - right[1], right[1]]]
    assert tested.p_value == pytest.approx(fisher_exact(table, "greater")[1], rel=1e-9)
    assert (tested.statistic > tested.threshold) == (tested.p_value <= 0.01)
    assert Accuracy().lacks(reference, observations(20, 3, labelled=0.0))


@pytest.mark.parametrize("level", [0.2, 0.01, 1e-4])
def test_the_threshold_of_an_exact_test_is_where_its_probability_passes_the_level(level):
    reference = observations(200, 1, accuracy=0.9)
    for wrong in range(0, 60, 3):
        window = observations(60, 2)
        truth = window.predicted.copy()
        truth[:wrong] = (truth[:wrong] + 1) % 6
        tested = Accuracy().test(reference, replace(window, truth=truth), MonitorConfig(), level)
        assert (tested.statistic > tested.threshold) == (tested.p_value <= level)


def test_checks_are_found_by_name_and_a_wrong_one_is_refused_with_the_nearest():
    chosen, exact = checks_named(("errors", "contrast", "brightness"))
    assert [check.name for check in chosen] == ["brightness", "contrast"]
    assert [check.name for check in exact] == ["errors"]
    assert [len(part) for part in checks_named(None)] == [len(list(CHECKS)), len(list(EXACT_CHECKS))]
    with pytest.raises(ConfigError, match=r"monitor\.checks.*brightnes.*brightness"):
        checks_named(("brightnes",))
