"""The actions can be told apart by what is drawn, and not easily."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene

_EACH = 60


def _gradients(image: Image.Image) -> np.ndarray:
    """Histograms of oriented gradients, with a little colour: what linear classifiers used before networks."""
    down, across = np.gradient(np.asarray(image.convert("L").resize((72, 48)), dtype=np.float64) / 255)
    strength, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi / np.pi * 9
    cells = []
    for y in range(0, 48, 6):
        for x in range(0, 72, 6):
            part = np.s_[y : y + 6, x : x + 6]
            bins = np.minimum(angle[part].astype(int), 8).ravel()
            histogram = np.bincount(bins, strength[part].ravel(), 9)
            cells.append(histogram / (np.linalg.norm(histogram) + 0.1))
    return np.concatenate([np.ravel(cells), np.asarray(image.resize((12, 8)), dtype=np.float64).ravel() / 850])


@pytest.mark.slow
@pytest.mark.thorough
def test_a_simple_classifier_does_better_than_chance_and_far_from_perfect():
    pictures = [draw_scene(describe_scene(action, seed), 96, 64) for action in HAR_ACTIONS for seed in range(_EACH)]
    features = np.array([_gradients(picture) for picture in pictures])
    labels = np.repeat(np.arange(len(HAR_ACTIONS)), _EACH)
    train = np.tile(np.arange(_EACH) < 45, len(HAR_ACTIONS))
    model = LogisticRegression(C=0.1, max_iter=300).fit(features[train], labels[train])
    accuracy = model.score(features[~train], labels[~train])
    assert 3 / len(HAR_ACTIONS) < accuracy < 0.6
