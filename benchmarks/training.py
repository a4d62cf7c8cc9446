"""What training costs: heads on cached embeddings, the loop beside transformers' own, waiting for data, memory by mode.

* cached_epoch_ratio: an epoch of CLIP-Adapter's head trained through the frozen encoder on photographs, over one on cached
  embeddings; and the same for whole runs with validations, the cached one from an empty cache.
* trainer_ratio: a step of full fine-tuning by transformers.Trainer over one by ours; same photographs, preprocessing,
  model, loss, optimiser, batch and precision, each decoding ahead of the step.
* loader_wait_share: the share of our full fine-tuning's time that is spent waiting for pictures, with augmentation.
* fsdp_memory_ratio: bytes of parameters and optimiser state of one of two processes, fsdp over ddp.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from measuring import HAR, HAR_DUAL_ENCODER, PROJECT, finish, pairs, parser, ratio, real_data, seconds, show

sys.path.insert(0, str(PROJECT))

from clip_har.adaptation import clip_adapter, full_fine_tuning
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.clip_adapter import ClipAdapterConfig
from clip_har.adaptation.full_fine_tuning import FullFineTuningConfig
from clip_har.adaptation.stored_context import read_context, write_context
from clip_har.data.manifest import COLUMNS, Manifest
from clip_har.hashing import sha256_file
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.embeddings import EmbeddingSet
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from clip_har.training.config import TrainerConfig
from clip_har.training.embedding_cache import EmbeddingCache
from clip_har.training.launch import Recipe, train
from clip_har.training.pixels import TrainingPixels
from clip_har.training.scores import validation_scores
from clip_har.training.trainer import Trainer

_PAIRS = 7
_CONTEXT = "context"
_PLAIN = {
    "patience": None,
    "evaluate_every": 10**9,
    "precision": "fp32",
}  # a validation at the start and one at the end


@dataclass(frozen=True)
class Study:
    """Photographs and a backbone.

    Attributes:
        folder: for what the measurements write.
        quick: whether few are to be used.
    """

    manifest: Manifest
    model: ModelConfig
    folder: Path
    quick: bool

    def load(self) -> DualEncoder:
        """The backbone, its own each time: training changes it."""
        return DualEncoder.load(self.model, "cpu")

    def context(self, encoder: DualEncoder, embeddings: EmbeddingSet) -> AdaptationContext:
        """What a method is given."""
        compute = ComputeConfig(device="cpu")
        return AdaptationContext(encoder, self.manifest, embeddings, PromptConfig(), compute)


def photographs(per_class: int, folder: Path) -> Manifest:
    """Real photographs of every class, or drawn ones where there are none; three quarters of each to train on."""
    if real_data():
        with open(HAR / "Training_set.csv", newline="") as file:
            listed = [(HAR / "train" / row["filename"], row["label"]) for row in csv.DictReader(file)]
    else:
        from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene

        listed = []
        for action in HAR_ACTIONS:
            for number in range(per_class):
                path = folder / f"{action}-{number}.jpg"
                draw_scene(describe_scene(action, number)).save(path, quality=90)
                listed.append((path, action))
    rows, counts, seen = [], dict.fromkeys(sorted({label for _, label in listed}), 0), set()
    for path, label in listed:
        identity = sha256_file(path) if counts[label] < per_class else ""
        if identity and identity not in seen:
            seen.add(identity)
            split = "validation" if counts[label] % 4 == 3 else "train"
            counts[label] += 1
            rows.append((identity, str(path), label, split, identity, 1, 1, "JPEG", "csv", ""))
    return Manifest(pd.DataFrame(rows, columns=list(COLUMNS)), tuple(counts), "")


class Unvalidated:
    """A task as it is, but for its validation: that is not what is measured."""

    def __init__(self, task: Any) -> None:
        self._task = task

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def validate(self) -> dict[str, float]:
        return {"accuracy": 0.0, "log_loss": 0.0}


class OnPixels:
    """A head's task whose embeddings are made by the frozen encoder, batch by batch."""

    def __init__(self, task: Any, context: AdaptationContext) -> None:
        self._task, self._encoder, self._validation = task, context.encoder, context.validation
        parts = (context.train, context.validation)
        self._train, self._measured = (TrainingPixels(part, context.encoder.preprocessing, None, 0) for part in parts)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def batches(self, order: np.ndarray, epoch: int, batch_size: int) -> Iterator[tuple[torch.Tensor, np.ndarray]]:
        for positions, pixels in self._train.batches(order, epoch, batch_size):
            yield torch.from_numpy(positions), pixels

    def loss(self, batch: tuple[torch.Tensor, np.ndarray]) -> torch.Tensor:
        positions, pixels = batch
        logits = self._logits(pixels, positions)
        return torch.nn.functional.cross_entropy(logits, self._task._labels[positions])

    def _logits(self, pixels: np.ndarray, positions: torch.Tensor | None) -> torch.Tensor:
        embeddings = torch.from_numpy(self._encoder.encode_images(pixels))
        return self._task._logits(self._task.parameters(), embeddings, positions)

    def validate(self) -> dict[str, float]:
        order = np.arange(len(self._validation))
        parts = [self._logits(pixels, None).numpy() for _, pixels in self._measured.batches(order, 0, 128)]
        return validation_scores(np.concatenate(parts), self._validation.label_indices)


