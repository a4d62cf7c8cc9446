"""What is asked of the engine, and what it answers: the same for REST, gRPC and the Open Inference Protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from clip_har.inference.answers import Prediction
from clip_har.serving.errors import TooLarge, Unprocessable

if TYPE_CHECKING:
    from clip_har.serving.config import RequestLimits


@dataclass(frozen=True)
class Asked:
    """How pictures are to be scored.

    Attributes:
        labels, templates: of the caller's own (open vocabulary); the model's if None.
        top_k: labels to answer with.
        threshold: probability below which to abstain; the model's own if None.
        coverage: how often the label set holds the true label; the model's own if None.
        conformal: whether a label set is wanted at all.
        explain: whether a heat map is wanted.
        key: what the challenger's share of the traffic is drawn by; the request's id as a rule.
        surface: where it came from: rest, oip-rest, grpc or oip-grpc.
        caller: name of the API key, if there are keys.
        version: model id, or its beginning, that must answer; whichever is served if None.
    """

    labels: tuple[str, ...] | None = None
    templates: tuple[str, ...] | None = None
    top_k: int = 5
    threshold: float | None = None
    coverage: float | None = None
    conformal: bool = True
    explain: bool = False
    key: str = ""
    surface: str = "rest"
    caller: str | None = None
    version: str | None = None


@dataclass(frozen=True)
class Answered:
    """The answer for one picture.

    Attributes:
        id: of the prediction (a UUID in hex): feedback names it.
        model_id: whose answer it is.
        prediction: labels, scores, set, abstention.
        embedding: float32 [d], L2-normalised.
        seconds: by stage: queue, decode, encode, head.
        heat_map: PNG of the picture under its heat map, if it was asked for.
        heat_map_label: the label that it explains.
    """

    id: str
    model_id: str
    prediction: Prediction
    embedding: np.ndarray
    seconds: Mapping[str, float] = field(default_factory=dict)
    heat_map: bytes | None = None
    heat_map_label: str | None = None


def check(asked: Asked, images_count: int, limits: RequestLimits) -> None:
    """The one place where what is asked is held against the limits; what only the model can judge comes later.

    Raises:
        TooLarge: for too many pictures.
        Unprocessable: for anything else; its `field` says which.
    """
    if images_count < 1:
        raise Unprocessable("There is no picture in the request; at least one is wanted.", field="images")
    if images_count > limits.max_images:
        raise TooLarge(
            f"{images_count} pictures in one request; at most {limits.max_images} are allowed.", field="images"
        )
    if not 1 <= asked.top_k <= limits.max_top_k:
        raise Unprocessable(f"top_k must be from 1 to {limits.max_top_k}, got {asked.top_k}.", field="top_k")
    _check_share("threshold", asked.threshold)
    _check_share("coverage", asked.coverage)
    _check_texts("labels", asked.labels, limits.max_labels, limits.max_label_characters)
    _check_texts("templates", asked.templates, limits.max_templates, limits.max_template_characters)
    if asked.explain and (asked.labels is not None or asked.templates is not None):
        raise Unprocessable(
            "A heat map explains the model's own labels; leave out labels and templates.", field="explain"
        )


def _check_share(name: str, value: float | None) -> None:
    if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
        raise Unprocessable(f"{name}: wanted: a number from 0 to 1, got {value}.", field=name)


def _check_texts(name: str, texts: Sequence[str] | None, most: int, longest: int) -> None:
    if texts is None:
        return
    if not texts:
        raise Unprocessable(f"{name}: at least one is wanted; leave {name} out for the model's own.", field=name)
    if len(texts) > most:
        raise Unprocessable(f"{name}: {len(texts)} are given; at most {most} are allowed.", field=name)
    for place, text in enumerate(texts):
        if not text.strip():
            raise Unprocessable(f"{name}[{place}] is empty.", field=f"{name}[{place}]")
        if len(text) > longest:
            raise Unprocessable(
                f"{name}[{place}] has {len(text)} characters; at most {longest} are allowed.", field=f"{name}[{place}]"
            )
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
            raise Unprocessable(
                f"{name}[{place}] has half of a surrogate pair, which is no text.", field=f"{name}[{place}]"
            )
