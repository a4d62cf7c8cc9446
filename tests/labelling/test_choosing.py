"""Which pictures are chosen: doubtful and different ones, the same each time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from clip_har.labelling.choosing import choose, doubt_of


@pytest.fixture
def groups():
    """Four tight groups of 40, 30, 15 and 15 pictures; the third is the one that the model doubts."""
    random = np.random.default_rng(0)
    centres = np.eye(4, 16, dtype=np.float32)
    group = np.repeat(np.arange(4), (40, 30, 15, 15))
    embeddings = (centres[group] + random.normal(0, 0.03, (100, 16))).astype(np.float32)
    sure = np.where(group == 2, 0.5, 0.95)
    probabilities = np.stack([sure, 1 - sure, np.zeros(100)], axis=1).astype(np.float32)
    return embeddings, probabilities, group


def test_of_every_group_one_is_chosen(groups):
    embeddings, probabilities, group = groups
    chosen = choose(embeddings, probabilities, 4, uncertainty=0, seed=0)
    assert sorted(group[chosen]) == [0, 1, 2, 3]


@pytest.mark.parametrize("uncertainty", [0, 0.5, 1])
def test_the_same_seed_gives_the_same_choice_and_nothing_twice(groups, uncertainty):
    embeddings, probabilities, _ = groups
    one, two = (choose(embeddings, probabilities, 30, uncertainty=uncertainty, seed=3) for _ in range(2))
    assert (one == two).all()
    assert len(set(one.tolist())) == len(one) == 30


def test_doubt_draws_the_choice(groups):
    embeddings, probabilities, group = groups
    share = [(group[choose(embeddings, probabilities, 12, uncertainty=u, seed=0)] == 2).mean() for u in (0, 0.6, 1)]
    assert share[0] < share[1] <= share[2] == 1


def test_what_is_labelled_counts_as_chosen_and_is_not_chosen_again(groups):
    embeddings, probabilities, group = groups
    taken = embeddings[np.isin(group, (0, 1))][::2]
    chosen = choose(embeddings, probabilities, 2, uncertainty=0, seed=0, taken=taken)
    assert sorted(group[chosen]) == [2, 3]
    everything = choose(embeddings, probabilities, 1000, uncertainty=0.5, seed=0, taken=taken)
    assert len(everything) == 65
    assert not len(choose(embeddings, probabilities, 5, uncertainty=0.5, seed=0, taken=embeddings))


def test_typical_pictures_come_before_outliers(groups):
    embeddings, probabilities, _ = groups
    outlier = np.full((1, 16), -1, np.float32)
    chosen = choose(
        np.concatenate([embeddings, outlier]),
        np.concatenate([probabilities, probabilities[:1]]),
        4,
        uncertainty=0,
        seed=0,
    )
    assert chosen[0] != 100  # the heaviest group comes first


def test_pictures_without_numbers_are_never_chosen(groups):
    embeddings, probabilities, _ = groups
    embeddings, probabilities = embeddings.copy(), probabilities.copy()
    embeddings[7] = np.nan
    probabilities[9] = np.nan
    chosen = choose(embeddings, probabilities, 100, uncertainty=0.5, seed=0)
    assert 7 not in chosen
    assert len(chosen) == 99
    assert 9 in chosen[:16]  # nothing is known of it: full doubt, as of the third group
    assert choose(embeddings[:0], probabilities[:0], 5, uncertainty=0.5, seed=0).tolist() == []


def test_equal_pictures_are_no_trouble():
    same = np.ones((20, 8), np.float32)
    assert sorted(choose(same, np.full((20, 2), 0.5, np.float32), 6, uncertainty=0.5, seed=0)) != [0] * 6
    assert len(set(choose(same, np.full((20, 2), 0.5, np.float32), 6, uncertainty=0.5, seed=0).tolist())) == 6


def test_doubt_is_what_is_left_of_the_margin():
    np.testing.assert_allclose(doubt_of(np.array([[0.5, 0.5, 0], [1, 0, 0], [0.6, 0.3, 0.1]])), [1, 0, 0.7], rtol=1e-6)


def test_twenty_thousand_pictures_take_seconds():
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(20_000, 512)).astype(np.float32)
    probabilities = random.dirichlet(np.ones(15), 20_000).astype(np.float32)
    start = time.process_time()
    chosen = choose(embeddings, probabilities, 100, uncertainty=0.5, seed=0, taken=embeddings[:500])
    assert chosen.min() >= 500
    assert time.process_time() - start < 10
