"""Bodies of requests, and examples of requests, answers and problems, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

_PREDICTION_ID = "5f0c6d5a1c1b4a4f9d6c1a2b3c4d5e6f"
_REQUEST_ID = "9b2f6c1e0d8e4f0f8a7c5b3a1d2e4f60"
_MODEL_ID = "3f6c" * 16
# A picture of one pixel, as PNG.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGNgYGAAAAAEAAH2FzhVAAAAAElFTkSuQmCC"


def _reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


REQUESTS: dict[str, dict[str, Any]] = {
    "predict": {
        "required": True,
        "description": "Pictures as files of a form, or as base64 in JSON.",
        "content": {
            "multipart/form-data": {
                "schema": _reference("PredictForm"),
                "encoding": {
                    "images": {"contentType": "image/jpeg, image/png, image/webp, image/bmp, image/gif, image/tiff"}
                },
            },
            "application/json": {
                "schema": _reference("PredictRequest"),
                "examples": {
                    "picture": {
                        "summary": "One picture, the model's labels",
                        "value": {"images": [_PICTURE], "top_k": 3},
                    },
                    "labels": {
                        "summary": "Labels of your own",
                        "value": {
                            "images": [_PICTURE],
                            "labels": ["cycling", "walking the dog"],
                            "templates": ["a photo of a person {}."],
                        },
                    },
                },
            },
        },
    },
    "embed": {
        "required": True,
        "description": "Pictures as files of a form, or as base64 in JSON.",
        "content": {
            "multipart/form-data": {
                "schema": _reference("EmbedForm"),
                "encoding": {
                    "images": {"contentType": "image/jpeg, image/png, image/webp, image/bmp, image/gif, image/tiff"}
                },
            },
            "application/json": {"schema": _reference("EmbedRequest"), "example": {"images": [_PICTURE]}},
        },
    },
    "feedback": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _reference("FeedbackRequest"),
                "example": {"prediction_id": _PREDICTION_ID, "label": "cycling"},
            }
        },
    },
    "infer": {
        "required": True,
        "description": "Tensors in JSON; with the header Inference-Header-Content-Length, JSON of that length and then the data "
        "of the tensors that name their `binary_data_size`.",
        "content": {
            "application/json": {
                "schema": _reference("InferRequest"),
                "example": {
                    "inputs": [{"name": "images", "datatype": "BYTES", "shape": [1], "data": [_PICTURE]}],
                    "outputs": [{"name": "labels"}, {"name": "scores"}],
                    "parameters": {"top_k": 2},
                },
            }
        },
    },
}

ANSWERS: dict[str, Any] = {
    "predict": {
        "request_id": _REQUEST_ID,
        "model_id": _MODEL_ID,
        "results": [
            {
                "prediction_id": _PREDICTION_ID,
                "label": "cycling",
                "confidence": 0.91,
                "labels": [{"label": "cycling", "score": 0.91}, {"label": "running", "score": 0.04}],
                "abstained": False,
                "calibrated": True,
                "label_set": ["cycling"],
                "seconds": {"queue": 0.0004, "decode": 0.0021, "encode": 0.0093, "head": 0.0002},
            }
        ],
    },
    "embed": {
        "request_id": _REQUEST_ID,
        "model_id": _MODEL_ID,
        "dimensions": 4,
        "results": [{"embedding": [0.5, -0.5, 0.5, -0.5]}],
    },
    "feedback": {"request_id": _REQUEST_ID, "prediction_id": _PREDICTION_ID, "label": "cycling"},
    "labels": {"model_id": _MODEL_ID, "labels": ["cycling", "running", "sitting"], "open_vocabulary": "kept"},
    "infer": {
        "model_name": "clip-har",
        "model_version": _MODEL_ID,
        "outputs": [
            {"name": "labels", "datatype": "BYTES", "shape": [1, 2], "data": ["cycling", "running"]},
            {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [0.91, 0.04]},
        ],
    },
    "live": {"live": True},
    "ready": {"ready": True},
}

PROBLEMS: dict[int, tuple[str, dict[str, Any]]] = {
    400: (
        "The request cannot be read.",
        {"code": "bad_request", "detail": "The form ends before its last boundary.", "field": "body"},
    ),
    401: (
        "A valid API key is wanted.",
        {"code": "unauthorized", "detail": "An API key is wanted: `authorization: Bearer KEY` or `x-api-key: KEY`."},
    ),
    404: ("There is no such thing here.", {"code": "not_found", "detail": "There is no report 'leaderbord'."}),
    408: (
        "The request did not arrive in time.",
        {"code": "request_timeout", "detail": "The body did not come within 10 s: 65,536 bytes of it are here."},
    ),
    413: (
        "The request is larger than allowed.",
        {
            "code": "too_large",
            "detail": "The body has 12,000,000 bytes; at most 10,000,000 are allowed.",
            "field": "body",
        },
    ),
    415: (
        "This kind of content is not taken.",
        {
            "code": "not_an_image",
            "detail": "The image is not an image of an allowed format (JPEG, PNG, WEBP, BMP, GIF, TIFF).",
            "field": "images[0]",
        },
    ),
    422: (
        "The request cannot be answered as it is.",
        {"code": "unprocessable", "detail": "top_k: wanted: greater than or equal to 1.", "field": "top_k"},
    ),
    429: (
        "There are more requests than can be answered now.",
        {
            "code": "too_many_requests",
            "detail": "64 pictures are waiting or being answered, of 64 that may. Try again later.",
            "retry_after": 0.8,
        },
    ),
    500: (
        "The service failed.",
        {
            "code": "internal",
            "detail": "Something failed here that is no fault of the request. The log has it under its id.",
        },
    ),
    503: (
        "The service cannot answer now.",
        {"code": "unavailable", "detail": "The service is starting.", "retry_after": 1.0},
    ),
}
