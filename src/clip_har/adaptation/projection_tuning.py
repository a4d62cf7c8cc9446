"""ProLIP: only the image encoder's last projection is tuned, and held near where it was.

Fahes et al. 2025, "CLIP's Visual Embedding Projector is a Few-shot Cornucopia": cross-entropy of the scaled cosines with
the texts plus λ · ‖W - W₀‖²_F (equation 4), on features before the projection, which are computed once. The paper's
recipe needs no validation: learning rate 1e-5, λ = 1 / shots, 300 steps of all samples, each with another augmented view
of 300; cached features have the plain view only. The text encoder stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.adaptation.embedding_task import BALANCE_DESCRIPTION, Balance, EmbeddingTask, better
from clip_har.adaptation.fitting import fit_task
from clip_har.adaptation.projection import PooledFeatures, embed_pooled, find_projection
from clip_har.adaptation.wise_ft import WiseFtConfig, choose_alpha
from clip_har.data.manifest import Manifest
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import TextHead
from clip_har.training.config import TrainerConfig
from clip_har.training.scores import validation_scores
from clip_har.training.task import TrainingResult

if TYPE_CHECKING:
    import torch

_ALL_SAMPLES = 2**20  # a batch of everything
_PER_SHOTS = "one_over_shots"


class ProjectionTuningConfig(MethodConfig):
    """The tuning of the projection."""

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {
        "cpu": {
            "penalties": [1.0, 0.1, 0.01],
            "wise_ft": {},
            "training": {
                "epochs": 100,
                "max_steps": 250,
                "batch_size": 256,
                "learning_rate": 3e-4,
                "weight_decay": 0.0,
                "clip_norm": None,
                "patience": 10,
            },
        },
        "published": {
            "penalties": [_PER_SHOTS],
            "wise_ft": None,
            "training": {
                "epochs": 300,
                "batch_size": _ALL_SAMPLES,
                "learning_rate": 1e-5,
                "weight_decay": 0.0,
                "warmup_share": 0.0,
                "clip_norm": None,
                "evaluate_every": 300,
                "patience": None,
            },
        },
    }

    method: Literal["projection_tuning"] = "projection_tuning"
    preset: Literal["cpu", "published"] = Field(
        "cpu", description="Settings that are not given: published is the paper's recipe; cpu is bounded in its steps."
    )
    prompts: Literal["single", "ensemble"] = Field("ensemble", description="One template, or the mean over all.")
    penalties: tuple[float | Literal["one_over_shots"], ...] = Field(
        (_PER_SHOTS,),
        min_length=1,
        description="λ, the weight of the squared distance to the pretrained projection, or one_over_shots: 1 / "
        "photographs of a class. The best on the validation split is kept.",
    )
    wise_ft: WiseFtConfig | None = Field(
        None, description="Mix the tuned projection with the original (WiSE-FT); not if not given."
    )
    balance: Balance = Field("none", description=BALANCE_DESCRIPTION)
    training: TrainerConfig = Field(TrainerConfig(), description="The training run of each penalty.")


class ProjectionTuning(AdaptationMethod):
    """Tunes one matrix of the image encoder."""

    Config = ProjectionTuningConfig
    needs_pooled = True
    config: ProjectionTuningConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        import torch

        encoder = context.encoder
        layer = encoder.model.get_submodule(find_projection(encoder))
        if context.pooled is None:
            context = replace(context, pooled=_embed(context))
        texts = context.texts(self.config.prompts)
        class_matrix = encoder.class_matrix(texts)
        problem = _Problem(context, layer, class_matrix)
        best: tuple[dict[str, float], torch.Tensor, float] | None = None
        history: list[dict[str, float]] = []
        for number, penalty in enumerate(self.config.penalties):
            strength = len(context.manifest.labels) / len(problem.labels) if penalty == _PER_SHOTS else penalty
            weight, result = self._train(problem, strength, context, number)
            scores = problem.measure(weight)
            history += [{"penalty": strength, **row} for row in result.history]
            if best is None or better(scores, best[0]):
                best = scores, weight, strength
        _, weight, strength = best
        remarks = [f"The penalty is {strength:g}."]
        if self.config.wise_ft is not None and not torch.equal(weight, problem.original):
            alpha, state, tried = choose_alpha(
                {"weight": problem.original},
                {"weight": weight},
                lambda mixed: problem.measure(mixed["weight"]),
                self.config.wise_ft.alphas,
            )
            weight = state["weight"]
            history += tried
            remarks.append(f"WiSE-FT: {alpha:g} of the tuned projection, {1 - alpha:.3g} of the original.")
        changed = not torch.equal(weight.to(layer.weight.dtype), layer.weight.detach())
        if not changed:
            remarks.append("No step improved on the start: the projection is as it was.")
        with torch.no_grad():
            layer.weight.copy_(weight)
        head = TextHead(encoder.logit_scale, encoder.logit_bias)
        embeddings = problem.validation_embeddings(layer.weight.detach().float())
        return AdaptedModel(
            name=name,
            method=self.config.method,
            recipe=self.config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=OpenVocabulary(
                word="degraded" if changed else "kept",
                basis="the image encoder's projection was tuned to the classes; no held-out classes were measured"
                if changed
                else "nothing was changed",
            ),
            validation_ids=tuple(context.validation.ids),
            validation_logits=head.score(embeddings, class_matrix),
            trained_parameters=weight.numel(),
            encoder=encoder if changed else None,
            history=history,
            remarks=remarks,
        )

    def _train(
        self, problem: _Problem, strength: float, context: AdaptationContext, number: int
    ) -> tuple[torch.Tensor, TrainingResult]:
        """The tuned weight float32 [d, k]."""
        config, runs = self.config, len(self.config.penalties)
        task = problem.task(config, strength)
        result = fit_task(
            context,
            config,
            config.training,
            task,
            builder=f"{__name__}:build_task",
            part=f"penalty {strength:g}",
            setting={"penalty": strength},
            arguments={"strength": strength},
            progress=lambda done, total, note: context.progress(
                number * total + done, runs * total, f"penalty={strength:g} {note}"
            ),
        )
        return task.parameters()[0].detach(), result


def build_task(context: AdaptationContext, config: ProjectionTuningConfig, *, strength: float) -> EmbeddingTask:
    """The projection as it is, to be trained with a penalty; the context has pooled features."""
    encoder = context.encoder
    layer = encoder.model.get_submodule(find_projection(encoder))
    class_matrix = encoder.class_matrix(context.texts(config.prompts))
    return _Problem(context, layer, class_matrix).task(config, strength)


class _Problem:
    """Logits and figures for any weight of the projection; x and rest lie side by side in one array."""

    def __init__(self, context: AdaptationContext, layer: torch.nn.Linear, class_matrix: np.ndarray) -> None:
        import torch

        encoder, pooled = context.encoder, context.pooled
        assert pooled is not None
        self._classes, self._seed = len(context.manifest.labels), context.seed
        self.original = layer.weight.detach().float().clone()
        self._bias = None if layer.bias is None else layer.bias.detach().float()
        self._scale, self._offset = encoder.logit_scale, encoder.logit_bias
        self._width = layer.in_features
        self._text = torch.from_numpy(class_matrix).to(encoder.device)
        self.train, self.validation = (_side_by_side(pooled, part) for part in (context.train, context.validation))
        self.labels, self._truth = context.train.label_indices, context.validation.label_indices

    def task(self, config: ProjectionTuningConfig, strength: float) -> EmbeddingTask:
        """The training of a weight that begins as the original."""
        import torch

        return EmbeddingTask(
            (self.train, self.labels),
            (self.validation, self._truth),
            self._classes,
            [torch.nn.Parameter(self.original.clone())],
            lambda parameters, inputs, positions: self.logits(inputs, parameters[0]),
            self.original.device,
            balance=config.balance,
            seed=self._seed,
            penalty=lambda parameters: strength * (parameters[0] - self.original).square().sum(),
        )

    def embeddings(self, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """[n, d], L2-normalised."""
        import torch

        features = torch.nn.functional.linear(inputs[:, : self._width], weight, self._bias)
        if inputs.shape[1] > self._width:
            features = features + inputs[:, self._width :]
        return features / features.norm(dim=-1, keepdim=True)

    def logits(self, inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """[n, c]"""
        return self._scale * self.embeddings(inputs, weight) @ self._text.T + self._offset

    def validation_embeddings(self, weight: torch.Tensor) -> np.ndarray:
        """float32 [n, d] of the validation split."""
        import torch

        with torch.inference_mode():
            return self.embeddings(torch.from_numpy(self.validation).to(weight.device), weight).cpu().numpy()

    def measure(self, weight: torch.Tensor) -> dict[str, float]:
        """Figures on the validation split."""
        logits = TextHead(self._scale, self._offset).score(self.validation_embeddings(weight), self._text.cpu().numpy())
        return validation_scores(logits, self._truth)


def _side_by_side(pooled: PooledFeatures, part: Manifest) -> np.ndarray:
    inputs, rest = pooled.of(part.ids)
    return inputs if rest is None else np.concatenate([inputs, rest], axis=1)


def _embed(context: AdaptationContext) -> PooledFeatures:
    """Features of the train and validation splits, from the photographs."""
    import pandas as pd

    parts = [context.train, context.validation]
    both = Manifest(pd.concat([part.frame for part in parts], ignore_index=True), parts[0].labels, parts[0].root)
    return embed_pooled(
        both,
        context.encoder,
        batch_size=context.compute.batch_size,
        limits=context.limits,
        cache=context.cache,
        embedding_cache=context.embedding_cache,
        progress=lambda done, total: context.progress(done, total, "features before the projection"),
    )
