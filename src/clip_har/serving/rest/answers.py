"""Answers of the engine → JSON. Plain dictionaries, since they are made for every picture; `schemas` says their shape."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic_core import to_json
from starlette.responses import Response

from clip_har.serving.asking import Answered
from clip_har.serving.errors import ServiceError
from clip_har.serving.problems import problem


def json_response(content: Any, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json", headers=headers)


def first_error(results: Sequence[Any]) -> ServiceError | None:
    """The error that stands for the whole request: the first, if there is no answer at all."""
    if results and all(isinstance(result, ServiceError) for result in results):
        return results[0]
    return None


def prediction(result: Answered | ServiceError) -> dict[str, Any]:
    """A `PredictionResult`."""
    if isinstance(result, ServiceError):
        return _NOTHING | {"error": problem(result)}
    answer = result.prediction
    made: dict[str, Any] = {
        "prediction_id": result.id,
        "label": answer.label,
        "confidence": _share(answer.scores[0]) if answer.scores else None,
        "labels": [
            {"label": label, "score": _share(score)} for label, score in zip(answer.labels, answer.scores, strict=True)
        ],
        "abstained": answer.abstained,
        "calibrated": answer.calibrated,
        "label_set": answer.label_set,
        "seconds": result.seconds,
    }
    if result.heat_map is not None:
        made["heat_map"] = base64.b64encode(result.heat_map).decode("ascii")
        made["heat_map_label"] = result.heat_map_label
    return made


def embedding(result: np.ndarray | ServiceError) -> dict[str, Any]:
    """An `EmbedResult`."""
    if isinstance(result, ServiceError):
        return {"embedding": None, "error": problem(result)}
    return {"embedding": result.tolist()}


_NOTHING = {
    "prediction_id": None,
    "label": None,
    "confidence": None,
    "labels": [],
    "abstained": False,
    "calibrated": False,
    "label_set": None,
    "seconds": {},
}


def _share(score: float) -> float:
    """A probability; float32 may pass 1 by a last bit."""
    return min(1.0, score)
