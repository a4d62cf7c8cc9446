"""Tip-Adapter: labelled photographs as a key-value cache beside the text scores; and the same with fitted keys.

Zhang et al. 2022, "Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification" (ECCV): equations 3 to 5 for
the scores, section 3.2 for Tip-Adapter-F, and the search over alpha and beta of the authors' code.

The paper's keys are means over ten augmented views; cached embeddings have the plain view only. Without the random
views a photograph in training would find itself in the cache and learn nothing from the others: `leave_own_out` hides
its own key from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance, EmbeddingTask, better
from clip_har.adaptation.fitting import fit_task
from clip_har.component import ComponentConfig
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import CacheHead
from clip_har.training.config import TrainerConfig
from clip_har.training.scores import validation_scores

_PUBLISHED_SCALE = 100.0  # CLIP's, by which the paper multiplies cosines


class GridConfig(ComponentConfig):
    """Values to try."""

    lowest: float = Field(gt=0, description="The smallest.")
    highest: float = Field(gt=0, description="The largest.")
    steps: int = Field(ge=1, description="How many, with the two.")
    spacing: Literal["linear", "geometric"] = Field("linear", description="Equal differences, or equal ratios.")

    @model_validator(mode="after")
    def _the_highest_is_not_below(self) -> GridConfig:
        if self.highest < self.lowest:
            raise ValueError(f"highest ({self.highest:g}) is below lowest ({self.lowest:g})")
        return self

    def values(self) -> np.ndarray:
        """float64 [steps], rising."""
        space = np.linspace if self.spacing == "linear" else np.geomspace
        return space(self.lowest, self.highest, self.steps)


_PUBLISHED_SEARCH: dict[str, Any] = {
    "alphas": {"lowest": 0.1, "highest": 3.0, "steps": 20, "spacing": "linear"},
    "betas": {"lowest": 0.1, "highest": 7.0, "steps": 200, "spacing": "linear"},
}
# Whole classes in the cache want a smaller alpha and a larger beta than sixteen shots do.
_WIDE_SEARCH: dict[str, Any] = {
    "alphas": {"lowest": 0.01, "highest": 30.0, "steps": 24, "spacing": "geometric"},
    "betas": {"lowest": 0.5, "highest": 50.0, "steps": 24, "spacing": "geometric"},
}


class TipAdapterConfig(MethodConfig):
    """The cache and the search."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {"cpu": _WIDE_SEARCH, "published": _PUBLISHED_SEARCH}

    method: Literal["tip_adapter"] = "tip_adapter"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the paper's grid; cpu is a wider, coarser one."
    )
    prompts: Literal["single", "ensemble"] = Field("ensemble", description="One template, or the mean over all.")
    alphas: GridConfig = Field(
        GridConfig(**_WIDE_SEARCH["alphas"]),
        description="Weights of the cache to try, for a logit scale of 100; they are scaled to the backbone's.",
    )
    betas: GridConfig = Field(GridConfig(**_WIDE_SEARCH["betas"]), description="Sharpnesses to try.")


class TipAdapter(AdaptationMethod):
    """The cache as it is; the encoders stay as they are."""

    Config = TipAdapterConfig
    config: TipAdapterConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        texts = context.texts(self.config.prompts)
        class_matrix = context.encoder.class_matrix(texts)
        head, history = search(_cache_of(context), class_matrix, context, self.config.alphas, self.config.betas)
        context.progress(1, 1, f"alpha={head.alpha:.3g} beta={head.beta:.3g}")
        return _adapted(self.config, context, name, head, class_matrix, texts, history, 0, [])


