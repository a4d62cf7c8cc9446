"""Contrastive pretraining: pictures and captions → a dual encoder, from scratch or from where another one stands."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from clip_har.component import Artifact, ComponentConfig
from clip_har.data.augmentation import AugmentationConfig
from clip_har.data.image import ImageLimits
from clip_har.data.pairs import AnyPairSourceConfig, ImageTextPairs
from clip_har.data.pairs.samples import DrawnPairsConfig
from clip_har.errors import DataError
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.clip import ClipConfig, fit_first_layer, new_clip
from clip_har.progress import progress
from clip_har.storage import write_atomic, write_json
from clip_har.training.config import TrainerConfig
from clip_har.training.launch import MATERIAL, Recipe, job_folder, train

if TYPE_CHECKING:
    import torch

    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.training.contrastive import ContrastiveTask
    from clip_har.training.pictures import StoredPictures

_MARGIN = 1.25  # pictures are stored this much larger than the encoder sees them, so that crops keep their sharpness
_FIRST_LAYER_PICTURES = 2000
_WHOLE_PICTURES = 0.2  # share of the epochs, the last ones, in which no patches are left out
_FACTS, _TASK, _ENCODER = "pretraining.json", "task.json", "encoder"


class PretrainingConfig(ComponentConfig):
    """How a backbone is pretrained."""

    pairs: AnyPairSourceConfig = Field(DrawnPairsConfig(), description="Where pictures and captions come from.")
    backbone: str | None = Field(
        None, description="Folder or Hub id of a dual encoder to continue from, with its vocabulary; else from scratch."
    )
    architecture: ClipConfig = Field(ClipConfig(), description="Size of the new model, from scratch.")
    augmentation: AugmentationConfig | None = Field(
        AugmentationConfig(), description="Random views of the pictures; none if not given."
    )
    patch_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of a picture's patches that a step leaves out, for speed (CLIP only); not in the last epochs.",
    )
    training: TrainerConfig = Field(
        TrainerConfig(
            epochs=10, batch_size=128, learning_rate=1e-3, weight_decay=0.1, betas=(0.9, 0.98), patience=None
        ),
        description="The training run.",
    )
    validation: int = Field(1000, ge=2, description="Pictures held back for validation, at most a tenth of all.")
    unusable: float = Field(
        0.05, ge=0, lt=1, description="Largest share of pictures that may fail to decode; they are left out."
    )
    half_precision: bool = Field(True, description="Store the weights as float16: half the size, loaded as float32.")

    @field_validator("augmentation")
    @classmethod
    def _needs_no_labels(cls, value: AugmentationConfig | None) -> AugmentationConfig | None:
        if value is not None and value.needs_labels:
            raise ValueError("mixup, cutmix and forbidden are for pictures with labels; those of pretraining have none")
        return value


@dataclass(frozen=True)
class PretrainedBackbone(Artifact):
    """What pretraining left.

    Attributes:
        path: a Hugging Face folder: config, weights, tokenizer, image processor.
        history: as `TrainingResult.history`; accuracy is retrieval among the pictures of a batch.
        facts: what it was made from and how, as JSON.
    """

    path: Path
    history: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def write_facts(self) -> None:
        """Write history and facts beside the model."""
        write_json(self.path / _FACTS, {"history": self.history, "facts": self.facts})

    @classmethod
    def read(cls, path: str | Path) -> PretrainedBackbone:
        """Read a folder that `pretrain` made."""
        about = json.loads((Path(path) / _FACTS).read_text(encoding="utf-8"))
        return cls(Path(path), about["history"], about["facts"])


def pretrain(
    config: PretrainingConfig,
    pairs: ImageTextPairs,
    folder: str | Path,
    *,
    compute: ComputeConfig,
    seed: int,
    limits: ImageLimits | None = None,
    key: str = "",
    workspace: Path | None = None,
    on_validation: Callable[[dict[str, float]], None] | None = None,
) -> PretrainedBackbone:
    """Train both encoders on pictures and captions and write them as a Hugging Face folder.

    Args:
        folder: to write into; made if it is not there.
        key, workspace: as `Trainer` takes them, to go on where a run was cut off.
        on_validation: called with each new row of the history.

    Raises:
        DataError: if too few pictures can be used.
        ModelError: if the backbone to continue from cannot be used.
        TrainingError: if the loss is not finite, or a process that trained failed.
    """
    import torch

    from clip_har.training.contrastive import clamp_scale

    torch.manual_seed(seed)
    encoder = _start(config, pairs, compute)
    training = config.training.model_copy(update={"precision": _precision(config.training, encoder)})
    with job_folder(training) as job, _material(job) as material:
        pictures = _decode(config, pairs, encoder, material, limits)
        kept = pairs.take(pictures.kept)
        train_on, validation = _hold_back(len(kept), config.validation, seed)
        if config.backbone is None:
            fit_first_layer(encoder, _some(pictures, train_on, encoder))
        plan = {
            "train": train_on,
            "validation": validation,
            "augmentation": config.augmentation and config.augmentation.model_dump(mode="json"),
            "batch_size": training.batch_size,
            "seed": seed,
            "patch_dropout": config.patch_dropout,
            "whole_from": round(training.epochs * (1 - _WHOLE_PICTURES)),
            # torch's fused attention is slow in bfloat16 on a CPU
            "eager_attention": training.precision == "bf16" and encoder.device.type == "cpu",
        }
        if job is not None:
            encoder.save(material / _ENCODER)
            about = {"plan": plan, "kept": pictures.kept, "captions": kept.captions, "names": kept.uris}
            write_json(material / _TASK, about)
        task = _task(encoder, pictures, kept.captions, kept.uris, **plan)
        recipe = Recipe(f"{__name__}:build_task", {"folder": str(material)})
        with progress("pretraining") as report:
            result = train(
                task,
                recipe,
                training,
                encoder.device,
                seed,
                key=key,
                workspace=workspace,
                folder=job,
                progress=report,
                on_validation=on_validation,
            )
    clamp_scale(encoder.model)
    facts = {
        "pictures": len(kept),
        "captions": sum(map(len, kept.captions)),
        "rejected": dict(pictures.rejected),
        "trained_on": len(train_on),
        "validated_on": len(validation),
        "continued_from": config.backbone,
        "parameters": sum(parameter.numel() for parameter in encoder.model.parameters()),
        "vocabulary": len(encoder.tokenizer),
        "precision": training.precision,
        "threads": torch.get_num_threads(),
        "steps": result.steps,
        "best_step": result.best_step,
        "logit_scale": encoder.logit_scale,
    }
    save_backbone(encoder, folder, half_precision=config.half_precision)
    backbone = PretrainedBackbone(Path(folder), result.history, facts)
    backbone.write_facts()
    return backbone


@contextmanager
def _material(job: Path | None) -> Iterator[Path]:
    """Where pictures are kept while training lasts: where the other processes find them, if there are any."""
    if job is not None:
        (job / MATERIAL).mkdir()
        yield job / MATERIAL
        return
    with tempfile.TemporaryDirectory(prefix="clip-har-pictures-") as scratch:
        yield Path(scratch)


def build_task(folder: str, *, device: torch.device) -> ContrastiveTask:
    """The task of a process that trains, from what `pretrain` left in a folder for it."""
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.training.pictures import StoredPictures

    material = Path(folder)
    about = json.loads((material / _TASK).read_text(encoding="utf-8"))
    encoder = DualEncoder.load(ModelConfig(backbone=str(material / _ENCODER)), str(device))
    pictures = StoredPictures.open(material, about["kept"])
    return _task(encoder, pictures, about["captions"], about["names"], **about["plan"])


def _task(
    encoder: DualEncoder,
    pictures: StoredPictures,
    captions: Sequence[Sequence[str]],
    names: Sequence[str],
    *,
    augmentation: dict[str, Any] | None,
    eager_attention: bool,
    **options: Any,
) -> ContrastiveTask:
    from clip_har.training.contrastive import ContrastiveTask

    policy = augmentation and AugmentationConfig.model_validate(augmentation)
    task = ContrastiveTask(encoder, pictures, captions, names, augmentation=policy, **options)
    if eager_attention:
        encoder.model.set_attn_implementation("eager")
    return task


def _start(config: PretrainingConfig, pairs: ImageTextPairs, compute: ComputeConfig) -> DualEncoder:
    from clip_har.models.dual_encoder import DualEncoder, resolve_device

    if config.backbone is not None:
        return DualEncoder.load(ModelConfig(backbone=config.backbone), compute.device)
    return new_clip(config.architecture, pairs.all_captions()).to(resolve_device(compute.device))


def _decode(
    config: PretrainingConfig, pairs: ImageTextPairs, encoder: DualEncoder, folder: Path, limits: ImageLimits | None
):
    from clip_har.training.pictures import StoredPictures

    preprocessing = encoder.preprocessing
    side = preprocessing.resize_shortest_edge or max(preprocessing.output_size)
    with progress("decoding pictures") as report:
        pictures = StoredPictures.decode(
            pairs.paths, round(_MARGIN * side), folder, limits, lambda done: report(done, len(pairs))
        )
    rejected = pictures.rejected.total()
    if rejected > config.unusable * len(pairs) or len(pictures) < 4:
        raise DataError(
            f"pretraining.pairs: {rejected} of {len(pairs)} pictures cannot be used "
            f"({', '.join(f'{number} {reason}' for reason, number in pictures.rejected.items()) or 'none is broken'}); at "
            f"least four are wanted, and at most {config.unusable:.0%} broken (pretraining.unusable). "
            f"{pictures.first_problem}".strip()
        )
    return pictures


def _some(pictures: StoredPictures, train: list[int], encoder: DualEncoder) -> torch.Tensor:
    """float32 [n, 3, h, w] of the first pictures to train on."""
    import torch

    from clip_har.models.preprocessing import Preprocessor

    preprocessor = Preprocessor(encoder.preprocessing)
    return torch.from_numpy(preprocessor.batch(pictures[position] for position in train[:_FIRST_LAYER_PICTURES]))


def _hold_back(number: int, wanted: int, seed: int) -> tuple[list[int], list[int]]:
    """Positions to train on, and to validate on: at most a tenth, at least two."""
    order = np.random.default_rng([seed, number]).permutation(number).tolist()
    held_back = max(2, min(wanted, number // 10))
    return sorted(order[held_back:]), order[:held_back]


def _precision(training: TrainerConfig, encoder: DualEncoder) -> str:
    """`auto`, on a processor that multiplies bfloat16 matrices itself, becomes bf16: a step takes two thirds of the time."""
    import torch

    if training.precision == "auto" and encoder.device.type == "cpu":
        asked = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        if any(getattr(torch.cpu, name, lambda: False)() for name in asked):
            return "bf16"
    return training.precision


def save_backbone(encoder: DualEncoder, folder: str | Path, *, half_precision: bool) -> None:
    """Write a Hugging Face folder.

    Args:
        half_precision: store matrices and vectors as float16. The config keeps saying float32, which is what
            transformers then loads them as.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if encoder.tokenizer.is_fast:  # how the last texts were padded and cut is no part of the vocabulary
        encoder.tokenizer.backend_tokenizer.no_padding()
        encoder.tokenizer.backend_tokenizer.no_truncation()
    encoder.save(folder)
    if not half_precision:
        return
    from safetensors.torch import load_file, save

    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        halved = {
            name: tensor.half() if tensor.is_floating_point() and tensor.ndim else tensor
            for name, tensor in tensors.items()
        }
        write_atomic(file, save(halved, metadata={"format": "pt"}))
