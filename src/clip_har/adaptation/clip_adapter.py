"""CLIP-Adapter: a bottleneck over the image embedding, mixed with it, scored against the texts.

Gao et al. 2021, "CLIP-Adapter: Better Vision-Language Models with Feature Adapters" (IJCV 2024), equations 3 and 5,
with the image adapter only, which the paper found best; the ratio is searched for (section 4.1). The authors' code has
a ReLU after the second matrix too; the equation, and this module, have none.

The paper adapts embeddings before they are normalised. Cached ones are normalised; it is the same: the adapter has no
offsets, so that a factor on its input is a factor on its output, which the normalisation after it takes away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance, EmbeddingTask, better
from clip_har.adaptation.fitting import fit_task
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import AdapterHead
from clip_har.training.config import TrainerConfig
from clip_har.training.scores import validation_scores
from clip_har.training.task import TrainingResult

if TYPE_CHECKING:
    import torch


class ClipAdapterConfig(MethodConfig):
    """The bottleneck and its training."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {
            "ratios": [0.2, 0.5, 0.8],
            "training": {
                "epochs": 60,
                "max_steps": 400,
                "batch_size": 128,
                "learning_rate": 1e-3,
                "patience": 10,
            },
        },
        "published": {
            "ratios": [0.2, 0.4, 0.6, 0.8],
            "training": {
                "epochs": 200,
                "batch_size": 32,
                "learning_rate": 1e-5,
                "warmup_share": 0.0,
                "clip_norm": None,
                "patience": None,
            },
        },
    }

    method: Literal["clip_adapter"] = "clip_adapter"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the paper's recipe; cpu is bounded in its steps."
    )
    prompts: Literal["single", "ensemble"] = Field("ensemble", description="One template, or the mean over all.")
    reduction: int = Field(4, ge=1, description="The bottleneck is so many times narrower than the embedding.")
    ratios: tuple[float, ...] = Field(
        (0.2,),
        min_length=1,
        description="Shares of the adapted embedding to try; the best on the validation split is kept.",
    )
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    training: TrainerConfig = Field(TrainerConfig(), description="The training run of each ratio.")


class ClipAdapter(AdaptationMethod):
    """A bottleneck after the image encoder; the encoders stay as they are."""

    Config = ClipAdapterConfig
    config: ClipAdapterConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        texts = context.texts(self.config.prompts)
        class_matrix = context.encoder.class_matrix(texts)
        images = context.embeddings.of(context.validation.ids)
        best: tuple[dict[str, float], AdapterHead, TrainingResult] | None = None
        history = []
        for number, ratio in enumerate(self.config.ratios):
            head, result = self._train(ratio, class_matrix, context, number)
            scores = validation_scores(head.score(images, class_matrix), context.validation.label_indices)
            history += [{"ratio": ratio, **row} for row in result.history]
            if best is None or better(scores, best[0]):
                best = scores, head, result
        _, head, result = best
        remarks = [f"The ratio is {head.ratio:g}."]
        if result.best_step == 0:
            remarks.append("No step improved on the start: the adapter is as it was drawn.")
        return AdaptedModel(
            name=name,
            method=self.config.method,
            recipe=self.config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=OpenVocabulary(
                word="kept", basis="the encoders were not changed: other labels are scored as zero-shot"
            ),
            validation_ids=tuple(context.validation.ids),
            validation_logits=head.score(images, class_matrix),
            trained_parameters=head.down.size + head.up.size,
            history=history,
            remarks=remarks,
        )

    def _train(
        self, ratio: float, class_matrix: np.ndarray, context: AdaptationContext, number: int
    ) -> tuple[AdapterHead, TrainingResult]:
        config, encoder, runs = self.config, context.encoder, len(self.config.ratios)
        task = _build(context, config, ratio, class_matrix)
        result = fit_task(
            context,
            config,
            config.training,
            task,
            builder=f"{__name__}:build_task",
            part=f"ratio {ratio:g}",
            setting={"ratio": ratio},
            arguments={"ratio": ratio},
            progress=lambda done, total, note: context.progress(
                number * total + done, runs * total, f"ratio={ratio:g} {note}"
            ),
        )
        weights = [parameter.detach().cpu().numpy() for parameter in task.parameters()]
        return AdapterHead(*weights, ratio=ratio, scale=encoder.logit_scale, bias=encoder.logit_bias), result


def build_task(context: AdaptationContext, config: ClipAdapterConfig, *, ratio: float) -> EmbeddingTask:
    """The adapter as it is drawn at first, to be trained at a ratio."""
    return _build(context, config, ratio, context.encoder.class_matrix(context.texts(config.prompts)))


def _build(
    context: AdaptationContext, config: ClipAdapterConfig, ratio: float, class_matrix: np.ndarray
) -> EmbeddingTask:
    import torch

    device = context.encoder.device
    scale, bias = context.encoder.logit_scale, context.encoder.logit_bias
    width = class_matrix.shape[1]
    torch.manual_seed(context.seed)
    down = torch.nn.Linear(width, max(1, width // config.reduction), bias=False)
    up = torch.nn.Linear(down.out_features, width, bias=False)
    text = torch.from_numpy(class_matrix).to(device)

    def logits(
        parameters: list[torch.nn.Parameter], images: torch.Tensor, positions: torch.Tensor | None
    ) -> torch.Tensor:
        narrow, wide = parameters
        mixed = ratio * (images @ narrow.T).relu() @ wide.T + (1 - ratio) * images
        return scale * mixed / mixed.norm(dim=-1, keepdim=True) @ text.T + bias

    return EmbeddingTask(
        (context.embeddings.of(context.train.ids), context.train.label_indices),
        (context.embeddings.of(context.validation.ids), context.validation.label_indices),
        len(context.manifest.labels),
        [torch.nn.Parameter(layer.weight.detach().to(device)) for layer in (down, up)],
        logits,
        device,
        balance=config.balance,
        seed=context.seed,
    )
