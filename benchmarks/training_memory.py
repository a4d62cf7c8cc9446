"""What the training benchmark weighs: what one of two processes holds for good, and peak memory by mode and option.

`python benchmarks/training_memory.py FOLDER CONFIG ARGUMENTS` trains in a process of its own, whose peak is then its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from bundles import random_clip
from measuring import show
from training_study import PLAIN, Study, Unvalidated, photographs

from clip_har.adaptation import full_fine_tuning
from clip_har.adaptation.full_fine_tuning import FullFineTuningConfig
from clip_har.adaptation.stored_context import read_context, write_context
from clip_har.models.backbone import ModelConfig
from clip_har.training.config import TrainerConfig
from clip_har.training.launch import Recipe, train

_CONTEXT = "context"
_TWO = {"processes": 2}
WAYS: dict[str, dict[str, Any]] = {
    "single, fp32": {},
    "single, accumulate 4": {"accumulate": 4},
    "single, gradient checkpointing": {"gradient_checkpointing": True},
    "single, bf16": {"precision": "bf16"},
    "ddp, 2 processes": {"distributed": {"mode": "ddp", **_TWO}},
    "fsdp, 2 processes": {"distributed": {"mode": "fsdp", **_TWO}},
    "fsdp, gradient checkpointing": {"distributed": {"mode": "fsdp", **_TWO}, "gradient_checkpointing": True},
}


def build_weighed_task(device: torch.device, *, folder: str, name: str, towers: str) -> Any:
    """The task that each process builds; after a step it leaves what the process holds, and its peak, in bytes."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    context = read_context(Path(folder) / _CONTEXT, device)
    config = FullFineTuningConfig(towers=towers, loss="cross_entropy", augmentation=None)
    task = Unvalidated(full_fine_tuning.build_task(context, config))
    peak_from_now = Path("/proc/self/clear_refs")
    if peak_from_now.exists():  # loading is not what is measured
        peak_from_now.write_text("5")

    def weigh(optimiser: torch.optim.Optimizer, arguments: Any, more: Any) -> None:
        held = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state = [value for kept in optimiser.state.values() for value in kept.values() if torch.is_tensor(value)]
        sizes = {"parameters": sum(map(_own_bytes, held)), "optimiser": sum(map(_own_bytes, state)), "peak": _peak()}
        (Path(folder) / f"{name}-{os.environ.get('RANK', '0')}.json").write_text(json.dumps(sizes))

    register_optimizer_step_post_hook(weigh)
    return task


def _own_bytes(tensor: torch.Tensor) -> int:
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return local.numel() * local.element_size()


def _peak() -> int:
    """Most resident memory of this process so far, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _weigh(study: Study, name: str, config: TrainerConfig, towers: str) -> dict[str, int]:
    """Two steps of full fine-tuning, trained as the config says: what the fuller process holds, in bytes."""
    recipe = Recipe("training_memory:build_weighed_task", {"folder": str(study.folder), "name": name, "towers": towers})
    if config.distributed.mode == "single":
        given = [str(study.folder), config.model_dump_json(), json.dumps(recipe.arguments)]
        subprocess.run([sys.executable, __file__, *given], check=True)
    else:
        context = read_context(study.folder / _CONTEXT, torch.device("cpu"))
        task = full_fine_tuning.build_task(
            context, FullFineTuningConfig(towers=towers, loss="cross_entropy", augmentation=None)
        )
        with _findable():
            train(Unvalidated(task), recipe, config, torch.device("cpu"), 0)
    found = [json.loads(path.read_text()) for path in sorted(study.folder.glob(f"{name}-?.json"))]
    return {kind: max(sizes[kind] for sizes in found) for kind in ("parameters", "optimiser", "peak")}


@contextmanager
def _findable() -> Iterator[None]:
    """Have the processes that are started find this module."""
    before = os.environ.get("PYTHONPATH")
    own = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = own if before is None else f"{own}{os.pathsep}{before}"
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def _write(study: Study) -> None:
    encoder = study.load()
    write_context(study.context(encoder, study.embeddings(encoder)), study.folder / _CONTEXT)


def sharded_memory(study: Study) -> dict[str, Any]:
    """What one of two processes holds of parameters and AdamW's state."""
    _write(study)
    held: dict[str, dict[str, int]] = {}
    for mode in ("ddp", "fsdp"):
        config = TrainerConfig(**PLAIN, max_steps=2, batch_size=8, distributed={"mode": mode, "processes": 2})
        held[mode] = _weigh(study, mode, config, "both")
    show(
        "Full fine-tuning of both encoders by two processes: MB that the fuller one holds",
        [(mode, *(f"{sizes[kind] / 1e6:.2f}" for kind in ("parameters", "optimiser"))) for mode, sizes in held.items()],
        ("mode", "parameters", "optimiser"),
    )
    kept = {mode: sizes["parameters"] + sizes["optimiser"] for mode, sizes in held.items()}
    return {"fsdp_memory_ratio": kept["fsdp"] / kept["ddp"]}


def peak_memory(study: Study) -> dict[str, Any]:
    """Most resident memory of the fullest process, by mode and option: the image encoder of a ViT-B/32, random weights."""
    batch = 8 if study.quick else 32
    model = study.folder / "vit"
    if study.quick:
        model = Path(study.model.backbone)
    else:
        random_clip(32).save(model)
    apart = study.folder / "peak"
    apart.mkdir()
    large = replace(study, model=ModelConfig(backbone=str(model)), folder=apart, manifest=photographs(4, apart))
    _write(large)
    peaks = {}
    ways = [(way, settings) for way, settings in WAYS.items() if not study.quick or "distributed" not in settings]
    for number, (way, settings) in enumerate(ways):
        config = TrainerConfig(**PLAIN | settings, max_steps=2, batch_size=batch)
        peaks[way] = _weigh(large, str(number), config, "visual")["peak"]
    plain = peaks["single, fp32"]
    show(
        f"Peak memory of the fullest process, batches of {batch} in all, {'tiny' if study.quick else 'ViT-B/32'}",
        [(way, f"{peak / 1e6:.0f} MB", f"{peak / plain:.2f}") for way, peak in peaks.items()],
        ("", "resident", "of single, fp32"),
    )
    return {f"peak_mb_{way.replace(', ', '_').replace(' ', '_')}": round(peak / 1e6) for way, peak in peaks.items()}


if __name__ == "__main__":
    settings, arguments = TrainerConfig.model_validate_json(sys.argv[2]), json.loads(sys.argv[3])
    made = build_weighed_task(torch.device("cpu"), **arguments)
    train(made, Recipe("", {}), settings, torch.device("cpu"), 0)
