"""What is asked of the engine, and what it answers: the same for REST, gRPC and the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from clip_har.inference.answers import Prediction


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
