"""What all methods that are trained on cached embeddings share: batches, class balance, the loss and the validation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from clip_har.data.loading import batched
from clip_har.training.scores import validation_scores

if TYPE_CHECKING:
    import torch

Balance = Literal["none", "sampling", "loss"]
BALANCE_DESCRIPTION = (
    "What is done about classes of unequal size: sampling draws every class equally often; loss weighs a photograph "
    "by the inverse of its class's size."
)


class EmbeddingTask:
    """Cross-entropy over logits of cached embeddings; a `TrainingTask`.

    Args:
        inputs: float32 [n, k] of the train split, with labels int64 [n].
        validation: the same for the validation split.
        number_of_classes: c.
        parameters: what is fitted, on `device`.
        logits: `logits(parameters, inputs [b, k], positions [b] or None) -> [b, c]`, with gradients for the parameters
            that it is given (where they are shared out, those are not the ones above); positions in the train split are
            given while training.
        balance: see `Balance`.
        seed: of balanced sampling.
        penalty: `penalty(parameters)`, a scalar added to each batch's loss.
    """

    def __init__(
        self,
        inputs: tuple[np.ndarray, np.ndarray],
        validation: tuple[np.ndarray, np.ndarray],
        number_of_classes: int,
        parameters: list[torch.nn.Parameter],
        logits: Callable[[list[torch.nn.Parameter], torch.Tensor, torch.Tensor | None], torch.Tensor],
        device: torch.device,
        *,
        balance: Balance = "none",
        seed: int = 0,
        penalty: Callable[[list[torch.nn.Parameter]], torch.Tensor] | None = None,
    ) -> None:
        import torch

        self.sample_count = len(inputs[0])
        self._inputs, self._labels = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in inputs)
        self._class_of = inputs[1]
        self._validation = torch.from_numpy(np.ascontiguousarray(validation[0])).to(device)
        self._validation_labels = validation[1]
        self._held = torch.nn.ParameterList(parameters)
        self._logits, self._penalty = logits, penalty
        self._balance, self._seed = balance, seed
        weights = balanced_weights(inputs[1], number_of_classes).astype(np.float32)
        self._loss_weights = torch.from_numpy(weights).to(device)

    def module(self) -> torch.nn.Module:
        return self._held

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self._held)

    def train_mode(self, training: bool) -> None:
        """Nothing has a mode of its own."""

    def order(self, epoch: int, shuffled: np.ndarray) -> np.ndarray:
        """int [n]: the positions that an epoch goes through; with balanced sampling some more than once."""
        if self._balance != "sampling":
            return shuffled
        return balanced_order(self._class_of, self._seed, epoch)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[torch.Tensor]:
        import torch

        for positions in batched(order.tolist(), batch_size):
            yield torch.as_tensor(positions, device=self._labels.device)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        parameters = self.parameters()
        logits = self._logits(parameters, self._inputs[batch], batch).float()
        losses = cross_entropy(logits, self._labels[batch], reduction="none")
        if self._balance == "loss":
            losses = losses * self._loss_weights[batch]
        loss = losses.mean()
        return loss if self._penalty is None else loss + self._penalty(parameters)

    def validate(self) -> dict[str, float]:
        """On every process the whole split: a product of matrices takes less time than sharing it out."""
        logits = self._logits(self.parameters(), self._validation, None).detach().float().cpu().numpy()
        return validation_scores(logits, self._validation_labels)


def balanced_order(labels: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """int [n], positions with every class equally often, and within a class every sample; both to one.

    Args:
        labels: int [n].
    """
    generator = np.random.default_rng([seed, epoch, 1])
    present = generator.permutation(np.unique(labels))
    drawn = []
    for number, label in enumerate(present):
        wanted = len(labels) // len(present) + (number < len(labels) % len(present))
        members = np.flatnonzero(labels == label)
        rounds = [generator.permutation(members) for _ in range(-(-wanted // len(members)))]
        drawn.append(np.concatenate(rounds)[:wanted] if rounds else members[:0])
    return generator.permutation(np.concatenate(drawn))


def balanced_weights(labels: np.ndarray, number_of_classes: int) -> np.ndarray:
    """float64 [n]: n / (classes present · size of the sample's class); the mean over the samples is 1.

    Args:
        labels: int [n].
    """
    counts = np.bincount(labels, minlength=number_of_classes)
    return len(labels) / (np.count_nonzero(counts) * counts[labels])


def better(scores: dict[str, float], than: dict[str, float] | None) -> bool:
    """Whether a setting is to be kept: higher accuracy, among equals the lower loss."""
    if than is None:
        return True
    return (scores["accuracy"], -scores["log_loss"]) > (than["accuracy"], -than["log_loss"])
