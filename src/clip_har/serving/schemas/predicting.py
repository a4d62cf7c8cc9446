"""What `/v1/predict`, `/v1/embed` and `/v1/feedback` are asked, and what they answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from clip_har.serving.schemas.problem import Problem

# A picture in JSON. Pydantic's own base64 types would decode it while they validate: twice the memory, and on the event loop.
Base64Image = Annotated[
    str,
    Field(
        min_length=1,
        description="An image file's bytes in base64 (RFC 4648, section 4).",
        json_schema_extra={"format": "byte", "contentEncoding": "base64"},
    ),
]
ImageUrl = Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://", description="Where an image is.")]


class PredictOptions(BaseModel):
    """How pictures are to be scored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: list[str] | None = Field(
        None, min_length=1, description="Labels of your own (open vocabulary); the model's if not given."
    )
    templates: list[str] | None = Field(
        None,
        min_length=1,
        description="Texts around the labels, with {} in the label's place; the model's if not given.",
    )
    top_k: int = Field(5, ge=1, description="Labels to answer with, the best first.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Abstain below this probability; below the model's own threshold if not given.",
    )
    coverage: float | None = Field(
        None,
        gt=0,
        le=0.99,
        allow_inf_nan=False,
        description="How often the label set is to hold the true label; the model's own choice if not given.",
    )
    conformal: bool = Field(True, description="Whether a label set is wanted.")
    explain: bool = Field(
        False, description="Whether a heat map is wanted: which places of the picture the score rests on."
    )


class ImagesRequest(BaseModel):
    """Pictures as base64, or where they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    images: list[Base64Image] | None = Field(None, min_length=1, description="Pictures.")
    urls: list[ImageUrl] | None = Field(
        None, min_length=1, description="Where pictures are; only if the service is set to fetch them. After `images`."
    )


class PredictRequest(PredictOptions, ImagesRequest):
    """Pictures, and how they are to be scored."""


class EmbedRequest(ImagesRequest):
    """Pictures to embed."""


class ScoredLabel(BaseModel):
    """A label and its probability."""

    label: str = Field(description="The label.")
    score: float = Field(ge=0, le=1, description="Its probability.")


class PredictionResult(BaseModel):
    """The answer for one picture, or its error."""

    prediction_id: str | None = Field(description="Names this prediction in feedback; null if there is an error.")
    label: str | None = Field(description="The best label; null if there is an error.")
    confidence: float | None = Field(ge=0, le=1, description="Its probability.")
    labels: list[ScoredLabel] = Field(description="The best labels, falling.")
    abstained: bool = Field(
        description="The best probability is below the threshold: the answer is not to be acted on."
    )
    calibrated: bool = Field(description="Whether the probabilities are calibrated; not for labels of your own.")
    label_set: list[str] | None = Field(
        description="Labels that hold the true one as often as the coverage says, the likeliest first; null where nothing "
        "is known about it, or it was not wanted."
    )
    heat_map: str | None = Field(
        None, description="PNG in base64: the picture under a heat map of what the score rests on, if it was asked for."
    )
    heat_map_label: str | None = Field(None, description="The label that the heat map explains.")
    seconds: dict[str, float] = Field({}, description="Time by stage: queue, decode, encode, head.")
    error: Problem | None = Field(None, description="Why there is no answer for this picture.")


class PredictResponse(BaseModel):
    """The answers, in the order of the pictures."""

    request_id: str = Field(description="The request's id, as in the header X-Request-ID.")
    model_id: str = Field(description="The model that answered.")
    results: list[PredictionResult] = Field(min_length=1, description="One for each picture.")


class EmbedResult(BaseModel):
    """The embedding of one picture, or its error."""

    embedding: list[float] | None = Field(description="L2-normalised; null if there is an error.")
    error: Problem | None = Field(None, description="Why there is none.")


class EmbedResponse(BaseModel):
    """Embeddings, in the order of the pictures."""

    request_id: str = Field(description="The request's id, as in the header X-Request-ID.")
    model_id: str = Field(description="The model whose image encoder made them.")
    dimensions: int = Field(description="Length of each.")
    results: list[EmbedResult] = Field(min_length=1, description="One for each picture.")


class FeedbackRequest(BaseModel):
    """The true label of a picture that was predicted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prediction_id: str = Field(pattern="^[0-9a-f]{32}$", description="Of the prediction, as it was answered.")
    label: str = Field(min_length=1, pattern=r"\S", description="The true label.")


class FeedbackResponse(BaseModel):
    """What was written down."""

    request_id: str = Field(description="The request's id, as in the header X-Request-ID.")
    prediction_id: str = Field(description="Of the prediction.")
    label: str = Field(description="The true label.")
