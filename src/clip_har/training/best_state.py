"""The parameters at their best validation so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class BestState:
    """Keeps a copy of tensors whenever a validation is better than all before.

    Args:
        select_by: "accuracy" or "log_loss"; the other decides among equals.
        tensors: what is kept, changed in place by training.

    Attributes:
        step: of the best validation.
        since_best: validations since then.
    """

    def __init__(self, select_by: str, tensors: list[torch.Tensor]) -> None:
        self._select_by = select_by
        self._tensors = tensors
        self._best: tuple[float, float] | None = None
        self.kept: list[torch.Tensor] = []
        self.step = 0
        self.since_best = 0

    @property
    def note(self) -> str:
        """For a line of progress."""
        return "" if self._best is None else f"best {self._select_by}={abs(self._best[0]):.3f}"

    def offer(self, step: int, scores: dict[str, float]) -> None:
        """Take a validation's figures, and the tensors as they are if it is the best."""
        first = scores["accuracy"] if self._select_by == "accuracy" else -scores["log_loss"]
        rank = (first, -scores["log_loss"])
        if self._best is not None and rank <= self._best:
            self.since_best += 1
            return
        self._best, self.step, self.since_best = rank, step, 0
        self.kept = [tensor.detach().clone() for tensor in self._tensors]

    def restore(self) -> None:
        """Put the best state back."""
        import torch

        with torch.no_grad():
            for tensor, value in zip(self._tensors, self.kept, strict=True):
                tensor.copy_(value)

    def numbers(self) -> dict[str, Any]:
        """All but the tensors, as JSON."""
        return {"best": self._best, "step": self.step, "since_best": self.since_best}

    def go_on_from(self, numbers: dict[str, Any], kept: list[torch.Tensor]) -> None:
        """Take over what another one left."""
        self._best, self.step, self.since_best = tuple(numbers["best"]), numbers["step"], numbers["since_best"]
        self.kept = kept
