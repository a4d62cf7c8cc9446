"""MixUp and CutMix: pictures of a batch mixed in pairs, and labels as shares.

Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Yun et al. 2019, "CutMix: Regularization Strategy to
Train Strong Classifiers with Localizable Features".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clip_har.data.augmentation.config import AugmentationConfig
from clip_har.data.augmentation.views import generator_of
from clip_har.hashing import sha256_json


@dataclass(frozen=True)
class Mixture:
    """How the n pictures of a batch are mixed.

    Attributes:
        partners: int64 [n]: whom each is mixed with; itself where it is left alone.
        shares: float32 [n]: weight of each one's own label, and of its own pixels.
        boxes: int64 [n, 4]: top, left, bottom, right of what comes from the partner (CutMix); empty (all 0) elsewhere.
    """

    partners: np.ndarray
    shares: np.ndarray
    boxes: np.ndarray

    def pixels(self, pixels: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → the same, mixed."""
        mixed = pixels.copy()
        for row, (partner, share, box) in enumerate(zip(self.partners, self.shares, self.boxes, strict=True)):
            top, left, bottom, right = box
            if bottom > top:
                mixed[row, :, top:bottom, left:right] = pixels[partner, :, top:bottom, left:right]
            elif share < 1:
                mixed[row] = share * pixels[row] + (np.float32(1) - share) * pixels[partner]
        return mixed

    def targets(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """int64 [n] indices of the labels → float32 [n, classes]: each row sums to 1."""
        own, others = (
            np.eye(classes, dtype=np.float32)[labels],
            np.eye(classes, dtype=np.float32)[labels[self.partners]],
        )
        return self.shares[:, None] * own + (np.float32(1) - self.shares[:, None]) * others


def draw_mixture(
    config: AugmentationConfig,
    ids: Sequence[str],
    size: tuple[int, int],
    seed: int,
    epoch: int,
    labels: Sequence[str] | None = None,
) -> Mixture:
    """Draw how a batch is mixed: by its samples and the epoch, whatever their order.

    Args:
        ids: of the batch's samples.
        size: (height, width) of the pictures, in pixels.
        labels: of the samples, where some forbid mixing: such a picture is neither mixed nor mixed in.
    """
    number = len(ids)
    order = sorted(range(number), key=lambda row: ids[row])
    generator = generator_of(seed, sha256_json([ids[row] for row in order]), epoch)
    partners, shares = np.arange(number), np.ones(number, dtype=np.float32)
    boxes = np.zeros((number, 4), dtype=np.int64)
    ranks = generator.permutation(number)
    for rank, row in enumerate(order):
        chosen, numbers = generator.random(), generator.spawn(1)[0]
        partner = order[int(ranks[rank])]
        own = [config.of_label(labels[each]) if labels else config for each in (row, partner)]
        mixup, cutmix = config.mixup.probability, config.cutmix.probability
        if partner == row:
            continue
        if chosen < cutmix and all(each.cutmix.acts for each in own):
            boxes[row] = _box(size, float(numbers.beta(config.cutmix.alpha, config.cutmix.alpha)), numbers)
            top, left, bottom, right = boxes[row]
            shares[row] = 1 - (bottom - top) * (right - left) / (size[0] * size[1])
        elif cutmix <= chosen < cutmix + mixup and all(each.mixup.acts for each in own):
            shares[row] = numbers.beta(config.mixup.alpha, config.mixup.alpha)
        else:
            continue
        partners[row] = partner if shares[row] < 1 else row
    return Mixture(partners, shares, boxes)


def _box(size: tuple[int, int], share: float, numbers: np.random.Generator) -> tuple[int, int, int, int]:
    """The rectangle of the paper: of the picture's shape, with 1 - share of its area, cut off at the picture's edges."""
    height, width = size
    side = np.sqrt(1 - share)
    down, across = int(height * side), int(width * side)
    middle, centre = int(numbers.integers(height)), int(numbers.integers(width))
    top, left = max(0, middle - down // 2), max(0, centre - across // 2)
    bottom, right = min(height, middle + (down + 1) // 2), min(width, centre + (across + 1) // 2)
    return (top, left, bottom, right) if bottom > top and right > left else (0, 0, 0, 0)
