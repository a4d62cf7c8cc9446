"""Parameters, buffers and optimiser state as named tensors, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from clip_har.training.checkpoints import SavedRun

Layout = list[dict[str, dict[str, Any]]]


def named_tensors(
    parameters: list[torch.nn.Parameter], buffers: list[torch.Tensor], optimisers: list[torch.optim.Optimizer]
) -> tuple[dict[str, torch.Tensor], Layout]:
    """All tensors by name, and per optimiser and parameter which tensors and numbers its state has."""
    import torch

    tensors: dict[str, torch.Tensor] = {f"parameter.{n:05d}": tensor.detach() for n, tensor in enumerate(parameters)}
    tensors |= {f"buffer.{n:05d}": tensor.detach() for n, tensor in enumerate(buffers)}
    layout: Layout = []
    for number, optimiser in enumerate(optimisers):
        layout.append({})
        for index, state in optimiser.state_dict()["state"].items():
            held = {name: value for name, value in state.items() if torch.is_tensor(value)}
            numbers = {name: value for name, value in state.items() if name not in held}
            layout[-1][str(index)] = {"tensors": list(held), "numbers": numbers}
            tensors |= {_name(number, index, name): value for name, value in held.items()}
    return tensors, layout


def load_tensors(
    saved: SavedRun,
    parameters: list[torch.nn.Parameter],
    buffers: list[torch.Tensor],
    optimisers: list[torch.optim.Optimizer],
) -> None:
    """Put a checkpoint's tensors into parameters, buffers and optimisers."""
    import torch

    layout: Layout = saved.about["optimisers"]
    like, _ = named_tensors(parameters, buffers, [])
    own = dict(like)
    for number, optimiser in enumerate(optimisers):
        members = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        for index, state in layout[number].items():
            # What a moment is sharded like is its parameter; a count of steps is a scalar, and whole.
            moments = [name for name in state["tensors"] if name != "step"]
            like |= {_name(number, index, name): members[int(index)] for name in moments}
    tensors = saved.tensors(like)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    for number, optimiser in enumerate(optimisers):
        state = {
            int(index): entry["numbers"] | {name: tensors[_name(number, index, name)] for name in entry["tensors"]}
            for index, entry in layout[number].items()
        }
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _name(optimiser: int, index: int | str, name: str) -> str:
    return f"optimiser.{optimiser}.{int(index):05d}.{name}"
