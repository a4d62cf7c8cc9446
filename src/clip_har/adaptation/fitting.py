"""Fitting a method's task: in this process, or in several that each build it for themselves."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.adaptation.base import AdaptationContext, MethodConfig
from clip_har.adaptation.stored_context import read_context, write_context
from clip_har.errors import TrainingError
from clip_har.training.config import TrainerConfig
from clip_har.training.launch import MATERIAL, Recipe, job_folder, train
from clip_har.training.task import TrainingResult, TrainingTask

if TYPE_CHECKING:
    import torch

Progress = Callable[[int, int, str], None]


def fit_task(
    context: AdaptationContext,
    method_config: MethodConfig,
    training: TrainerConfig,
    task: TrainingTask,
    *,
    builder: str,
    part: str = "",
    setting: dict[str, float] | None = None,
    arguments: dict[str, Any] | None = None,
    progress: Progress | None = None,
    on_validation: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a method's task by `training.distributed`; it is left at the best state seen on the validation split.

    Args:
        task: what `builder` builds from the context and the config.
        builder: "package.module:function", called as `function(context, method_config, **arguments)` by the processes
            that train.
        part: which fit of the method it is, where there are several.
        setting: what sets this fit apart from the method's others, as its rows in the method's history say it; the rows
            that `on_validation` is called with say it too.
        arguments: JSON, for the builder.
        progress, on_validation: as `Trainer.fit` takes them; the context's if not given.

    Raises:
        TrainingError: as `Trainer.fit`; or what the first process that failed said.
    """
    key = f"{context.key} {part}".strip() if context.key else ""
    watch = on_validation or context.on_validation
    told = watch and (lambda row: watch({**(setting or {}), **row}))
    with job_folder(training) as folder:
        recipe = Recipe(f"{__name__}:build", {})
        if folder is not None:
            write_context(context, folder / MATERIAL)
            config_class = type(method_config)
            recipe.arguments.update(
                folder=str(folder / MATERIAL),
                config_class=f"{config_class.__module__}:{config_class.__qualname__}",
                config=method_config.model_dump(mode="json"),
                builder=builder,
                arguments=arguments or {},
            )
        return train(
            task,
            recipe,
            training,
            context.encoder.device,
            context.seed,
            key=key,
            workspace=context.workspace,
            folder=folder,
            progress=progress or context.progress,
            on_validation=told,
        )


def build(
    folder: str,
    config_class: str,
    config: dict[str, Any],
    builder: str,
    arguments: dict[str, Any],
    *,
    device: torch.device,
) -> TrainingTask:
    """The task of a fit, built from the folder that `fit_task` wrote."""
    context = read_context(Path(folder), device)
    return _named(builder)(context, _named(config_class).model_validate(config), **arguments)


def _named(name: str) -> Any:
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise TrainingError(
            f"{name!r} cannot be found by the processes that train: {error}. What a method is made of must lie in a "
            "module that can be imported, for distributed modes."
        ) from None
