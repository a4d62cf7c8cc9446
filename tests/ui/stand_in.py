"""A service without a process: it answers what a test says, and remembers what it was asked."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

from PIL import Image

from clip_har.client import ServiceProblem
from clip_har.serving.schemas import (
    CalibrationDescription,
    DataDescription,
    FeedbackResponse,
    InputDescription,
    ModelResponse,
    OpenVocabularyDescription,
    PredictionResult,
    PredictResponse,
    ReportEntry,
    ReportResponse,
    ReportsResponse,
    ScoredLabel,
)

MODEL_ID = "3f6c" * 16
LABELS = ["calling", "cycling", "texting", "using_laptop"]


def picture(colour: tuple[int, int, int] = (200, 80, 40), size: tuple[int, int] = (48, 32)) -> bytes:
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def model(**changes: Any) -> ModelResponse:
    """What the service says of its model."""
    values: dict[str, Any] = {
        "model_id": MODEL_ID,
        "name": "clip-har",
        "role": "champion",
        "method": "linear_probe",
        "backbone": "tiny-clip",
        "data": DataDescription(revision="0" * 40, hash="1" * 64, dvc_hash=None),
        "metrics": {"accuracy": 0.9},
        "runtime": "onnx",
        "embedding_dimensions": 4,
        "encoder_hash": "2" * 64,
        "input": InputDescription(height=32, width=32, formats=["JPEG", "PNG"]),
        "labels": LABELS,
        "open_vocabulary": OpenVocabularyDescription(
            word="kept", basis="nothing was adapted", base_accuracy=None, novel_accuracy=None, harmonic_mean=None
        ),
        "calibration": CalibrationDescription(
            temperature=1.0, split="calibration", samples=50, threshold=0.4, coverage=0.9, coverages=[0.8, 0.9, 0.95]
        ),
    }
    return ModelResponse(**(values | changes))


class StandInClient:
    """Answers every picture alike, unless a test says otherwise.

    Attributes:
        asked: bytes and options of each prediction.
        told: prediction id and label of each feedback.
        problems: a picture's bytes → the problem it meets; None as the key: every picture.
        scores: of the labels that are asked for, falling.
        abstained, label_set: of every answer.
        contents: name of a report → what it says.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, dict[str, Any]]] = []
        self.told: list[tuple[str, str]] = []
        self.problems: dict[bytes | None, Exception] = {}
        self.scores = (0.7, 0.2, 0.06, 0.04)
        self.abstained = False
        self.label_set: list[str] | None = ["calling", "texting"]
        self.contents: dict[str, Any] = {}
        self.model_problem: Exception | None = None

    def model(self) -> ModelResponse:
        if self.model_problem is not None:
            raise self.model_problem
        return model()

    def predict(self, data: bytes, **options: Any) -> PredictResponse:
        self.asked.append((data, options))
        problem = self.problems.get(data, self.problems.get(None))
        if problem is not None:
            raise problem
        own = options.get("labels")
        labels = (own or LABELS)[: options.get("top_k", 5)]
        scored = [ScoredLabel(label=label, score=score) for label, score in zip(labels, self.scores, strict=False)]
        overlay = base64.b64encode(picture()).decode() if options.get("explain") else None
        result = PredictionResult(
            prediction_id=hashlib.sha256(data).hexdigest()[:32],
            label=scored[0].label,
            confidence=scored[0].score,
            labels=scored,
            abstained=self.abstained,
            calibrated=own is None,
            label_set=None if own else self.label_set,
            heat_map=overlay,
            heat_map_label=scored[0].label if overlay else None,
        )
        return PredictResponse(request_id="9" * 32, model_id=MODEL_ID, results=[result])

    def feedback(self, prediction_id: str, label: str) -> FeedbackResponse:
        if None in self.problems:
            raise self.problems[None]
        self.told.append((prediction_id, label))
        return FeedbackResponse.model_construct()

    def reports(self) -> ReportsResponse:
        entries = [ReportEntry(name=name, formats=["json"], source="a run") for name in self.contents]
        return ReportsResponse(model_id=MODEL_ID, reports=entries)

    def report(self, name: str) -> ReportResponse:
        return ReportResponse(name=name, model_id=MODEL_ID, source="a run", content=self.contents[name])


def no_answer() -> ServiceProblem:
    """What a dead service gives."""
    return ServiceProblem("No service answers at http://127.0.0.1:9: connection refused.")
