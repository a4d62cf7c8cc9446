"""A partial override of a backbone's preprocessing, for a data set whose pictures want another one.

It is written into the backbone's `preprocessor_config.json` before anything else reads it, in words that transformers
knows: training, the bundle, serving and plain transformers all see the same numbers.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from clip_har.component import ComponentConfig
from clip_har.errors import ModelError

_FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}  # Pillow's numbers

Mode = Literal["centre_crop", "squash", "pad"]


class PreprocessingOverride(ComponentConfig):
    """What to do otherwise than the backbone's own preprocessing; what is not given stays."""

    mode: Mode | None = Field(
        None,
        description="How a picture of any shape becomes one of the input's: centre_crop (its ends are lost), squash (its "
        "shape is), pad (all is kept, and zeros fill the rest).",
    )
    size: tuple[int, int] | None = Field(
        None, description="(height, width) of the image encoder's input, in pixels; one number for a square."
    )
    resize_shortest_edge: int | None = Field(
        None, ge=1, description="Shorter side before the centre crop, in pixels; else in the backbone's proportion."
    )
    resample: Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"] | None = Field(
        None, description="Filter that resizes."
    )
    scale: float | None = Field(None, gt=0, description="Factor on the pixel values 0 … 255.")
    mean: tuple[float, float, float] | None = Field(None, description="Mean of each channel, after scaling.")
    std: tuple[float, float, float] | None = Field(None, description="Standard deviation of each channel.")
    decoder_reduction: bool | None = Field(
        None, description="As model.decoder_reduction, which it goes before (transformers does not know it)."
    )

    @field_validator("size", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return (value, value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("size")
    @classmethod
    def _is_a_size(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            raise ValueError(f"a height and a width of at least one pixel are wanted, got {list(value)}")
        return value

    @field_validator("std")
    @classmethod
    def _can_divide(cls, value: tuple[float, float, float] | None) -> tuple[float, float, float] | None:
        if value is not None and min(value) <= 0:
            raise ValueError(f"standard deviations above 0 are wanted, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _edge_belongs_to_a_crop(self) -> PreprocessingOverride:
        if self.resize_shortest_edge is not None and self.mode in ("squash", "pad"):
            raise ValueError(f"resize_shortest_edge belongs to mode centre_crop; with mode {self.mode} leave it out")
        return self

    def applied(self, processor: dict[str, Any]) -> dict[str, Any]:
        """A backbone's `preprocessor_config.json` → the same with the override. Once or twice makes no difference.

        Raises:
            ModelError: if the two do not go together.
        """
        from clip_har.models.preprocessing import PreprocessingConfig

        changed = dict(processor)
        if any(value is not None for value in (self.mode, self.size, self.resize_shortest_edge)):
            changed |= self._geometry(PreprocessingConfig.from_huggingface(processor))
        if self.resample is not None:
            changed["resample"] = _FILTERS[self.resample]
        if self.scale is not None:
            changed |= {"do_rescale": True, "rescale_factor": self.scale}
        if self.mean is not None or self.std is not None:
            own = PreprocessingConfig.from_huggingface(processor)
            changed |= {
                "do_normalize": True,
                "image_mean": list(self.mean or own.mean),
                "image_std": list(self.std or own.std),
            }
        return changed

    def _geometry(self, own: Any) -> dict[str, Any]:
        mode, size = self.mode or _mode_of(own), self.size or own.output_size
        height, width = size
        if self.resize_shortest_edge is not None and mode != "centre_crop":
            raise ModelError(
                f"model.preprocessing.resize_shortest_edge: the backbone's pictures are made by {mode}; give "
                "model.preprocessing.mode: centre_crop with it."
            )
        crop = {"do_center_crop": True, "crop_size": {"height": height, "width": width}}
        if mode == "squash":
            return {"do_resize": True, "size": {"height": height, "width": width}, "do_center_crop": False}
        if mode == "pad":
            return {"do_resize": True, "size": {"max_height": height, "max_width": width}, **crop}
        edge = self.resize_shortest_edge or _edge_in_proportion(own, size)
        if edge < max(size):
            raise ModelError(
                f"model.preprocessing.resize_shortest_edge: {edge} is less than the input's {max(size)} pixels, so that "
                "zeros would surround every picture; give a larger one, or mode: pad."
            )
        return {"do_resize": True, "size": {"shortest_edge": edge}, **crop}


def _mode_of(own: Any) -> Mode:
    if own.resize_within is not None:
        return "pad"
    return "squash" if own.resize_to is not None else "centre_crop"


def _edge_in_proportion(own: Any, size: tuple[int, int]) -> int:
    """The shorter side before the crop, larger than the input as it is in the backbone's own preprocessing."""
    if own.resize_shortest_edge is None or own.crop is None:
        return max(size)
    return max(max(size), round(max(size) * own.resize_shortest_edge / max(own.crop)))