def cached_epoch(study: Study) -> dict[str, Any]:
    """A head on cached embeddings beside the same on pixels: an epoch, and whole runs."""
    encoder = study.load()
    embeddings = EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder)
    context = study.context(encoder, embeddings)
    config = ClipAdapterConfig()
    many = 20  # epochs on embeddings, so that there is something to measure

    def epochs(wrap: Callable[[Any], Any], number: int) -> float:
        task = wrap(clip_adapter.build_task(context, config, ratio=0.2))
        training = config.training.model_copy(update={**_PLAIN, "epochs": number, "max_steps": None})
        return Trainer(training, encoder.device, 0).fit(Unvalidated(task)).seconds / number

    epochs(lambda task: task, 1)
    pixel, cached = pairs(
        lambda: epochs(lambda task: OnPixels(task, context), 1),
        lambda: epochs(lambda task: task, many),
        3 if study.quick else _PAIRS,
    )
    length = 2 if study.quick else 10

    def run(on_pixels: bool) -> float:
        started = time.perf_counter()
        given = context
        if not on_pixels:
            shutil.rmtree(study.folder / "empty", ignore_errors=True)
            made = EmbeddingCache(study.folder / "empty").embed(study.manifest, encoder)
            given = replace(context, embeddings=made)
        task = clip_adapter.build_task(given, config, ratio=0.2)
        training = config.training.model_copy(update={"epochs": length, "max_steps": None, "patience": None})
        Trainer(training, encoder.device, 0).fit(OnPixels(task, context) if on_pixels else task)
        return time.perf_counter() - started

    whole_pixel, whole_cached = pairs(lambda: run(True), lambda: run(False), 1 if study.quick else 3)
    warm = seconds(lambda: EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder))
    rows = [
        ("an epoch", statistics.median(pixel), statistics.median(cached), ratio(pixel, cached)),
        (
            f"a run of {length} epochs, from an empty cache",
            statistics.median(whole_pixel),
            statistics.median(whole_cached),
            ratio(whole_pixel, whole_cached),
        ),
    ]
    show(
        f"CLIP-Adapter's head on {len(context.train)} photographs: through the frozen encoder, and on cached embeddings",
        [(name, f"{left:.2f} s", f"{right:.4f} s", f"{times:.1f}") for name, left, right, times in rows],
        ("", "on photographs", "on embeddings", "ratio"),
    )
    return {
        "cached_epoch_ratio": rows[0][3],
        "cached_run_ratio": rows[1][3],
        "cached_run_epochs": length,
        "warm_cache_read_ms": 1000 * warm,
    }


