"""Conformal sets hold the true label as often as they say; abstention's precision is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import betabinom

from clip_har.errors import ConfigError
from clip_har.models.abstention import abstention_threshold
from clip_har.models.conformal import COVERAGES, ConformalQuantiles, conformal_quantiles, scores
from clip_har.models.head import softmax


def drawn(samples: int, seed: int, classes: int = 8, sharpness: float = 1.5, honest: float = 1.0):
    """Probabilities and labels; for honest=1 the labels are drawn from them."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, sharpness, (samples, classes))
    labels = (softmax(logits).cumsum(axis=1) < generator.uniform(size=(samples, 1))).sum(axis=1)
    return softmax(logits * honest), labels.clip(0, classes - 1)


def test_scores_are_the_mass_of_likelier_labels_and_a_penalty():
    probabilities = np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    assert scores(probabilities, 0.0, 1) == pytest.approx(np.array([[0.8, 0.0, 0.5], [0, 1 / 3, 2 / 3]]))
    assert scores(probabilities, 0.1, 1) == pytest.approx(np.array([[1.0, 0.0, 0.6], [0, 1 / 3 + 0.1, 2 / 3 + 0.2]]))
    assert scores(probabilities, 0.1, 2)[0] == pytest.approx([0.9, 0.0, 0.5])


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("honest", [0.5, 1.0, 3.0])
def test_coverage_is_what_was_asked_for_even_of_a_model_that_is_wrong_about_itself(coverage, honest):
    calibration, tuning, test = (drawn(size, seed, honest=honest) for size, seed in ((400, 1), (400, 2), (3000, 3)))
    fitted = conformal_quantiles(*calibration, tuning)
    covered = fitted.members(test[0], coverage)[np.arange(3000), test[1]].sum()
    place = int(np.ceil(401 * coverage - 1e-9))
    low, high = betabinom.interval(0.999, 3000, place, 401 - place)
    assert low <= covered <= high


def test_the_likeliest_label_is_in_every_set_and_sets_grow_with_coverage():
    fitted = conformal_quantiles(*drawn(300, 1))
    probabilities, _ = drawn(500, 2)
    sets = {coverage: fitted.members(probabilities, coverage) for coverage in (0.5, 0.8, 0.95)}
    assert all(members[np.arange(500), probabilities.argmax(axis=1)].all() for members in sets.values())
    assert (sets[0.5] <= sets[0.8]).all()
    assert (sets[0.8] <= sets[0.95]).all()
    assert sets[0.5].sum() < sets[0.8].sum() < sets[0.95].sum()


def test_a_penalty_makes_sets_smaller_where_the_tail_is_noise():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 50, 4000)
    logits = generator.normal(0, 1.0, (4000, 50))
    logits[np.arange(4000), labels] += 3.0
    probabilities = softmax(logits * 2.5)
    parts = [(probabilities[part], labels[part]) for part in (slice(0, 1000), slice(1000, 2000), slice(2000, 4000))]
    plain, tuned = conformal_quantiles(*parts[0]), conformal_quantiles(*parts[0], parts[1])
    assert plain.penalty == 0 < tuned.penalty
    sizes = [fitted.members(parts[2][0], 0.9).sum(axis=1).mean() for fitted in (plain, tuned)]
    assert sizes[1] < sizes[0]


def test_too_few_photographs_give_all_labels():
    fitted = conformal_quantiles(*drawn(8, 1))
    assert fitted.quantiles[COVERAGES.index(0.95)] is None
    assert fitted.members(drawn(5, 2)[0], 0.95).all()
    assert not fitted.members(drawn(50, 2)[0], 0.5).all()


def test_a_coverage_between_two_takes_the_higher_and_beyond_all_is_refused():
    fitted = conformal_quantiles(*drawn(300, 1))
    probabilities, _ = drawn(200, 2)
    assert (fitted.members(probabilities, 0.901) == fitted.members(probabilities, 0.91)).all()
    for wrong in (0.995, 1.0, 0.0, -1.0):
        with pytest.raises(ConfigError, match=r"up to 0\.99"):
            fitted.members(probabilities, wrong)


def test_quantiles_travel_as_json_and_must_match():
    fitted = conformal_quantiles(*drawn(50, 1))
    assert ConformalQuantiles.model_validate_json(fitted.model_dump_json()) == fitted
    with pytest.raises(ValidationError, match="rising"):
        ConformalQuantiles(penalty=0, largest_free=1, coverages=(0.9, 0.8), quantiles=(0.5, 0.4))
    with pytest.raises(ValidationError, match="each coverage"):
        ConformalQuantiles(penalty=0, largest_free=1, coverages=(0.8, 0.9), quantiles=(0.5,))


def test_precision_above_the_threshold_holds_as_often_as_promised():
    failures, repeats = 0, 200
    truth = drawn(60_000, 999, sharpness=2.5)
    top, right = truth[0].max(axis=1), truth[0].argmax(axis=1) == truth[1]
    answered = []
    for seed in range(repeats):
        found = abstention_threshold(*drawn(400, seed, sharpness=2.5), 0.8, confidence=0.9)
        if found.threshold is not None:
            failures += right[top >= found.threshold].mean() < 0.8
            answered.append(found.answered)
    assert failures <= 0.1 * repeats
    assert np.mean(answered) > 0.15  # and it is of use


def test_a_good_model_answers_always_and_a_bad_one_never():
    labels = np.arange(100) % 4
    sure = np.full((100, 4), 0.05)
    sure[np.arange(100), labels] = 0.85
    found = abstention_threshold(sure, labels, 0.9, confidence=0.9)
    assert (found.threshold, found.answered, found.measured) == (0.85, 1.0, 1.0)
    found = abstention_threshold(sure, (labels + 1) % 4, 0.9, confidence=0.9)
    assert (found.threshold, found.answered, found.measured) == (None, 0.0, None)


def test_equal_confidences_are_answered_together():
    probabilities = np.tile([0.6, 0.4], (200, 1))
    labels = np.array([0] * 190 + [1] * 10)
    found = abstention_threshold(probabilities, labels, 0.9, confidence=0.9)
    assert found.threshold == 0.6
    assert found.answered == 1.0
    assert found.measured == pytest.approx(0.95)
