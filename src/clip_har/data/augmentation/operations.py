"""The operations, each with its config (probability and strength) and what it does to a view: uint8 [h, w, 3]."""

from __future__ import annotations

import io
import math
from typing import Annotated, Any, ClassVar

import numpy as np
from PIL import Image, ImageFilter
from pydantic import AfterValidator, Field, field_validator, model_validator

from clip_har.component import ComponentConfig
from clip_har.data.augmentation.rand_augment import KINDS, rand_augment
from clip_har.errors import did_you_mean

_ATTEMPTS = 10  # to place a crop or a rectangle that fits


def _ordered(ends: tuple[float, float]) -> tuple[float, float]:
    if not 0 < ends[0] <= ends[1]:
        raise ValueError(f"a range from low to high above 0 is wanted, got {list(ends)}")
    return ends


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]


class Operation(ComponentConfig):
    """Base of the operations' configs. In a config a plain number stands for the field `short`, and null for never."""

    short: ClassVar[str] = "probability"

    probability: float = Field(0.0, ge=0, le=1, description="Share of the pictures that it acts on.")

    @classmethod
    def expanded(cls, value: Any) -> Any:
        """A config's short form → the mapping that it stands for."""
        if value is None or value is False:
            return {"probability": 0.0}
        return {cls.short: value} if isinstance(value, int | float) else value

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return cls.expanded(value)

    @property
    def acts(self) -> bool:
        """Whether it ever changes anything."""
        return self.probability > 0


class CropConfig(Operation):
    """Random resized crop (Szegedy et al. 2015, "Going Deeper with Convolutions", section 6)."""

    probability: float = Field(1.0, ge=0, le=1, description="Share of the pictures that it acts on.")
    scale: Range = Field(
        (0.6, 1.0), description="Strength: share of the picture's area that a crop keeps: from, to. (1, 1) keeps all."
    )
    ratio: Range = Field((0.75, 1.3333), description="Width over height of a crop: from, to.")

    @field_validator("scale")
    @classmethod
    def _is_a_share(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] > 1:
            raise ValueError(f"a crop keeps at most the whole picture (1), got {list(value)}")
        return value

    def box(self, width: int, height: int, generator: np.random.Generator) -> tuple[float, float, float, float]:
        """A random part of a picture: left, top, right, bottom in pixels, not rounded."""
        area = width * height
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_ATTEMPTS):
            target = area * generator.uniform(*self.scale)
            ratio = math.exp(generator.uniform(low, high))
            box_width, box_height = math.sqrt(target * ratio), math.sqrt(target / ratio)
            if box_width <= width and box_height <= height:
                left, top = generator.uniform(0, width - box_width), generator.uniform(0, height - box_height)
                return left, top, left + box_width, top + box_height
        side = min(width, height)  # no such crop fits: the central square
        left, top = (width - side) / 2, (height - side) / 2
        return left, top, left + side, top + side


class FlipConfig(Operation):
    """Left and right exchanged."""

    probability: float = Field(0.5, ge=0, le=1, description="Share of the pictures that it acts on.")


class JitterConfig(Operation):
    """Colour jitter: brightness, contrast and saturation, and, where asked for, hue."""

    short: ClassVar[str] = "strength"

    probability: float = Field(1.0, ge=0, le=1, description="Share of the pictures that it acts on.")
    strength: float = Field(
        0.0, ge=0, lt=1, description="Brightness, contrast and saturation change by factors of up to 1 ± this."
    )
    hue: float = Field(0.0, ge=0, le=0.5, description="Hue turns by up to this share of the colour circle.")

    @property
    def acts(self) -> bool:
        """Whether it ever changes anything."""
        return self.probability > 0 and (self.strength > 0 or self.hue > 0)

    def colours(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Brightness, contrast and saturation."""
        amount = self.strength
        brightness, contrast, saturation = generator.uniform(1 - amount, 1 + amount, 3).astype(np.float32)
        pixels = pixels.astype(np.float32) * brightness
        mean = pixels.mean()
        pixels = mean + contrast * (pixels - mean)
        grey = pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        pixels = grey[:, :, None] + saturation * (pixels - grey[:, :, None])
        return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)

    def turned(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Hue."""
        turn = round(255 * generator.uniform(-self.hue, self.hue)) % 256
        hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
        hue = hue.point([(level + turn) % 256 for level in range(256)])
        return np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))


