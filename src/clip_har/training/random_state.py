"""The state of every generator of random numbers that training may draw from, without pickles."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def random_state(device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and JSON from which `set_random_state` goes on."""
    import torch

    tensors = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        tensors["cuda"] = torch.cuda.get_rng_state(device)
    _, words, position, has_gauss, gauss = np.random.get_state()
    tensors["numpy"] = torch.from_numpy(words.astype(np.int64))
    version, state, next_gauss = random.getstate()
    tensors["python"] = torch.tensor(state)
    numbers = {"numpy": [int(position), int(has_gauss), float(gauss)], "python": [version, next_gauss]}
    return tensors, numbers


def set_random_state(device: torch.device, tensors: dict[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    """Put the generators where they were."""
    import torch

    torch.set_rng_state(tensors["torch"])
    if device.type == "cuda" and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"], device)
    np.random.set_state(("MT19937", tensors["numpy"].numpy().astype(np.uint32), *numbers["numpy"]))
    version, next_gauss = numbers["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), next_gauss))
