"""Preprocessing: one function with one config, used by training, evaluation, export, serving, batch jobs and the app.

It equals the Hugging Face image processor of the same `preprocessor_config.json` to a rounding of float32, so that
scores are the same too; scaling and normalising are one step.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.data.image import REDUCED_FROM, DecodedImage, ImageLimits, PixelBudget, decode_image, upright_rgb
from clip_har.errors import ModelError

_REDUCE_TO = 2.5  # the decoder reduces a JPEG to no less than this many times the target, so from twice that many
_LONGEST = 100  # times its width or height that a picture is, beyond which only the part that the crop keeps is resized


class PreprocessingConfig(ComponentConfig):
    """What happens to a picture before the image encoder; travels with the weights."""

    resize_shortest_edge: int | None = Field(description="Shorter side after resizing, in pixels; else resize_to.")
    resize_to: tuple[int, int] | None = Field(description="(height, width) to resize to, whatever the shape.")
    resample: int = Field(ge=0, le=5, description="Pillow's number of the resampling filter (2 bilinear, 3 bicubic).")
    crop: tuple[int, int] | None = Field(description="(height, width) of the centre crop; zeros fill what is missing.")
    scale: float = Field(gt=0, description="Factor on the pixel values 0 … 255.")
    mean: tuple[float, float, float] = Field(description="Mean of each channel, after scaling.")
    std: tuple[float, float, float] = Field(description="Standard deviation of each channel, after scaling.")
    decoder_reduction: bool = Field(
        False, description="Let the decoder reduce JPEGs of at least five times the target (faster, not bit-equal)."
    )
    resize_within: tuple[int, int] | None = Field(
        None, description="(height, width) to fit into, the shape kept, in pixels; the crop's zeros fill the rest."
    )

    @classmethod
    def from_huggingface(cls, processor: dict, *, decoder_reduction: bool = False) -> PreprocessingConfig:
        """Read the content of a `preprocessor_config.json`, as an image processor's `to_dict()` gives it.

        Raises:
            ModelError: if it asks for something that this preprocessing does not do.
        """
        for key in ("do_pad", "do_split_image", "do_reduce_labels", "do_thumbnail", "do_image_splitting"):
            if processor.get(key):
                raise ModelError(f"preprocessor_config.json: {key} is not supported for a dual encoder's pictures.")
        shortest, exact, within = None, None, None
        if processor.get("do_resize", True):
            size = processor.get("size")
            if isinstance(size, int):
                shortest, exact = (None, (size, size)) if processor.get("default_to_square") else (size, None)
            elif isinstance(size, dict) and size.get("shortest_edge") and not size.get("longest_edge"):
                shortest = int(size["shortest_edge"])
            elif isinstance(size, dict) and size.get("height") and size.get("width"):
                exact = (int(size["height"]), int(size["width"]))
            elif isinstance(size, dict) and size.get("max_height") and size.get("max_width"):
                within = (int(size["max_height"]), int(size["max_width"]))
            else:
                raise ModelError(
                    f"preprocessor_config.json: size {size!r} is not supported; wanted: shortest_edge, height and "
                    "width, or max_height and max_width."
                )
        crop = None
        if processor.get("do_center_crop"):
            wanted = processor.get("crop_size")
            crop = (wanted, wanted) if isinstance(wanted, int) else (int(wanted["height"]), int(wanted["width"]))
        if crop is None and exact is None:
            raise ModelError(
                "preprocessor_config.json: without a centre crop or a fixed size, pictures of different shapes do not "
                "fit into one batch."
            )
        normalise = processor.get("do_normalize", True)
        return cls(
            resize_shortest_edge=shortest,
            resize_to=exact,
            resample=int(processor.get("resample", Image.Resampling.BICUBIC)),
            crop=crop,
            scale=float(processor.get("rescale_factor", 1 / 255)) if processor.get("do_rescale", True) else 1.0,
            mean=tuple(processor["image_mean"]) if normalise else (0.0, 0.0, 0.0),
            std=tuple(processor["image_std"]) if normalise else (1.0, 1.0, 1.0),
            decoder_reduction=decoder_reduction,
            resize_within=within,
        )

    @classmethod
    def read(cls, folder: str | Path, *, decoder_reduction: bool = False) -> PreprocessingConfig:
        """Of a Hugging Face folder or a bundle, from its `preprocessor_config.json`.

        Raises:
            ModelError: as `from_huggingface`, or if it cannot be read.
        """
        file = Path(folder) / "preprocessor_config.json"
        try:
            processor = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} cannot be read: {error}") from error
        return cls.from_huggingface(processor, decoder_reduction=decoder_reduction)

    @property
    def geometry(self) -> dict[str, Any]:
        """All that decoding, resizing and cropping depend on; scaling and normalising come after, for each picture anew."""
        return self.model_dump(mode="json", exclude={"scale", "mean", "std"})

    @property
    def output_size(self) -> tuple[int, int]:
        """(height, width) of the encoder's input, in pixels."""
        size = self.crop or self.resize_to
        assert size is not None
        return size

    @property
    def reduce_above(self) -> int | None:
        """For `decode_image`: the shorter side that the decoder may reduce to, or None."""
        if not self.decoder_reduction:
            return None
        return math.ceil(_REDUCE_TO * (self.resize_shortest_edge or max(self.output_size)))


