"""Augmentation of training pictures, seeded by sample and epoch: the same draw whatever the order or the worker."""

from clip_har.data.augmentation.config import OPERATIONS, POLICIES, AugmentationConfig
from clip_har.data.augmentation.mixing import Mixture, draw_mixture
from clip_har.data.augmentation.views import augment, generator_of
from clip_har.data.augmentation.wording import describe

__all__ = [
    "OPERATIONS",
    "POLICIES",
    "AugmentationConfig",
    "Mixture",
    "augment",
    "describe",
    "draw_mixture",
    "generator_of",
]