class RandAugmentConfig(Operation):
    """RandAugment (Cubuk et al. 2020): some of fourteen operations, drawn anew for each picture, at one magnitude."""

    operations: int = Field(2, ge=1, le=len(KINDS), description="Operations in a row (N of the paper).")
    magnitude: float = Field(9.0, ge=0, le=30, description="Strength of all of them, from 0 to 30 (M of the paper).")
    exclude: tuple[str, ...] = Field((), description=f"Operations never drawn, of: {', '.join(KINDS)}.")

    @field_validator("exclude")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in KINDS:
                raise ValueError(f"RandAugment has no operation {name!r}. {did_you_mean(name, KINDS)}")
        return value

    @property
    def acts(self) -> bool:
        """Whether it ever changes anything."""
        return self.probability > 0 and not set(KINDS) - {"identity"} <= set(self.exclude)

    def __call__(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return rand_augment(pixels, self.operations, self.magnitude, self.exclude, generator)


class BlurConfig(Operation):
    """Gaussian blur, as in Chen et al. 2020, "A Simple Framework for Contrastive Learning" (SimCLR)."""

    sigma: Range = Field(
        (0.0005, 0.009),
        description="Strength: standard deviation from, to, as a share of the view's shorter side (0.009 is two pixels "
        "of 224).",
    )

    def __call__(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        radius = generator.uniform(*self.sigma) * min(pixels.shape[:2])
        return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius)))


class JpegConfig(Operation):
    """The traces of a strongly compressed JPEG."""

    quality: tuple[int, int] = Field((30, 90), description="Strength: quality of the JPEG, from 1 (worst) to 95.")

    @field_validator("quality")
    @classmethod
    def _is_a_range(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 95:
            raise ValueError(f"a range from low to high within 1 to 95 is wanted, got {list(value)}")
        return value

    def __call__(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        quality = int(generator.integers(self.quality[0], self.quality[1] + 1))
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer).convert("RGB"))


class ErasingConfig(Operation):
    """Random erasing (Zhong et al. 2020): a rectangle of the view is replaced by noise."""

    area: Range = Field((0.02, 0.2), description="Strength: share of the view's area that is erased: from, to.")
    ratio: Range = Field((0.3, 3.3333), description="Width over height of the rectangle: from, to.")

    @field_validator("area")
    @classmethod
    def _leaves_something(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[1] >= 1:
            raise ValueError(f"something must be left of the picture: a share below 1 is wanted, got {list(value)}")
        return value

    def __call__(self, pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        height, width = pixels.shape[:2]
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(_ATTEMPTS):
            target = height * width * generator.uniform(*self.area)
            ratio = math.exp(generator.uniform(low, high))
            across, down = round(math.sqrt(target * ratio)), round(math.sqrt(target / ratio))
            if 0 < across <= width and 0 < down <= height:
                left, top = int(generator.integers(width - across + 1)), int(generator.integers(height - down + 1))
                erased = pixels.copy()
                erased[top : top + down, left : left + across] = generator.integers(
                    0, 256, (down, across, 3), dtype=np.uint8
                )
                return erased
        return pixels


class MixConfig(Operation):
    """Base of what mixes two pictures of a batch."""

    alpha: float = Field(0.4, gt=0, description="Strength: the shares of the two follow Beta(alpha, alpha).")


class MixUpConfig(MixConfig):
    """MixUp (Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"): a weighted mean of pictures and labels."""


class CutMixConfig(MixConfig):
    """CutMix (Yun et al. 2019): a rectangle of another picture; labels are weighted by the shares of the pixels."""

    alpha: float = Field(1.0, gt=0, description="Strength: the shares of the two follow Beta(alpha, alpha).")
