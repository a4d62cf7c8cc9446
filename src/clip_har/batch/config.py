"""What a batch job reads, asks and writes."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from clip_har.batch.sources import AnyBatchSource
from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.errors import ConfigError, did_you_mean

ENGINES = ("local", "ray")


class RayConfig(ComponentConfig):
    """Where Ray runs, and how many work."""

    address: str | None = Field(
        None, description="A cluster to join (`auto`, ray://HOST:PORT); a new local one if not given."
    )
    cpus: int | None = Field(None, ge=1, description="CPUs of a new local Ray; all of this machine if not given.")
    actors: int | None = Field(
        None, ge=1, description="Predictors at work; one a GPU, or one a machine without GPUs, if not given."
    )
    cpus_per_actor: int | None = Field(
        None, ge=1, description="CPUs of each; if not given, an even share of a machine's."
    )
    object_store_bytes: int = Field(
        100_000_000, ge=80_000_000, description="Object store of a new local Ray. Little passes through it."
    )


class SummaryConfig(ComponentConfig):
    """What the page about a job shows."""

    low_confidence: int = Field(24, ge=0, description="How many of the least sure answers are listed.")
    pictures_per_label: int = Field(6, ge=0, description="Pictures of each label on the contact sheet.")
    labels: int = Field(40, ge=0, description="Labels on the contact sheet, the most frequent first.")


class BatchConfig(ComponentConfig):
    """A batch job."""

    source: AnyBatchSource | None = Field(
        None,
        description="What is recognised: a path (a folder, .txt list, .zip, .tar, .parquet or video), or a mapping with "
        "`kind` (folder, list, zip, tar, parquet, video), `path` and settings of that kind.",
    )
    format: Literal["parquet", "csv", "jsonl"] = Field("parquet", description="Format of the table.")
    output: str | None = Field(
        None,
        min_length=1,
        description="Folder, or URL that fsspec knows (s3://…), for the table in parts; one file in the run's folder if not "
        "given.",
    )
    engine: str = Field("local", description="local, or ray (Ray Data; needs the extra `scale`).")
    ray: RayConfig = Field(RayConfig(), description="Settings of the engine ray.")
    runtime: str = Field("auto", description="What runs the image encoder: auto, torch, onnx, onnx-int8, tensorrt …")
    labels: tuple[str, ...] | None = Field(None, min_length=1, description="Labels of your own instead of the model's.")
    templates: tuple[str, ...] | None = Field(None, min_length=1, description="Templates for them.")
    top_k: int = Field(5, ge=1, description="Labels in each row.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="Abstain below this probability; the model's own threshold if not given."
    )
    coverage: float | None = Field(None, gt=0, lt=1, description="Of the label sets; the model's own if not given.")
    details: bool = Field(
        False,
        description="Also write each image's embedding, all probabilities, its brightness, contrast … and its bytes, which "
        "`monitor` looks at. Needs the format parquet.",
    )
    limits: ImageLimits = Field(ImageLimits(), description="What is accepted as an image.")
    part_rows: int = Field(
        1024, ge=1, description="Rows written at one time: what a kill costs at most. Rounded up to whole batches."
    )
    summary: SummaryConfig = Field(SummaryConfig(), description="What the page about the job shows.")

    @field_validator("engine")
    @classmethod
    def _engine_is_known(cls, value: str) -> str:
        if value not in ENGINES:
            raise ValueError(f"there is no engine {value!r}. {did_you_mean(value, ENGINES)}")
        return value

    @model_validator(mode="after")
    def _details_have_a_format(self) -> BatchConfig:
        if self.details and self.format != "parquet":
            raise ValueError(
                f"details: embeddings are written to Parquet only, not to {self.format}; set format to parquet"
            )
        return self

    @property
    def named_source(self) -> Any:
        """The source's config.

        Raises:
            ConfigError: if none is named.
        """
        if self.source is None:
            raise ConfigError(
                "batch.source: say what is to be recognised: --set batch.source=FOLDER (or a .txt list, .zip, .tar, "
                ".parquet or video)."
            )
        return self.source

    def asked(self) -> dict[str, Any]:
        """The settings that decide what a row says."""
        kept = {"runtime", "labels", "templates", "top_k", "threshold", "coverage", "limits", "part_rows"}
        asked = self.model_dump(mode="json", include=kept)
        return asked | {"details": True} if self.details else asked  # as it was before there were details: jobs go on
