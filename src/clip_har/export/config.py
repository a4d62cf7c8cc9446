"""What is exported, and the bounds of the gate."""

from __future__ import annotations

from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.errors import did_you_mean
from clip_har.export.latency import LatencyConfig
from clip_har.export.quantisation.config import QuantisationConfig
from clip_har.export.tensorrt.config import TensorRTConfig
from clip_har.inference.exported import EncoderName, PrecisionName

DEFAULT_FORMS = ("onnx", "onnx-fp16", "onnx-int8", "onnx-int8-dynamic", "torch-export")
TENSORRT = "tensorrt"


class Bounds(ComponentConfig):
    """What a form must reach beside the PyTorch encoder; null: not asked for."""

    cosine_minimum: float | None = Field(None, ge=-1, le=1, description="Lowest cosine of any embedding.")
    cosine_mean: float | None = Field(None, ge=-1, le=1, description="Mean cosine of the embeddings.")
    agreement: float | None = Field(None, ge=0, le=1, description="Share of photographs with the same best label.")
    accuracy_loss: float | None = Field(
        None, ge=0, le=1, description="By how much accuracy may be lower (0.005: half a point)."
    )


_HALF = Bounds(cosine_minimum=0.999, agreement=0.995)


class GateConfig(ComponentConfig):
    """What every exported form is asked for before it may answer anybody."""

    fp32: Bounds = Field(Bounds(cosine_minimum=0.9999, agreement=1.0), description="Of forms in float32.")
    fp16: Bounds = Field(_HALF, description="Of forms in float16.")
    bf16: Bounds = Field(_HALF, description="Of forms in bfloat16.")
    int8: Bounds = Field(Bounds(cosine_mean=0.99, accuracy_loss=0.005), description="Of forms in int8.")
    batch_mates: float = Field(
        1e-5, ge=0, description="By how much a score may change with what shares the batch, on a CPU."
    )
    tie: float = Field(
        1e-5,
        ge=0,
        description="Two labels are tied if PyTorch's own probabilities of them differ by no more: float noise decides "
        "between them, and either is taken as agreement.",
    )
    most_samples: int | None = Field(None, ge=1, description="Validation photographs used, at most; null: all.")
    batch_samples: int = Field(16, ge=1, description="Photographs that are tried in batches of others.")
    resamples: int = Field(2000, ge=100, description="Bootstrap samples behind the interval of the accuracy's change.")
    seed: int = Field(0, description="Of the bootstrap and of the batches.")

    def bounds(self, precision: PrecisionName) -> Bounds:
        """The bounds of a precision."""
        return getattr(self, precision)


class ExportConfig(ComponentConfig):
    """Which forms of a bundle's encoders are made."""

    forms: tuple[str, ...] = Field(
        DEFAULT_FORMS,
        min_length=1,
        description="Exporters to run; tensorrt runs where `tensorrt` is configured.",
    )
    encoders: tuple[EncoderName, ...] = Field(("image", "text"), min_length=1, description="Encoders to export.")
    opset: int = Field(18, ge=18, description="Of ONNX files.")
    quantisation: QuantisationConfig = Field(QuantisationConfig(), description="How int8 forms are made.")
    int8_tries: int = Field(
        3,
        ge=1,
        description="Times that an int8 encoder is made, at most: where the gate would refuse it, it is made again with half "
        "the loss of cosine, and so with more layers left in float.",
    )
    tensorrt: TensorRTConfig | None = Field(None, description="TensorRT engines; null: none are built.")
    gate: GateConfig = Field(GateConfig(), description="What a form must reach to be kept.")
    latency: LatencyConfig = Field(LatencyConfig(), description="How accepted forms are timed.")

    @field_validator("forms")
    @classmethod
    def _forms_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from clip_har.export import EXPORTERS

        for name in value:
            if name not in EXPORTERS:
                raise ValueError(f"there is no exporter {name!r}. {did_you_mean(name, EXPORTERS)}")
        if len(set(value)) != len(value):
            raise ValueError(f"one is listed twice ({', '.join(value)})")
        return value

    @property
    def making(self) -> ExportConfig:
        """The same without what only the verdicts and the timing depend on: forms need not be made again for those."""
        kept = self.gate.model_dump(include={"int8", "tie", "most_samples", "resamples", "seed"})
        return self.model_copy(update={"gate": GateConfig(**kept), "latency": LatencyConfig()})

    @property
    def exporters(self) -> tuple[str, ...]:
        """The exporters to run, TensorRT's among them if it is configured."""
        named = tuple(name for name in self.forms if name != TENSORRT)
        return (*named, TENSORRT) if self.tensorrt is not None or TENSORRT in self.forms else named
