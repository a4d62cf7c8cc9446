"""What training costs: heads on cached embeddings, the loop beside transformers' own, waiting for data, memory by mode.

* cached_epoch_ratio: an epoch of CLIP-Adapter's head trained through the frozen encoder on photographs, over one on cached
  embeddings; and the same for whole runs with validations, the cached one from an empty cache.
* trainer_ratio: a step of full fine-tuning by transformers.Trainer over one by ours; same photographs, preprocessing,
  model, loss, optimiser, batch and precision, each decoding ahead of the step.
* loader_wait_share: the share of our full fine-tuning's time that is spent waiting for pictures, with augmentation.
* fsdp_memory_ratio: bytes of parameters and optimiser state of one of two processes, fsdp over ddp.
* peak_mb_…: most resident memory of the fullest process, by mode and option, ViT-B/32's image encoder in batches of 32.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import HAR_DUAL_ENCODER, PROJECT, finish, pairs, parser, ratio, real_data, seconds, show
from training_memory import peak_memory, sharded_memory
from training_study import PLAIN, Study, Unvalidated, photographs

sys.path.insert(0, str(PROJECT))

from clip_har.adaptation import clip_adapter, full_fine_tuning
from clip_har.adaptation.base import AdaptationContext
from clip_har.adaptation.clip_adapter import ClipAdapterConfig
from clip_har.adaptation.full_fine_tuning import FullFineTuningConfig
from clip_har.data.manifest import Manifest
from clip_har.models.backbone import ModelConfig
from clip_har.models.dual_encoder import DualEncoder
from clip_har.models.preprocessing import Preprocessor
from clip_har.models.prompts import PromptConfig
from clip_har.training.embedding_cache import EmbeddingCache
from clip_har.training.pixels import TrainingPixels
from clip_har.training.scores import validation_scores
from clip_har.training.trainer import Trainer

_PAIRS = 7


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
    embeddings = study.embeddings(encoder)
    context = study.context(encoder, embeddings)
    config = ClipAdapterConfig()
    many = 20  # epochs on embeddings, so that there is something to measure

    def epochs(wrap: Callable[[Any], Any], number: int) -> float:
        task = wrap(clip_adapter.build_task(context, config, ratio=0.2))
        training = config.training.model_copy(update={**PLAIN, "epochs": number, "max_steps": None})
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
    warm = seconds(lambda: study.embeddings(encoder))
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
    training = {**PLAIN, "epochs": 1000, "max_steps": steps, "batch_size": batch, "warmup_share": 0.0}
    return FullFineTuningConfig(
        towers="visual", loss="cross_entropy", layer_decay=1.0, augmentation=augmentation, training=training
    )


def against_transformers(study: Study) -> dict[str, Any]:
    """A step of full fine-tuning by our loop and by transformers.Trainer, and how long ours waits for pictures."""
    from transformers import PrinterCallback, TrainerCallback, TrainingArguments
    from transformers import Trainer as TheirTrainer

    batch, steps = (8, 5) if study.quick else (32, 8)
    encoder = study.load()
    embeddings = study.embeddings(encoder)
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


PARTS: dict[str, Callable[[Study], dict[str, Any]]] = {
    "cached": cached_epoch,
    "trainer": against_transformers,
    "memory": sharded_memory,
    "peak": peak_memory,
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