class Preprocessor:
    """Pictures → the encoder's input."""

    def __init__(self, config: PreprocessingConfig) -> None:
        self.config = config
        std = np.asarray(config.std, dtype=np.float64)
        self._factor = (config.scale / std).astype(np.float32)
        self._offset = (-np.asarray(config.mean, dtype=np.float64) / std).astype(np.float32)

    def __call__(self, image: Image.Image) -> np.ndarray:
        """One picture → float32 [3, h, w], normalised.

        Args:
            image: as decoded: RGB and upright. Other modes are converted as Pillow converts them.
        """
        return self.normalise(self.resize_and_crop(image))

    def batch(self, images: Iterable[Image.Image]) -> np.ndarray:
        """Pictures → float32 [n, 3, h, w]."""
        height, width = self.config.output_size
        arrays = [self(image) for image in images]
        return np.stack(arrays) if arrays else np.empty((0, 3, height, width), dtype=np.float32)

    def normalise(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [h, w, 3] → float32 [3, h, w], scaled and normalised."""
        result = pixels.transpose(2, 0, 1).astype(np.float32, order="C")
        result *= self._factor[:, None, None]
        result += self._offset[:, None, None]
        return result

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """float32 [3, h, w], normalised → uint8 [h, w, 3]: to look at what an encoder sees."""
        levels = (values - self._offset[:, None, None]) / self._factor[:, None, None]
        return np.clip(np.rint(levels), 0, 255).astype(np.uint8).transpose(1, 2, 0)

    def resize_and_crop(self, image: Image.Image) -> np.ndarray:
        """One picture → uint8 [h, w, 3]."""
        config = self.config
        image = image if image.mode == "RGB" else image.convert("RGB")
        (full_width, full_height), (left_edge, upper_edge, right_edge, lower_edge) = _before_reduction(image)
        height, width = self._resized(full_height, full_width)
        crop_height, crop_width = config.crop or (height, width)
        top, out_height, above = _kept(height, crop_height)
        left, out_width, before = _kept(width, crop_width)
        filtering = Image.Resampling(config.resample)
        strip = max(height, width) > _LONGEST * min(height, width)
        whole = (full_width, full_height) == image.size
        if not strip and whole and image.width <= width and image.height <= height:
            # To enlarge, Pillow resizes across, then down, and rounds in between. So do two calls, which are spared (nearly)
            # the columns that the crop leaves out.
            first, last = _same_columns(image.width, width, left, left + out_width)
            edges = (first * image.width / width, 0, last * image.width / width, image.height)
            wide = image.resize((last - first, image.height), filtering, edges)
            wide = wide.crop((left - first, 0, left - first + out_width, image.height))
            pixels = np.asarray(wide.resize((out_width, height), filtering))[top : top + out_height]
        elif not strip:
            # All of it is resized before the crop: a part alone is rounded otherwise in up to a quarter of its pixels,
            # which is enough to move a probability by 0.01.
            pixels = np.asarray(
                image.resize((width, height), filtering, (left_edge, upper_edge, right_edge, lower_edge))
            )
            pixels = pixels[top : top + out_height, left : left + out_width]
        else:  # a strip of one pixel's height would be resized to gigabytes
            across, down = (right_edge - left_edge) / width, (lower_edge - upper_edge) / height
            box = (left_edge + left * across, upper_edge + top * down)
            box += (min(box[0] + out_width * across, image.width), min(box[1] + out_height * down, image.height))
            pixels = np.asarray(image.resize((out_width, out_height), filtering, box))
        if (out_height, out_width) == (crop_height, crop_width):
            return pixels
        canvas = np.zeros((crop_height, crop_width, 3), dtype=np.uint8)
        canvas[above : above + out_height, before : before + out_width] = pixels
        return canvas

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        config = self.config
        if config.resize_to is not None:
            return config.resize_to
        if config.resize_within is not None:  # as transformers' `get_image_size_for_max_height_width`
            scale = min(config.resize_within[0] / height, config.resize_within[1] / width)
            return max(1, int(height * scale)), max(1, int(width * scale))
        if config.resize_shortest_edge is None:
            return height, width
        short, long = min(height, width), max(height, width)
        new_short, new_long = config.resize_shortest_edge, int(config.resize_shortest_edge * long / short)
        return (new_long, new_short) if width <= height else (new_short, new_long)

    def decode(
        self,
        source: bytes | str | Path | Image.Image | np.ndarray,
        limits: ImageLimits | None = None,
        budget: PixelBudget | None = None,
    ) -> Image.Image:
        """A picture in any form → RGB, reduced by the decoder where the config allows it.

        Args:
            source: a file's bytes or path, a PIL image, or an array uint8 [h, w, 3] or [h, w].

        Raises:
            ImageError: as `decode_image`.
            ModelError: if an array has another shape or type.
        """
        if isinstance(source, Image.Image):
            return upright_rgb(source)
        if isinstance(source, np.ndarray):
            if source.dtype != np.uint8 or source.ndim not in (2, 3) or (source.ndim == 3 and source.shape[2] != 3):
                raise ModelError(
                    f"An image array must be uint8 [h, w, 3] or [h, w]; got {source.dtype} {list(source.shape)}."
                )
            return Image.fromarray(source).convert("RGB")
        return self.decode_file(source, limits, budget).image

    def decode_file(
        self, source: bytes | str | Path, limits: ImageLimits | None = None, budget: PixelBudget | None = None
    ) -> DecodedImage:
        """`decode_image` with this config's reduction.

        Raises:
            ImageError: as `decode_image`.
        """
        return decode_image(source, limits, reduce_above=self.config.reduce_above, budget=budget)


def _before_reduction(image: Image.Image) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """(width, height) of a picture before its decoder reduced it, and the box (left, upper, right, lower) that it fills now.

    A reduced picture's last column and row may be only partly its own (its first ones, after a turn).
    """
    whole = (0, 0, *image.size)
    full_width, full_height, at_left, at_top = image.info.get(REDUCED_FROM, (*image.size, False, False))
    scale = round(full_width / image.width)
    if (math.ceil(full_width / scale), math.ceil(full_height / scale)) != image.size:
        return image.size, whole  # cropped or turned since
    left = image.width - full_width / scale if at_left else 0
    upper = image.height - full_height / scale if at_top else 0
    return (full_width, full_height), (left, upper, left + full_width / scale, upper + full_height / scale)


def _same_columns(width: int, resized: int, first: int, last: int) -> tuple[int, int]:
    """The fewest columns that hold `first` … `last` of a picture resized across, and that resizing them alone gives alike.

    Their edges in the picture must be exact in Pillow's numbers (float32), and so be whole but for a few binary places.
    """
    odd = resized // (resized & -resized)
    step = odd // math.gcd(odd, width)
    return first // step * step, min(-(-last // step) * step, resized)


def _kept(size: int, crop: int) -> tuple[int, int, int]:
    """What a centre crop keeps along one axis of a resized picture, as transformers' `center_crop` does it.

    Returns:
        First pixel kept, number of pixels kept, zeros before them.
    """
    if crop <= size:
        return (size - crop) // 2, crop, 0
    return 0, size, math.ceil((crop - size) / 2)
