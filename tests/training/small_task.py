"""A task of a moment with everything that a real one may have; built by a recipe in other processes too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import torch


class Block(torch.nn.Module):
    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(8, 8)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + self.dropout(torch.tanh(self.layer(values)))


class Network(torch.nn.Module):
    """Two blocks between two layers, a scalar, a layer that nothing uses and one that is not trained."""

    def __init__(self, dropout: float, normed: bool) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.norm = torch.nn.BatchNorm1d(8) if normed else torch.nn.Identity()
        self.blocks = torch.nn.ModuleList(Block(dropout) for _ in range(2))
        self.last = torch.nn.Linear(8, 2)
        self.logit_scale = torch.nn.Parameter(torch.tensor(0.5))
        self.idle = torch.nn.Linear(3, 3)
        self.frozen = torch.nn.Linear(8, 8).requires_grad_(False)

    def logits(self, points: torch.Tensor) -> torch.Tensor:
        values = self.norm(self.first(points))
        for block in self.blocks:
            values = block(values)
        return self.logit_scale.exp() * self.last(self.frozen(values))


class SmallTask:
    """Two clouds of points.

    Args:
        strided: whether a matrix is laid out otherwise than row by row, as convolutions may be.
        fail_at: a step (of this process) whose loss raises, on `fail_on`'s rank.
        pause: seconds a step takes at least.
    """

    def __init__(
        self,
        *,
        device: torch.device,
        samples: int = 21,
        dropout: float = 0.0,
        normed: bool = False,
        strided: bool = False,
        fail_at: int | None = None,
        fail_on: int = 0,
        pause: float = 0.0,
    ) -> None:
        torch.manual_seed(7)
        generator = np.random.default_rng(0)
        labels = np.arange(samples) % 2
        self.points = torch.tensor(generator.normal(size=(samples, 4)) + labels[:, None], dtype=torch.float32).to(
            device
        )
        self.labels = torch.from_numpy(labels).to(device)
        self.network = Network(dropout, normed).to(device)
        if strided:
            self.network.first.weight.data = self.network.first.weight.data.T.contiguous().T
        self.sample_count = samples
        self.losses: list[float] = []
        self._fail_at, self._fail_on, self._pause = fail_at, fail_on, pause

    def module(self) -> torch.nn.Module:
        return self.network

    def parameters(self) -> list[torch.nn.Parameter]:
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def buffers(self) -> list[torch.Tensor]:
        return list(self.network.buffers())

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[torch.Tensor]:
        for start in range(0, len(order), batch_size):
            yield torch.from_numpy(order[start : start + batch_size]).to(self.points.device)

    def loss(self, batch: torch.Tensor) -> torch.Tensor:
        if len(self.losses) == self._fail_at and int(os.environ.get("RANK", "0")) == self._fail_on:
            raise RuntimeError("the disk of this process burnt")
        time.sleep(self._pause)
        loss = torch.nn.functional.cross_entropy(self.network.logits(self.points[batch]).float(), self.labels[batch])
        self.losses.append(float(loss.detach()))
        return loss

    def validate(self) -> dict[str, float]:
        from clip_har.training.distributed import gather_rows, own_share

        with torch.inference_mode():  # as the encoders do
            rows = self.network.logits(self.points[own_share(self.sample_count)]).float().cpu().numpy()
        logits = torch.from_numpy(gather_rows(rows, self.sample_count))
        labels = self.labels.cpu()
        return {
            "accuracy": float((logits.argmax(dim=1) == labels).float().mean()),
            "log_loss": float(torch.nn.functional.cross_entropy(logits, labels)),
        }

    def train_mode(self, training: bool) -> None:
        self.network.train(training)
