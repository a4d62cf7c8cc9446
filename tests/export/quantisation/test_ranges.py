"""Ranges of activations from a stream of batches."""

from __future__ import annotations

import numpy as np
import pytest

from clip_har.export.quantisation.ranges import ActivationRanges, Histogram


def histogram(*batches: np.ndarray) -> Histogram:
    made = Histogram()
    for batch in batches:
        made.add(batch.astype(np.float32))
    return made


def test_extremes_are_of_all_batches() -> None:
    seen = histogram(np.array([0.5, -1.0]), np.array([[7.0], [0.0]]), np.array([0.1]))
    assert seen.range("minmax", 99.9) == (-1.0, 7.0)


def test_a_range_that_grows_on_the_way_gives_the_same_percentile_as_all_values_at_once() -> None:
    values = np.random.default_rng(0).standard_normal(40_000) * np.linspace(0.01, 30, 40_000)
    grown = histogram(*np.array_split(values, 50)).range("percentile", 99.0)
    at_once = histogram(values).range("percentile", 99.0)
    assert grown == at_once
    assert grown == pytest.approx(np.percentile(values, [0.5, 99.5]), rel=0.02)


def test_a_percentile_leaves_rare_values_out_and_extremes_do_not() -> None:
    values = np.append(np.random.default_rng(0).uniform(0, 1, 100_000), 500.0)
    lowest, highest = histogram(values).range("percentile", 99.9)
    assert highest < 2
    assert lowest == pytest.approx(0, abs=0.01)
    assert histogram(values).range("minmax", 99.9)[1] == 500.0


def test_a_percentile_never_goes_beyond_what_was_seen() -> None:
    values = np.full(1000, 3.1)
    values[0] = -0.2
    assert histogram(values).range("percentile", 100.0) == pytest.approx((-0.2, 3.1))


def int8_error(values: np.ndarray, lowest: float, highest: float) -> float:
    step = (highest - lowest) / 255
    rounded = np.round(np.clip(values, lowest, highest) / step) * step
    return float(np.mean((rounded - values) ** 2))


def test_the_least_error_is_less_than_that_of_the_extremes_where_tails_are_long() -> None:
    values = np.random.default_rng(0).standard_t(3, 200_000)
    chosen = histogram(values).range("mean_squared_error", 99.9)
    whole = histogram(values).range("minmax", 99.9)
    assert chosen[1] < 0.8 * whole[1]
    assert int8_error(values, *chosen) < 0.8 * int8_error(values, *whole)


def test_the_least_error_keeps_all_of_an_even_spread() -> None:
    assert histogram(np.linspace(-2, 6, 100_000)).range("mean_squared_error", 99.9) == pytest.approx((-2, 6), abs=0.05)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mean_squared_error"])
def test_a_tensor_of_zeros_has_an_empty_range(method: str) -> None:
    assert histogram(np.zeros(10), np.zeros(10)).range(method, 99.9) == (0.0, 0.0)


@pytest.mark.parametrize("channel", [0, 1, 4])
def test_large_tensors_are_sampled_over_all_channels(channel: int) -> None:
    """Every sixth value would do for their number, and would be of the same 128 channels in every row."""
    values = np.zeros((1800, 768))
    values[:, channel] = 8.0
    assert histogram(values).range("percentile", 99.9)[1] == pytest.approx(8.0, abs=0.01)


def test_each_tensor_has_its_own_range() -> None:
    ranges = ActivationRanges()
    ranges.add({"one": np.array([1.0, 2.0]), "other": np.array([-5.0])})
    ranges.add({"one": np.array([3.0]), "other": np.array([5.0])})
    assert ranges.ranges("minmax", 99.9) == {"one": (1.0, 3.0), "other": (-5.0, 5.0)}