class _Photographs(torch.utils.data.Dataset):
    """What transformers.Trainer is given: decoded and preprocessed as ours are."""

    def __init__(self, part: Manifest, preprocessor: Preprocessor) -> None:
        self._paths, self._labels, self._preprocessor = part.paths, part.label_indices, preprocessor

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> dict[str, Any]:
        pixels = self._preprocessor(self._preprocessor.decode(self._paths[number]))
        return {"pixel_values": torch.from_numpy(pixels), "labels": int(self._labels[number])}


class _Scored(torch.nn.Module):
    """The encoder with the loss inside, as transformers.Trainer wants it; statistics of normalisation stay frozen."""

    def __init__(self, encoder: DualEncoder, class_matrix: np.ndarray) -> None:
        super().__init__()
        self.model, self._encoder = encoder.model, encoder
        self.register_buffer("class_matrix", torch.from_numpy(class_matrix))

    def train(self, mode: bool = True) -> _Scored:
        return super().train(False)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self._encoder.logit_scale * self._encoder.image_features(pixel_values) @ self.class_matrix.T
        return {"loss": torch.nn.functional.cross_entropy(logits, labels)}


def _median_step(ends: list[float]) -> float:
    """Seconds of a step, from the times at which steps ended; the first steps warm up."""
    return statistics.median(b - a for a, b in pairwise(ends[1:]))


def _fine_tuning(study: Study, steps: int, batch: int, augmentation: Any) -> FullFineTuningConfig:
    training = {**_PLAIN, "epochs": 1000, "max_steps": steps, "batch_size": batch, "warmup_share": 0.0}
    return FullFineTuningConfig(
        towers="visual", loss="cross_entropy", layer_decay=1.0, augmentation=augmentation, training=training
    )


def against_transformers(study: Study) -> dict[str, Any]:
    """A step of full fine-tuning by our loop and by transformers.Trainer, and how long ours waits for pictures."""
    from transformers import PrinterCallback, TrainerCallback, TrainingArguments
    from transformers import Trainer as TheirTrainer

    batch, steps = (8, 5) if study.quick else (32, 8)
    encoder = study.load()
    embeddings = EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder)
    shares: list[float] = []

    def ours(augmentation: Any = None) -> float:
        config = _fine_tuning(study, steps, batch, augmentation)
        context, ends = study.context(study.load(), embeddings), []
        task = Unvalidated(full_fine_tuning.build_task(context, config))
        result = Trainer(config.training, context.encoder.device, 0).fit(
            task, lambda done, total, note: ends.append(time.perf_counter())
        )
        if augmentation is not None:
            shares.append(result.seconds_waiting / result.seconds)
        return _median_step(ends)

    def theirs() -> float:
        config = _fine_tuning(study, steps, batch, None).training
        mine, ends = study.load(), []
        mine.model.requires_grad_(False)
        for name, parameter in mine.model.named_parameters():
            parameter.requires_grad_(name.startswith(("vision_model.", "visual_projection")))
        scored = _Scored(mine, mine.class_matrix(PromptConfig().texts(study.manifest.labels, "single")))

        class Noting(TrainerCallback):
            def on_step_end(self, *arguments: Any, **more: Any) -> None:
                ends.append(time.perf_counter())

        arguments = TrainingArguments(
            output_dir=str(study.folder / "theirs"),
            max_steps=steps,
            per_device_train_batch_size=batch,
            learning_rate=config.learning_rate,
            lr_scheduler_type="cosine",
            weight_decay=config.weight_decay,
            max_grad_norm=config.clip_norm,
            dataloader_num_workers=2,
            dataloader_prefetch_factor=2,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=0,
        )
        data = _Photographs(study.manifest.split("train"), Preprocessor(mine.preprocessing))
        trainer = TheirTrainer(scored, arguments, train_dataset=data, callbacks=[Noting()])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        return _median_step(ends)

    left, right = pairs(theirs, ours, 3 if study.quick else _PAIRS)
    for _ in range(1 if study.quick else 3):
        ours(FullFineTuningConfig().augmentation)
    show(
        f"Full fine-tuning of the image encoder, fp32, batches of {batch}",
        [
            ("transformers.Trainer", f"{statistics.median(left):.3f} s", ""),
            ("ours", f"{statistics.median(right):.3f} s", f"{ratio(left, right):.3f}"),
            ("of ours, waiting for augmented pictures", f"{statistics.median(shares):.1%}", ""),
        ],
        ("", "a step", "theirs / ours"),
    )
    return {"trainer_ratio": ratio(left, right), "loader_wait_share": statistics.median(shares)}


