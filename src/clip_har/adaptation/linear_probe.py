"""Linear probe: multinomial logistic regression on frozen image embeddings.

Radford et al. 2021, section 3.2 and appendix A.3: L-BFGS, the L2 strength chosen on the validation split by a coarse
sweep that is refined around its best. The solver is scikit-learn's.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from clip_har.adaptation.base import AdaptationContext, AdaptationMethod, AdaptedModel, MethodConfig
from clip_har.models.head import LinearHead
from clip_har.training.scores import validation_scores


class LinearProbeConfig(MethodConfig):
    """The sweep over the L2 strength."""

    method: Literal["linear_probe"] = "linear_probe"
    inverse_strengths: tuple[float, ...] = Field(
        tuple(float(f"{10**exponent:.3g}") for exponent in np.arange(-1, 4.01, 0.5)),
        min_length=1,
        description="Values of C (inverse of the L2 strength) to try, from small to large; the best on the validation "
        "split is kept.",
    )
    patience: int = Field(2, ge=1, description="Stop the sweep when the log-loss has grown this often in a row.")
    refinements: int = Field(
        2, ge=0, description="How often the interval around the best value is halved, with two more values each time."
    )
    max_iterations: int = Field(1000, ge=1, description="Bound on L-BFGS iterations for each.")
    balance: Literal["none", "loss"] = Field(
        "none",
        description="What is done about classes of unequal size: loss weighs a photograph by the inverse of its class's "
        "size.",
    )

    @field_validator("balance", mode="before")
    @classmethod
    def _nothing_is_drawn(cls, value: Any) -> Any:
        if value == "sampling":
            raise ValueError(
                "sampling: the probe is fitted on all photographs at once, none are drawn; weights do the same here: loss"
            )
        return value


class LinearProbe(AdaptationMethod):
    """A linear classifier on the embeddings; the encoders stay as they are."""

    Config = LinearProbeConfig
    config: LinearProbeConfig

    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        from sklearn.linear_model import LogisticRegression

        train, validation = context.train, context.validation
        inputs, labels = context.embeddings.of(train.ids).astype(np.float64), train.label_indices
        held_out = context.embeddings.of(validation.ids)
        solver = LogisticRegression(
            max_iter=self.config.max_iterations,
            tol=1e-5,
            warm_start=True,
            class_weight="balanced" if self.config.balance == "loss" else None,
        )
        tried: dict[float, tuple[dict[str, float], LinearHead]] = {}
        strengths = sorted(self.config.inverse_strengths)
        step = float(np.median(np.diff(np.log(strengths)))) if len(strengths) > 1 else 0.0
        refinements = self.config.refinements if step else 0

        def attempt(inverse_strength: float) -> dict[str, float]:
            solver.set_params(C=inverse_strength).fit(inputs, labels)
            head = _head(solver.classes_, solver.coef_, solver.intercept_, len(train.labels))
            scores = validation_scores(head.score(held_out), validation.label_indices)
            tried[inverse_strength] = (scores, head)
            context.progress(
                len(tried),
                len(strengths) + 2 * refinements,
                f"C={inverse_strength:g} accuracy={scores['accuracy']:.3f}",
            )
            return scores

        losses = []
        for inverse_strength in strengths:
            losses.append(attempt(inverse_strength)["log_loss"])
            recent = losses[-self.config.patience - 1 :]
            if len(recent) > self.config.patience and all(a < b for a, b in pairwise(recent)):
                break
        for _ in range(refinements):
            step /= 2
            best = _best(tried)
            for factor in (np.exp(-step), np.exp(step)):
                attempt(float(f"{best * factor:.4g}"))
        head = tried[_best(tried)][1]
        texts = context.texts("ensemble")
        return AdaptedModel.of(
            context,
            self.config,
            name,
            head=head,
            class_matrix=context.encoder.class_matrix(texts),
            texts=texts,
            embeddings=held_out,
            trained_parameters=head.weight.size + head.bias.size,
            history=[{"inverse_strength": value, **tried[value][0]} for value in sorted(tried)],
        )


def _best(tried: dict[float, tuple[dict[str, float], LinearHead]]) -> float:
    """The strength with the best accuracy; among equals the one with the lower loss."""
    return max(tried, key=lambda value: (tried[value][0]["accuracy"], -tried[value][0]["log_loss"]))


def _head(classes: np.ndarray, weight: np.ndarray, bias: np.ndarray, number_of_classes: int) -> LinearHead:
    """The solver's weights for all classes; with two classes it has one row only, of the second's log-odds."""
    if len(classes) == 2 and len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    full_weight = np.zeros((number_of_classes, weight.shape[1]), dtype=np.float32)
    full_bias = np.zeros(number_of_classes, dtype=np.float32)
    full_weight[classes], full_bias[classes] = weight, bias
    return LinearHead(full_weight, full_bias)
