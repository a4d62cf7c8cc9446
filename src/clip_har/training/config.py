"""The settings of a training run (no torch here)."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from clip_har.component import ComponentConfig


class CheckpointConfig(ComponentConfig):
    """When a run is saved so that it can go on after it was cut off."""

    every_steps: int | None = Field(None, ge=1, description="Steps between checkpoints; every epoch if not given.")
    keep: int = Field(2, ge=1, description="Checkpoints kept, the last ones; the best state is kept besides.")
    folder: str | None = Field(
        None, description="Folder for the checkpoints of all runs; `checkpoints` in the workspace if not given."
    )


class DistributedConfig(ComponentConfig):
    """Over how many processes a run is spread, and how."""

    mode: Literal["single", "ddp", "fsdp"] = Field(
        "single",
        description="single: one process. ddp: every process holds the whole model and takes its share of each batch. "
        "fsdp: parameters, gradients and optimiser state are shared out too (FSDP2).",
    )
    processes: int | None = Field(
        None, ge=1, description="Processes on each machine; if not given, one a GPU, or two without GPUs."
    )
    machines: int = Field(
        1, ge=1, description="Machines: this one, and others on which torchrun is started by hand (docs/training.md)."
    )
    endpoint: str | None = Field(
        None, description="HOST:PORT of this machine, by which the others find it; needed for several machines."
    )
    folder: str | None = Field(
        None,
        description="Folder, the same on all machines, that says what to do; a temporary one if not given (one machine).",
    )
    timeout: float = Field(600, gt=0, description="Seconds after which a process that waits for another gives up.")

    @model_validator(mode="after")
    def _machines_find_each_other(self) -> DistributedConfig:
        if self.machines > 1:
            if self.mode == "single":
                raise ValueError(f"{self.machines} machines need mode ddp or fsdp")
            missing = [name for name in ("endpoint", "folder") if getattr(self, name) is None]
            if missing:
                raise ValueError(f"{self.machines} machines need {' and '.join(missing)} too")
        if self.endpoint is not None and not re.fullmatch(r"[^\s:]+:\d+", self.endpoint):
            raise ValueError(f"endpoint: HOST:PORT is wanted, got {self.endpoint!r}")
        return self


class TrainerConfig(ComponentConfig):
    """One training run."""

    epochs: int = Field(10, ge=1, description="Passes over the train split.")
    max_steps: int | None = Field(None, ge=1, description="Bound on optimiser steps, whatever the epochs.")
    batch_size: int = Field(32, ge=1, description="Samples a step, over all processes and accumulated parts.")
    accumulate: int = Field(
        1, ge=1, description="Parts that a batch is computed in, one after the other: less memory, the same result."
    )
    auto_batch: bool = Field(
        False,
        description="When memory runs out, compute each batch in twice as many parts and go on (one process only).",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    optimiser: Literal["adamw", "sgd", "muon"] = Field(
        "adamw",
        description="sgd: with momentum 0.9. muon: Muon for the hidden layers' matrices and AdamW for the rest "
        "(pretraining only).",
    )
    weight_decay: float = Field(0.01, ge=0, description="The optimiser's weight decay.")
    betas: tuple[float, float] = Field((0.9, 0.999), description="AdamW's betas.")
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of the steps with a rising learning rate.")
    clip_norm: float | None = Field(1.0, gt=0, description="Bound on the gradient's norm; none if not given.")
    max_skipped: int = Field(
        10,
        ge=0,
        description="Steps in a row that may be skipped because the loss or the gradient is not finite; one more ends the "
        "run.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Autocast: auto is bf16 (or fp16) on CUDA and fp32 on a CPU."
    )
    tf32: bool = Field(False, description="Let CUDA multiply float32 matrices in TF32: faster, 10 bits of mantissa.")
    gradient_checkpointing: bool = Field(
        False,
        description="Compute the transformer blocks' activations again in the backward pass: less memory, slower.",
    )
    compile: bool = Field(
        False,
        description="Compile the transformer blocks with torch.compile; a message says so where that is impossible.",
    )
    evaluate_every: int | None = Field(None, ge=1, description="Steps between validations; every epoch if not given.")
    select_by: Literal["accuracy", "log_loss"] = Field(
        "accuracy", description="Validation figure by which the best state is kept."
    )
    patience: int | None = Field(
        5, ge=1, description="Validations without improvement after which training stops; never if not given."
    )
    checkpoint: CheckpointConfig | None = Field(
        None, description="Saving the run, and going on from where it was cut off; never if not given."
    )
    distributed: DistributedConfig = Field(DistributedConfig(), description="Spreading the run over processes.")

    @model_validator(mode="after")
    def _betas_are_shares(self) -> TrainerConfig:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must lie in [0, 1), got {self.betas}")
        return self
