"""Class heads: their scores, and that they come back as they were stored."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load, save

from clip_har.errors import BundleError
from clip_har.models.head import HEADS, AdapterHead, CacheHead, LinearHead, TextHead, head_from_arrays, softmax

GENERATOR = np.random.default_rng(0)


def unit(*shape: int) -> np.ndarray:
    rows = GENERATOR.normal(size=shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


IMAGES, CLASSES = unit(7, 16), unit(3, 16)
EXAMPLES = {
    "text": TextHead(12.5, -3.25),
    "linear": LinearHead(GENERATOR.normal(size=(3, 16)).astype(np.float32), np.float32([0.5, -1, 2])),
    "cache": CacheHead(unit(5, 16), np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 1]], 1.5, 3.0, 12.5, -3.25),
    "adapter": AdapterHead(
        GENERATOR.normal(size=(4, 16)).astype(np.float32),
        GENERATOR.normal(size=(16, 4)).astype(np.float32),
        ratio=0.3,
        scale=12.5,
        bias=-3.25,
    ),
}


@pytest.mark.parametrize("head_type", sorted(HEADS))
def test_a_head_comes_back_as_it_was_stored(head_type):
    head = EXAMPLES[head_type]
    logits = head.score(IMAGES, CLASSES)
    assert logits.dtype == np.float32
    assert logits.shape == (7, 3)
    arrays = load(save(head.arrays()))
    assert all(array.dtype == np.float32 for array in arrays.values())
    assert np.array_equal(head_from_arrays(head_type, arrays).score(IMAGES, CLASSES), logits)
    assert head.type == head_type


@pytest.mark.parametrize("head_type", sorted(HEADS))
def test_a_row_does_not_depend_on_the_others(head_type):
    logits = EXAMPLES[head_type].score(IMAGES, CLASSES)
    single = np.concatenate([EXAMPLES[head_type].score(row[None], CLASSES) for row in IMAGES])
    assert single == pytest.approx(logits, abs=1e-5)


def test_scores_are_those_of_the_formulas():
    expected = [[12.5 * float(np.dot(image, label)) - 3.25 for label in CLASSES] for image in IMAGES]
    assert EXAMPLES["text"].score(IMAGES, CLASSES) == pytest.approx(np.array(expected), abs=1e-5)
    weight, bias = EXAMPLES["linear"].weight, EXAMPLES["linear"].bias
    expected = [
        [float(np.dot(image, row)) + shift for row, shift in zip(weight, bias, strict=True)] for image in IMAGES
    ]
    assert EXAMPLES["linear"].score(IMAGES) == pytest.approx(np.array(expected), abs=1e-5)


def test_cache_scores_are_those_of_the_formula():
    head = EXAMPLES["cache"]
    expected = np.empty((len(IMAGES), len(CLASSES)))
    for row, image in enumerate(IMAGES.astype(np.float64)):
        for column, text in enumerate(CLASSES):
            cached = sum(
                1.5 * np.exp(-3.0 * (1 - image @ key)) * value[column]
                for key, value in zip(head.keys, head.values, strict=True)
            )
            expected[row, column] = 12.5 * (image @ text) - 3.25 + cached
    assert head.score(IMAGES, CLASSES) == pytest.approx(expected, abs=1e-5)


def test_adapter_scores_are_those_of_the_formula_whatever_the_length_of_the_embedding():
    head = EXAMPLES["adapter"]
    expected = np.empty((len(IMAGES), len(CLASSES)))
    for row, image in enumerate(7.0 * IMAGES.astype(np.float64)):  # the paper's embeddings are not normalised
        hidden = [max(0.0, image @ weights) for weights in head.down]
        mixed = 0.3 * head.up.astype(np.float64) @ hidden + 0.7 * image
        expected[row] = 12.5 * CLASSES @ (mixed / np.sqrt(mixed @ mixed)) - 3.25
    assert head.score(IMAGES, CLASSES) == pytest.approx(expected, abs=1e-5)


def test_a_linear_head_is_stored_as_float32():
    head = LinearHead(np.ones((2, 4)), np.zeros(2))  # as scikit-learn fits it, in float64
    assert {array.dtype for array in head.arrays().values()} == {np.dtype("float32")}


def test_what_cannot_be_scored_or_read_is_refused():
    with pytest.raises(BundleError, match="class matrix; none was given"):
        EXAMPLES["text"].score(IMAGES)
    with pytest.raises(BundleError, match=r"head of type 'liner'\. Did you mean 'linear'"):
        head_from_arrays("liner", {})
    with pytest.raises(BundleError, match="linear head lacks the array 'bias'"):
        head_from_arrays("linear", {"weight": np.ones((2, 2), dtype=np.float32)})


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_softmax(temperature):
    logits = np.float32([[1, 2, 3], [1000, 999, -1000]])
    shares = np.exp((logits - logits.max(axis=1, keepdims=True)).astype(np.float64) / temperature)
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float32
    assert probabilities == pytest.approx(shares / shares.sum(axis=1, keepdims=True), abs=1e-6)
    assert softmax(logits[0], temperature) == pytest.approx(probabilities[0])