def build_weighed_task(device: torch.device, *, folder: str, mode: str) -> Any:
    """The task that each of two processes builds; after a step it leaves the bytes that the process keeps."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def weigh(optimiser: torch.optim.Optimizer, arguments: Any, more: Any) -> None:
        held = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state = [value for kept in optimiser.state.values() for value in kept.values() if torch.is_tensor(value)]
        sizes = {"parameters": sum(map(_own_bytes, held)), "optimiser": sum(map(_own_bytes, state))}
        (Path(folder) / f"{mode}-{os.environ['RANK']}.json").write_text(json.dumps(sizes))

    register_optimizer_step_post_hook(weigh)
    context = read_context(Path(folder) / _CONTEXT, device)
    config = FullFineTuningConfig(loss="cross_entropy", augmentation=None)
    return Unvalidated(full_fine_tuning.build_task(context, config))


def _own_bytes(tensor: torch.Tensor) -> int:
    local = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return local.numel() * local.element_size()


def sharded_memory(study: Study) -> dict[str, Any]:
    """What one of two processes holds of parameters and AdamW's state."""
    encoder = study.load()
    embeddings = EmbeddingCache(study.folder / "kept").embed(study.manifest, encoder)
    context = study.context(encoder, embeddings)
    write_context(context, study.folder / _CONTEXT)
    own = str(Path(__file__).parent)  # where the processes find `build_weighed_task`
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = own if before is None else f"{own}{os.pathsep}{before}"
    held: dict[str, dict[str, float]] = {}
    for mode in ("ddp", "fsdp"):
        config = TrainerConfig(**_PLAIN, max_steps=2, batch_size=8, distributed={"mode": mode, "processes": 2})
        task = full_fine_tuning.build_task(context, FullFineTuningConfig(loss="cross_entropy", augmentation=None))
        recipe = Recipe("training:build_weighed_task", {"folder": str(study.folder), "mode": mode})
        train(Unvalidated(task), recipe, config, encoder.device, 0)
        found = [json.loads(path.read_text()) for path in sorted(study.folder.glob(f"{mode}-?.json"))]
        held[mode] = {kind: max(sizes[kind] for sizes in found) for kind in ("parameters", "optimiser")}
    show(
        "Full fine-tuning of both encoders by two processes: MB that the fuller one holds",
        [(mode, *(f"{sizes[kind] / 1e6:.2f}" for kind in ("parameters", "optimiser"))) for mode, sizes in held.items()],
        ("mode", "parameters", "optimiser"),
    )
    return {"fsdp_memory_ratio": sum(held["fsdp"].values()) / sum(held["ddp"].values())}


PARTS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "cached": cached_epoch,
    "trainer": against_transformers,
    "memory": sharded_memory,
}


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS), help="what is measured")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = photographs(4 if options.quick else 40, folder)
        backbone = str(HAR_DUAL_ENCODER) if real_data() else "tiny-clip"
        study = Study(manifest, ModelConfig(backbone=backbone), folder, options.quick)
        figures: dict[str, Any] = {"benchmark": "training", "photographs": len(manifest)}
        for part in options.parts:
            figures |= PARTS[part](study)
    finish(figures)


if __name__ == "__main__":
    main()
