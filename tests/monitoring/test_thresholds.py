"""Thresholds: the rate of false alarms of all checks together, whatever the checks, ties and sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load, save
from scipy.stats import binom

from clip_har.monitoring import thresholds as module
from clip_har.monitoring.checks import CHECKS
from clip_har.monitoring.checks.pool import Pool, joined
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.tails import Tail
from clip_har.monitoring.thresholds import Thresholds, partitions, sizes_of, statistics_of
from tests.monitoring.observed import observations

CONFIG = ProfileConfig(partitions=199, components=6)


@pytest.fixture(scope="module")
def drawn() -> Thresholds:
    """From 200 pictures."""
    return Thresholds.draw(observations(200, 1), CONFIG)


def test_sizes_grow_to_half_of_the_pictures():
    assert sizes_of(400) == (10, 14, 20, 28, 40, 50, 70, 100, 140, 200)
    assert sizes_of(19) == ()


def test_a_window_is_compared_at_the_largest_size_that_it_fills(drawn):
    assert [drawn.size_for(count) for count in (9, 10, 55, 100, 9000)] == [None, 10, 50, 100, 100]


def test_pairs_are_disjoint_random_and_the_same_again():
    windows = partitions(100, 20, CONFIG)
    assert windows.shape == (199, 100)
    assert (windows.sum(axis=1) == 20).all()
    assert len(np.unique(windows, axis=0)) == 199
    assert windows.sum(axis=0).min() > 15
    np.testing.assert_array_equal(windows, partitions(100, 20, CONFIG))
    assert (windows != partitions(100, 20, CONFIG.model_copy(update={"seed": 1}))).any()


def test_statistics_of_all_checks_are_kept_and_come_back_from_a_file(drawn):
    assert drawn.names == tuple(CHECKS)
    assert {array.shape for array in drawn.statistics.values()} == {(199, len(list(CHECKS)))}
    assert {array.dtype for array in drawn.statistics.values()} == {np.dtype(np.float32)}
    again = Thresholds.from_arrays(drawn.names, load(save(drawn.arrays())))
    assert again.pictures == 200
    assert list(again.statistics) == list(drawn.statistics)
    assert again.at(50, drawn.names, 0.05) == drawn.at(50, drawn.names, 0.05)


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
@pytest.mark.parametrize(("kept", "ties"), [(slice(None), 0.03), (slice(0, 1), 0.1), (slice(10, 14), 0.1)])
def test_of_the_pairs_themselves_no_more_than_the_rate_is_above_a_threshold(drawn, rate, kept, ties):
    names = drawn.names[kept]
    limits = np.array([drawn.at(50, names, rate)[name] for name in names])
    share = (drawn.statistics[50][:, kept] > limits).any(axis=1).mean()
    assert rate - 0.01 - ties * (rate > 0.02) <= share <= rate


def test_a_lower_rate_has_higher_thresholds_even_where_the_pairs_are_too_few_to_tell(drawn):
    limits = [drawn.at(50, drawn.names, rate) for rate in (0.2, 0.05, 0.01, 0.001, 0.0001)]
    for name in drawn.names:
        heights = [of[name] for of in limits]
        assert heights == sorted(heights)
        assert heights[0] < heights[-1] < np.inf


def test_verdicts_p_values_and_the_whole_agree(drawn):
    row = drawn.statistics[50][7]
    for place in range(0, len(drawn.names), 3):
        statistics = dict(zip(drawn.names, map(float, row), strict=True))
        name = drawn.names[place]
        statistics[name] = float(drawn.statistics[50][:, place].max() + 10)
        judged = drawn.judge(50, statistics, 0.05)
        assert judged.p_values[name] == 1 / 200
        assert judged.p_value == 1 / 200
        assert statistics[name] > judged.thresholds[name]
        assert judged.excess[name] > 3
    quiet = drawn.judge(
        50, dict(zip(drawn.names, map(float, np.median(drawn.statistics[50], axis=0)), strict=True)), 0.05
    )
    assert quiet.p_value > 0.5
    assert all(p > 0.3 for p in quiet.p_values.values())


def test_equal_statistics_count_as_reached():
    """Half of the pairs have the largest value there is: one more of it is nothing."""
    values = np.repeat(np.float32([[0.1], [0.2]]), 50, axis=0)
    tied = Thresholds(("brightness",), {10: values}, 100)
    judged = tied.judge(10, {"brightness": 0.2}, 0.05)
    assert judged.p_values["brightness"] == pytest.approx(51 / 101)
    assert judged.thresholds["brightness"] >= 0.2


def test_one_picture_of_a_kind_that_the_reference_has_none_of_is_no_alarm_but_several_are():
    reference = observations(400, 1)
    size, config = 100, CONFIG
    same = np.full(400, 1.5, np.float32)
    reference = replace(reference, figures=reference.figures | {"aspect": same}, abstained=np.zeros(400, bool))
    pool = Pool(reference, config)
    windows = partitions(400, size, config)
    names = ("aspect", "abstentions", "brightness")
    columns = [statistics_of(CHECKS.get(name)(), pool, windows) for name in names]
    thresholds = Thresholds(names, {size: np.stack(columns, axis=1)}, 400)
    assert not columns[0].any()
    for odd, alarm in ((1, False), (2, False), (10, True)):
        aspect = np.where(np.arange(400) < odd, 0.7, same).astype(np.float32)
        changed = replace(reference, figures=reference.figures | {"aspect": aspect}, abstained=np.arange(400) < odd)
        window = (np.arange(400) < size)[None]
        statistics = {
            name: float(CHECKS.get(name)().statistics(Pool(changed, config), window)[0]) for name in names[:2]
        }
        judged = thresholds.judge(size, statistics, 0.05)
        assert (judged.p_value <= 0.05) == alarm
        for name in names[:2]:
            assert (statistics[name] > judged.thresholds[name]) == alarm, (name, odd)


def test_what_the_reference_lacks_has_no_thresholds():
    drawn = Thresholds.draw(observations(40, 1, detailed=False), CONFIG)
    assert {name for name in drawn.names if drawn.has(name)} == {
        *("predicted_labels", "abstentions", "confidence", "estimated_accuracy")
    }


def test_too_few_pictures_give_no_size_at_all():
    drawn = Thresholds.draw(observations(15, 1), CONFIG)
    assert drawn.smallest is None
    assert drawn.size_for(100) is None
    again = Thresholds.from_arrays(drawn.names, load(save(drawn.arrays())))
    assert again.statistics == {}


@pytest.mark.parametrize("skewness", [0.0, 0.6, 2.0])
def test_a_tail_is_the_distribution_that_it_was_fitted_to(skewness):
    generator = np.random.default_rng(0)
    values = generator.normal(size=20_000) if not skewness else generator.gamma(4 / skewness**2, size=20_000)
    check = CHECKS.get("embedding_mmd")()
    tail = Tail.fit(check, values, 100, 1000)
    for level in (0.2, 0.05, 0.005):
        assert (values > tail.threshold(level)).mean() == pytest.approx(level, rel=0.25)
    there = np.quantile(values, [0.5, 0.9, 0.999])
    np.testing.assert_allclose([tail.threshold(level) for level in tail.levels(there)], there, rtol=1e-5, atol=1e-5)


def test_windows_without_drift_raise_as_many_alarms_as_was_asked_for(monkeypatch):
    """Fresh pictures of the same world against several references: the rate over both is the configured one."""
    rate, alarms, looked_at = 0.2, 0, 0
    monkeypatch.setattr(module, "SIZES", (40,))
    for seed in range(12):
        reference = observations(120, 1000 + seed, spread=1.6)
        drawn = Thresholds.draw(reference, CONFIG)
        beside = reference.take(np.random.default_rng(seed).permutation(120)[40:])
        for number in range(9):
            window = observations(40, 100_000 + 100 * seed + number, spread=1.6)
            pool, is_window = Pool(joined(beside, window), CONFIG), (np.arange(120) >= 80)[None]
            statistics = {name: float(statistics_of(CHECKS.get(name)(), pool, is_window)[0]) for name in drawn.names}
            judged = drawn.judge(40, statistics, rate)
            alarms += any(statistics[name] > judged.thresholds[name] for name in drawn.names)
            looked_at += 1
    # Windows of one reference are not independent: the bounds are those of half as many.
    low, high = binom.interval(0.99, looked_at // 2, rate)
    assert low <= alarms / 2 <= high, alarms / looked_at