class TipAdapterFConfig(TipAdapterConfig):
    """The fitting of the keys."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": _WIDE_SEARCH
        | {
            "leave_own_out": True,
            "start": "searched",
            "training": {
                "epochs": 100,
                "max_steps": 400,
                "batch_size": 256,
                "learning_rate": 1e-3,
                "warmup_share": 0.0,
                "clip_norm": None,
                "patience": 20,
            },
        },
        "published": _PUBLISHED_SEARCH
        | {
            "leave_own_out": False,
            "start": "one",
            "training": {
                "epochs": 20,
                "batch_size": 256,
                "learning_rate": 1e-3,
                "weight_decay": 0.01,
                "warmup_share": 0.0,
                "clip_norm": None,
                "patience": None,
            },
        },
    }

    method: Literal["tip_adapter_f"] = "tip_adapter_f"  # type: ignore[assignment]
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the paper's recipe; cpu is bounded in its steps."
    )
    start: Literal["searched", "one"] = Field(
        "searched",
        description="Alpha and beta while the keys are fitted: those found for the unfitted cache, or 1 and 1.",
    )
    leave_own_out: bool = Field(True, description="Hide a photograph's own key from it while the keys are fitted.")
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    training: TrainerConfig = Field(TrainerConfig(), description="The training run.")


class TipAdapterF(AdaptationMethod):
    """The cache with keys fitted by gradient descent; then the search again."""

    Config = TipAdapterFConfig
    config: TipAdapterFConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        config = self.config
        texts = context.texts(config.prompts)
        class_matrix = context.encoder.class_matrix(texts)
        start, searched = search(_cache_of(context), class_matrix, context, config.alphas, config.betas)
        if config.start == "one":
            start = replace(start, alpha=context.encoder.logit_scale / _PUBLISHED_SCALE, beta=1.0)
        task = _build(context, config, start, class_matrix)
        at = {"alpha": start.alpha, "beta": start.beta}
        result = fit_task(
            context, config, config.training, task, builder=f"{__name__}:build_task", part="keys", arguments=at
        )
        keys = task.parameters()[0].detach().cpu().numpy()
        head, found = search(replace(start, keys=keys), class_matrix, context, config.alphas, config.betas)
        remarks = []
        if result.best_step == 0:
            remarks.append("No step improved on the start: the keys are the photographs' embeddings.")
        history = searched + result.history + found
        return _adapted(config, context, name, head, class_matrix, texts, history, keys.size, remarks)


def build_task(context: AdaptationContext, config: TipAdapterFConfig, *, alpha: float, beta: float) -> EmbeddingTask:
    """The keys as they begin, with the weight and the sharpness that they are fitted at."""
    class_matrix = context.encoder.class_matrix(context.texts(config.prompts))
    return _build(context, config, replace(_cache_of(context), alpha=alpha, beta=beta), class_matrix)


def _build(
    context: AdaptationContext, config: TipAdapterFConfig, start: CacheHead, class_matrix: np.ndarray
) -> EmbeddingTask:
    import torch

    device = context.encoder.device
    keys = torch.nn.Parameter(torch.from_numpy(start.keys.copy()).to(device))
    values = torch.from_numpy(start.values).to(device)
    text = torch.from_numpy(class_matrix).to(device)

    def logits(
        parameters: list[torch.nn.Parameter], images: torch.Tensor, positions: torch.Tensor | None
    ) -> torch.Tensor:
        affinities = images @ parameters[0].T
        if positions is not None and config.leave_own_out:
            affinities = affinities.scatter(1, positions[:, None], -torch.inf)
        cached = torch.exp(start.beta * (affinities - 1)) @ values
        return start.scale * images @ text.T + start.bias + start.alpha * cached

    return EmbeddingTask(
        (context.embeddings.of(context.train.ids), context.train.label_indices),
        (context.embeddings.of(context.validation.ids), context.validation.label_indices),
        len(context.manifest.labels),
        [keys],
        logits,
        device,
        balance=config.balance,
        seed=context.seed,
    )


def _cache_of(context: AdaptationContext) -> CacheHead:
    """The train split as keys and one-hot values; alpha and beta are still to be found."""
    train = context.train
    values = np.eye(len(train.labels), dtype=np.float32)[train.label_indices]
    return CacheHead(
        context.embeddings.of(train.ids), values, 1.0, 1.0, context.encoder.logit_scale, context.encoder.logit_bias
    )


def search(
    cache: CacheHead, class_matrix: np.ndarray, context: AdaptationContext, alphas: GridConfig, betas: GridConfig
) -> tuple[CacheHead, list[dict[str, float]]]:
    """The alpha and beta that are best on the validation split, and a row for each beta with its best alpha."""
    images, labels = context.embeddings.of(context.validation.ids), context.validation.label_indices
    text_logits = replace(cache, alpha=0.0).score(images, class_matrix)
    factor = cache.scale / _PUBLISHED_SCALE
    best, best_scores, history = cache, None, []
    for beta in betas.values().tolist():
        cached = replace(cache, beta=beta).cache_scores(images)
        row: dict[str, float] | None = None
        for alpha in (factor * alphas.values()).tolist():
            scores = validation_scores(text_logits + np.float32(alpha) * cached, labels)
            if better(scores, row):
                row = {"alpha": alpha, "beta": beta, **scores}
            if better(scores, best_scores):
                best, best_scores = replace(cache, alpha=alpha, beta=beta), scores
        history.append(row)
    return best, history


def _adapted(
    config: TipAdapterConfig,
    context: AdaptationContext,
    name: str,
    head: CacheHead,
    class_matrix: np.ndarray,
    texts: dict[str, list[str]],
    history: list[dict[str, float]],
    fitted: int,
    remarks: list[str],
) -> AdaptedModel:
    return AdaptedModel(
        name=name,
        method=config.method,
        recipe=config.model_dump(mode="json"),
        head=head,
        class_matrix=class_matrix,
        texts=texts,
        open_vocabulary=OpenVocabulary(
            word="kept", basis="the encoders were not changed: other labels are scored as zero-shot"
        ),
        validation_ids=tuple(context.validation.ids),
        validation_logits=head.score(context.embeddings.of(context.validation.ids), class_matrix),
        trained_parameters=fitted,
        history=history,
        remarks=[*remarks, f"The head holds the embeddings of {len(head.keys)} training photographs."],
    )
