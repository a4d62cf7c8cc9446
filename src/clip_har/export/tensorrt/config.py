"""What TensorRT engines are built for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from clip_har.component import ComponentConfig

# Sums over many values, exponentials and norms: what half precision loses most in. Pow, Sqrt and Reciprocal are the parts
# of norms that were not exported whole.
FLOAT32_OPERATORS = (
    "BatchNormalization",
    "Exp",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "LogSoftmax",
    "Pow",
    "RMSNormalization",
    "Reciprocal",
    "ReduceL2",
    "ReduceMean",
    "ReduceSum",
    "ReduceSumSquare",
    "Softmax",
    "Sqrt",
)


class TensorRTConfig(ComponentConfig):
    """How TensorRT engines are built."""

    package: Literal["auto", "tensorrt", "tensorrt_rtx"] = Field(
        "auto",
        description="Python package that builds; auto: tensorrt on this GPU, tensorrt_rtx for a named compute capability.",
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field(
        "fp16", description="What layers compute in, but for those of float32_operators."
    )
    float32_operators: tuple[str, ...] = Field(
        FLOAT32_OPERATORS, description="ONNX operators that compute in float32 whatever the precision."
    )
    compute_capability: str | None = Field(
        None,
        description='GPU to build for ("8.6"), which need not be here; null: the one in this machine. Another than this '
        "machine's needs tensorrt_rtx.",
    )
    smallest_batch: int = Field(1, ge=1, description="Least batch of the optimisation profile.")
    usual_batch: int = Field(32, ge=1, description="Batch that kernels are chosen for.")
    largest_batch: int = Field(256, ge=1, description="Greatest batch in one piece; larger ones are done in parts.")
    usual_length: int = Field(16, ge=1, description="Tokens of a text that kernels are chosen for.")
    largest_length: int = Field(77, ge=1, description="Most tokens of a text.")
    workspace_mib: int | None = Field(
        None, ge=1, description="GPU memory for scratch space, in MiB; null: TensorRT's own."
    )
    optimisation_level: int | None = Field(
        None, ge=0, le=5, description="How long TensorRT looks for fast kernels; null: its own default."
    )

    @field_validator("compute_capability")
    @classmethod
    def _is_a_capability(cls, value: str | None) -> str | None:
        if value is not None and not (value.count(".") == 1 and value.replace(".", "").isdecimal()):
            raise ValueError(f'{value!r} is not a compute capability like "8.6"')
        return value

    @model_validator(mode="after")
    def _in_order(self) -> TensorRTConfig:
        if not self.smallest_batch <= self.usual_batch <= self.largest_batch:
            raise ValueError(
                f"batches must grow from smallest ({self.smallest_batch}) over usual ({self.usual_batch}) to largest "
                f"({self.largest_batch})"
            )
        if self.usual_length > self.largest_length:
            raise ValueError(f"usual_length ({self.usual_length}) is above largest_length ({self.largest_length})")
        return self
