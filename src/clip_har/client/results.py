"""What calls give back: the service's own schemas, and a picture's answer with whose it is."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from pydantic import Field

from clip_har.component import validated
from clip_har.errors import ClipHarError, ConfigError
from clip_har.serving.schemas.predicting import PredictionResult, PredictOptions, PredictResponse


class PictureResult(PredictionResult):
    """One picture's answer, with the model that gave it and the request that asked for it."""

    model_id: str = Field(description="The model that answered.")
    request_id: str = Field(description="The request's id, as the service's log has it.")


Outcome = PictureResult | ClipHarError
"""What becomes of one picture among many: its answer, or why there is none."""


def only_result(response: PredictResponse) -> PictureResult:
    """The answer of a request with one picture."""
    values = {name: getattr(response.results[0], name) for name in PredictionResult.model_fields}
    return PictureResult.model_construct(model_id=response.model_id, request_id=response.request_id, **values)


def heat_map_of(result: PredictionResult) -> bytes | None:
    """The heat map's PNG, if there is one."""
    return None if result.heat_map is None else base64.b64decode(result.heat_map)


def options_of(
    *,
    labels: Sequence[str] | None = None,
    templates: Sequence[str] | None = None,
    top_k: int = 5,
    threshold: float | None = None,
    coverage: float | None = None,
    conformal: bool = True,
    explain: bool = False,
) -> PredictOptions:
    """How pictures are to be scored; checked here as far as it can be without the model.

    Args:
        labels: labels of your own (open vocabulary); the model's if not given.
        templates: texts around them, {} in the label's place; the model's if not given.
        top_k: labels to answer with.
        threshold: abstain below this probability; the model's own if not given.
        coverage: how often the label set is to hold the true label; the model's own if not given.
        conformal: whether a label set is wanted.
        explain: whether a heat map is wanted.

    Raises:
        ConfigError: if something cannot be asked.
    """
    for name, texts in (("labels", labels), ("templates", templates)):
        if isinstance(texts, str):
            raise ConfigError(f"{name}: a list of texts is wanted, got the text {texts!r}.")
    return validated(
        PredictOptions,
        {
            "labels": None if labels is None else list(labels),
            "templates": None if templates is None else list(templates),
            "top_k": top_k,
            "threshold": threshold,
            "coverage": coverage,
            "conformal": conformal,
            "explain": explain,
        },
    )
