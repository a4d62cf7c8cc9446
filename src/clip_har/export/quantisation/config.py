"""What quantisation may try and what it must reach; what came of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from clip_har.component import ComponentConfig

RangeMethod = Literal["minmax", "percentile", "mean_squared_error"]
Scheme = Literal["static", "dynamic"]


class QuantisationConfig(ComponentConfig):
    """How an encoder is written in int8: static scales, weights per channel, sensitive layers left in float."""

    calibration_samples: int = Field(
        128, ge=1, description="Training images (or texts) that the ranges of activations are measured on, at most."
    )
    calibration_batch: int = Field(4, ge=1, description="Images in memory at once with all their activations.")
    probe_samples: int = Field(
        64, ge=1, description="Images (or texts) that int8 and float embeddings are compared on, at most."
    )
    ranges: tuple[RangeMethod, ...] = Field(
        ("minmax", "percentile", "mean_squared_error"),
        min_length=1,
        description="Ways to get an activation's range from what was seen; the one with the highest cosine is taken.",
    )
    percentile: float = Field(
        99.99,
        gt=50,
        le=100,
        description="Share of an activation's values that the percentile range keeps, in per cent.",
    )
    wanted_cosine: float = Field(
        0.995, gt=0, le=1, description="Mean cosine to the float embeddings that the probe must reach."
    )
    candidates: int = Field(
        32, ge=1, description="Groups of layers whose effect is measured one by one, at most; neighbours are joined."
    )
    attempts: int = Field(6, ge=1, description="Sets of layers left in float that are built and measured, at most.")
    reduced_weight_range: bool = Field(
        False,
        description="Weights in 7 bits: for CPUs without VNNI instructions, whose 8-bit products overflow otherwise.",
    )
    threads: int | None = Field(None, ge=1, description="Threads of ONNX Runtime while measuring; null: all cores.")


class QuantisationTrial(ComponentConfig):
    """One int8 form that was built and measured on the probe."""

    what: str = Field(description="What was tried, in words.")
    left_in_float: tuple[str, ...] = Field(description="Weighted layers that were not quantised.")
    cosine_mean: float = Field(description="Mean cosine to the float embeddings.")
    cosine_minimum: float = Field(description="Lowest cosine to the float embeddings.")


class QuantisationResult(ComponentConfig):
    """An int8 file and how near its embeddings come to those of the float one."""

    scheme: Scheme = Field(
        description="static: fixed scales, any batch; dynamic: scales of each batch, so batch 1 only."
    )
    ranges: RangeMethod | None = Field(description="How activation ranges were chosen; null for dynamic.")
    cosine_mean: float = Field(description="Mean cosine to the float embeddings on the probe.")
    cosine_minimum: float = Field(description="Lowest cosine to the float embeddings on the probe.")
    wanted_cosine: float = Field(description="Mean cosine that was asked for.")
    quantised: int = Field(description="Number of weighted layers in int8.")
    left_in_float: tuple[str, ...] = Field(description="Names of the weighted layers left in float.")
    share_of_work: float = Field(description="Share of the weighted layers' multiplications that is done in int8.")
    calibration_samples: int = Field(description="Samples that the ranges come from.")
    probe_samples: int = Field(description="Samples that were compared.")
    trials: tuple[QuantisationTrial, ...] = Field(description="Everything that was measured, in order.")

    @property
    def reached(self) -> bool:
        """Whether the probe's mean cosine is as high as was asked for."""
        return self.cosine_mean >= self.wanted_cosine

    @property
    def single_only(self) -> bool:
        """Whether the file serves batches of one only: dynamic scales depend on all that is in a batch."""
        return self.scheme == "dynamic"

    def details(self) -> dict[str, Any]:
        """What an `ExportedForm` keeps of it: all but the trials."""
        return self.model_dump(mode="json", exclude={"trials"})
