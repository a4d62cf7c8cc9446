"""The transformer blocks of a model, and what can be done to each: computing it twice, compiling it."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clip_har.errors import TrainingError

if TYPE_CHECKING:
    import torch

    from clip_har.training.task import TrainingTask


def module_of(task: TrainingTask, option: str) -> torch.nn.Module:
    """The module that a task trains.

    Raises:
        TrainingError: if it has none, naming the option that needs one.
    """
    if not hasattr(task, "module"):
        raise TrainingError(
            f"{option} needs a model to train; this method fits arrays on cached embeddings. Leave it out."
        )
    return task.module()


def blocks_of(module: torch.nn.Module) -> list[torch.nn.Module]:
    """The members of the outermost `ModuleList`s: what transformers keeps its layers in."""
    import torch

    if isinstance(module, torch.nn.ModuleList):
        return list(module)
    return [block for child in module.children() for block in blocks_of(child)]


@contextmanager
def changed_blocks(task: TrainingTask, *, checkpointing: bool, compiled: bool, device: torch.device) -> Iterator[None]:
    """The blocks computed again in the backward pass, or compiled, or both, within the block.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost". Transformers' own switch does nothing for a model in
    evaluation mode, in which most methods train.
    """
    if not (checkpointing or compiled):
        yield
        return
    option = "training.gradient_checkpointing" if checkpointing else "training.compile"
    blocks = blocks_of(module_of(task, option))
    if not blocks:
        raise TrainingError(
            f"{option} works on transformer blocks, and what this method trains has none (it fits matrices on cached "
            "embeddings). Leave it out."
        )
    if compiled and (problem := compile_problem(device)):
        warnings.warn(
            f"training.compile: torch.compile does not work here; going on without it. {problem}", stacklevel=3
        )
        compiled = False
    for block in blocks:
        if compiled:
            block.forward = _compiled(block.forward)
        if checkpointing:
            block.forward = functools.partial(_checkpointed, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    return torch.compile(forward)


def _checkpointed(forward: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
    import torch
    from torch.utils.checkpoint import checkpoint

    if not torch.is_grad_enabled():
        return forward(*inputs, **options)
    return checkpoint(forward, *inputs, use_reentrant=False, **options)


@functools.cache
def compile_problem(device: torch.device) -> str:
    """Why torch.compile cannot be used (no compiler, an old GPU); empty if it can. Tried once, on one addition."""
    import torch

    try:
        with torch.no_grad():
            torch.compile(lambda value: value + 1)(torch.zeros(2, device=device))
    except Exception as error:  # torch's compiler raises what its many parts raise
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    return ""
