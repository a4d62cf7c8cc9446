"""Features and numbers of all processes in one place, for losses in which every sample meets every other."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from clip_har.training.distributed import BatchShare


def gather_features(features: torch.Tensor, share: BatchShare) -> torch.Tensor:
    """The features [n, d] of all samples that count, in the order of the processes, with gradients.

    Each process's loss may depend on all of them: the gradients that the others have for this one's features are added to
    its own.

    Args:
        features: float [k, d] of this process's samples, one that does not count included.
    """
    longest = max(share.sizes)
    padding = features.new_zeros(longest - len(features), features.shape[1])
    rows = _Gather.apply(torch.cat([features, padding]), len(share.sizes), share.rank)
    return torch.cat([rows[rank, :size] for rank, size in enumerate(share.sizes)])


def gather_numbers(numbers: torch.Tensor, share: BatchShare) -> torch.Tensor:
    """int64 [n] of all samples that count, from each process's int64 [k]."""
    own = torch.zeros(max(share.sizes), dtype=torch.int64)
    own[: len(numbers)] = numbers.cpu()
    gathered = [torch.empty_like(own) for _ in share.sizes]
    dist.all_gather(gathered, own)
    return torch.cat([part[:size] for part, size in zip(gathered, share.sizes, strict=True)])


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, own: torch.Tensor, size: int, rank: int) -> torch.Tensor:
        context.rank = rank
        gathered = [torch.empty_like(own) for _ in range(size)]
        dist.all_gather(gathered, own.contiguous())
        return torch.stack(gathered)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[context.rank], None, None
