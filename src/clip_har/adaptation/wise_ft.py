"""WiSE-FT: the weights of a fine-tuned encoder mixed with the original's.

Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (CVPR), equation 1: θ_α = (1 - α) · θ₀ + α · θ₁. The paper
recommends α = 0.5 where nothing can be measured; here it is chosen on the validation split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from clip_har.adaptation.embedding_task import better
from clip_har.component import ComponentConfig
from clip_har.errors import ModelError

if TYPE_CHECKING:
    import torch


class WiseFtConfig(ComponentConfig):
    """Which mixtures are tried."""

    alphas: tuple[float, ...] = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        min_length=1,
        description="Shares of the fine-tuned weights, from 0 (the original) to 1; the best on the validation split is "
        "kept.",
    )

    @field_validator("alphas")
    @classmethod
    def _are_shares(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= alpha <= 1 for alpha in value):
            raise ValueError(f"alphas are shares between 0 and 1, got {value}")
        return value


def interpolate(
    original: Mapping[str, torch.Tensor], tuned: Mapping[str, torch.Tensor], alpha: float
) -> dict[str, torch.Tensor]:
    """(1 - alpha) · original + alpha · tuned, weight by weight.

    Args:
        original, tuned: states of the same model, as from `state_dict()`. Numbers that are not floating-point (positions,
            counters) are the tuned one's.
        alpha: share of the tuned weights.

    Returns:
        A new state, each array of the tuned one's type; mixed in float32 at least.

    Raises:
        ModelError: if the states are not of the same model.
    """
    import torch

    different = sorted(original.keys() ^ tuned.keys())
    different += [name for name in original.keys() & tuned.keys() if original[name].shape != tuned[name].shape]
    if different:
        raise ModelError(f"WiSE-FT mixes two states of the same model; these differ in {different[0]!r}.")
    mixed = {}
    for name, end in tuned.items():
        if not end.is_floating_point():
            mixed[name] = end.detach().clone()
            continue
        precise = torch.promote_types(end.dtype, torch.float32)
        start = original[name].detach().to(end.device, precise)
        mixed[name] = ((1 - alpha) * start + alpha * end.detach().to(precise)).to(end.dtype)
    return mixed


def choose_alpha(
    original: Mapping[str, torch.Tensor],
    tuned: Mapping[str, torch.Tensor],
    measure: Callable[[dict[str, torch.Tensor]], dict[str, float]],
    alphas: Sequence[float],
) -> tuple[float, dict[str, torch.Tensor], list[dict[str, float]]]:
    """The mixture that is best on the validation split.

    Args:
        measure: a state → its validation figures, with `accuracy` and `log_loss`. (For a whole encoder: load the state,
            embed the validation split, score it.)
        alphas: to try; among equals the first of the best is kept.

    Returns:
        alpha, its state, and a row for each alpha.
    """
    best: tuple[float, dict[str, torch.Tensor]] | None = None
    best_scores, history = None, []
    for alpha in alphas:
        state = interpolate(original, tuned, alpha)
        scores = measure(state)
        history.append({"alpha": alpha, **scores})
        if better(scores, best_scores):
            best, best_scores = (alpha, state), scores
    return *best, history


def mix_with_original(
    model: torch.nn.Module,
    original: Mapping[str, torch.Tensor],
    measure: Callable[[], dict[str, float]],
    config: WiseFtConfig,
) -> tuple[float, list[dict[str, float]]]:
    """A fine-tuned model made the mixture with its original that is best on the validation split.

    Args:
        model: as tuned; left as the mixture.
        original: its state before, as `copied_state` gives it.
        measure: the validation figures of the model as it is.

    Returns:
        The alpha that was chosen, and a row for each.
    """

    def measured(state: dict[str, torch.Tensor]) -> dict[str, float]:
        model.load_state_dict(state)
        return measure()

    alpha, state, rows = choose_alpha(original, copied_state(model), measured, config.alphas)
    model.load_state_dict(state)
    return alpha, rows


def copied_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A model's state that does not change with it."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
