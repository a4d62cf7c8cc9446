"""What the service says of itself: its model, its labels, its reports, its health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class LabelsResponse(BaseModel):
    """The model's labels."""

    model_id: str = Field(description="Whose they are.")
    labels: list[str] = Field(description="In the order of the model's scores.")
    open_vocabulary: Literal["kept", "degraded", "lost"] = Field(description="Whether other labels can be asked for.")


class DataDescription(BaseModel):
    """The data that a model was trained on."""

    revision: str = Field(description="Version of the data.")
    hash: str = Field(description="Content hash of the list of photographs.")
    dvc_hash: str | None = Field(description="DVC's md5 of the photographs; null if they were not published.")


class OpenVocabularyDescription(BaseModel):
    """Whether labels that were not trained still work."""

    word: Literal["kept", "degraded", "lost"] = Field(description="The verdict; `lost`: they are refused.")
    basis: str = Field(description="What the verdict rests on.")
    base_accuracy: float | None = Field(description="Accuracy on the classes adapted to, if measured.")
    novel_accuracy: float | None = Field(description="Accuracy on classes held out, if measured.")
    harmonic_mean: float | None = Field(description="Of the two.")


class CalibrationDescription(BaseModel):
    """What the probabilities can be trusted for."""

    temperature: float = Field(description="Logits are divided by it before the softmax.")
    split: str = Field(description="Split that it was fitted on.")
    samples: int = Field(description="Photographs in that split.")
    threshold: float | None = Field(description="Below it the model abstains; null: it never does of itself.")
    coverage: float | None = Field(description="Of a label set, if none is asked for; null: there are no label sets.")
    coverages: list[float] = Field(description="Those that can be asked for.")


class InputDescription(BaseModel):
    """What the image encoder takes."""

    height: int = Field(description="Pixels.")
    width: int = Field(description="Pixels.")
    formats: list[str] = Field(description="Image formats that are taken.")


class ModelResponse(BaseModel):
    """The model that is served."""

    model_id: str = Field(description="sha256 over the core of its bundle.")
    name: str = Field(description="Its name in the Open Inference Protocol.")
    role: str = Field(description="champion, challenger, newest or packaged.")
    method: str = Field(description="Adaptation method.")
    backbone: str = Field(description="What adaptation started from.")
    data: DataDescription = Field(description="What it was trained on.")
    metrics: dict[str, float] = Field(description="Figures on the validation split.")
    runtime: str = Field(description="What runs the image encoder.")
    embedding_dimensions: int = Field(description="Length of an embedding.")
    encoder_hash: str = Field(description="Hash of the image encoder: embeddings of equal ones can be compared.")
    input: InputDescription = Field(description="What the image encoder takes.")
    labels: list[str] = Field(description="Its labels.")
    open_vocabulary: OpenVocabularyDescription = Field(description="Whether other labels work.")
    calibration: CalibrationDescription = Field(description="What the probabilities can be trusted for.")


class ReportEntry(BaseModel):
    """A report that can be read."""

    name: str = Field(description="For `/v1/reports/{name}`.")
    formats: list[Literal["json", "html"]] = Field(description="What it is there as.")
    source: str = Field(description="Where it comes from: bundle, a run's name, or workspace.")


class ReportsResponse(BaseModel):
    """The reports about the served model, and about what the service saw."""

    model_id: str = Field(description="The model that is served.")
    reports: list[ReportEntry] = Field(description="By name.")


class ReportResponse(BaseModel):
    """One report as JSON."""

    name: str = Field(description="Its name.")
    model_id: str = Field(description="The model that is served.")
    source: str = Field(description="Where it comes from.")
    content: dict[str, Any] | list[Any] = Field(description="The report.")


class LiveResponse(BaseModel):
    """The process answers."""

    live: Literal[True] = Field(description="Always true: a process that is not live does not answer.")


class ReadyResponse(BaseModel):
    """Pictures are answered."""

    ready: Literal[True] = Field(description="Always true: a service that is not ready answers 503.")
