"""What is captured, how much of it, and for how long."""

from __future__ import annotations

from pydantic import Field

from clip_har.component import ComponentConfig


class CaptureConfig(ComponentConfig):
    """Capture of what the service saw."""

    enabled: bool = Field(True, description="Whether predictions are captured.")
    folder: str | None = Field(
        None,
        min_length=1,
        description="Where they go; `capture` in the workspace if not given (none: nothing is kept).",
    )
    sampling_rate: float = Field(1.0, ge=0, le=1, description="Share of the predictions that is captured.")
    images: bool = Field(False, description="Whether the pictures themselves are kept, as they were sent.")
    top_scores: int = Field(5, ge=1, le=100, description="Labels and scores kept of each prediction, the best first.")
    buffer: int = Field(2048, ge=1, description="Predictions waiting to be written; more are dropped, and counted.")
    buffer_bytes: int = Field(
        64_000_000, ge=1, description="Bytes of images waiting to be written; more are dropped, and counted."
    )
    flush_seconds: float = Field(2.0, gt=0, description="How long a prediction waits, at most, before it is on disk.")
    rows_per_file: int = Field(5000, ge=1, description="Rows after which a process begins a new file.")
    retention_days: float | None = Field(
        30.0, gt=0, description="Age at which captured rows and images are deleted; never if null."
    )
