"""What an adaptation method is given and what it leaves."""

from __future__ import annotations

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from clip_har.adaptation.few_shot import draw_shots
from clip_har.component import Artifact, ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache
from clip_har.hashing import sha256_arrays, sha256_folder, sha256_json
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import OpenVocabulary
from clip_har.models.head import ClassHead, head_from_arrays
from clip_har.models.prompts import PromptConfig
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    from clip_har.adaptation.projection import PooledFeatures
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.embeddings import EmbeddingSet
    from clip_har.training.embedding_cache import EmbeddingCache

ENCODERS_UNCHANGED = OpenVocabulary(
    word="kept", basis="the encoders were not changed: other labels are scored as zero-shot"
)


class MethodConfig(ComponentConfig):
    """Base of the methods' configs; `method` names which one it is.

    A config with a field `preset` takes what is not given from `PRESETS[preset]`.
    """

    PRESETS: ClassVar[dict[str, dict[str, Any]]] = {}

    method: str = Field(description="Name of the adaptation method.")
    shots: int | None = Field(
        None,
        ge=1,
        description="Labelled photographs of each class that may be fitted on, drawn from the train split with the "
        "run's seed; all if not given.",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "preset" not in cls.model_fields:
            return value
        name = value.get("preset", cls.model_fields["preset"].default)
        if name not in cls.PRESETS:
            raise ValueError(f"there is no preset {name!r}; wanted: {', '.join(cls.PRESETS)}")
        return _merged(cls.PRESETS[name], value)

    def restricted_to(self, labels: Collection[str]) -> MethodConfig:
        """The config for a data set with these labels only; methods whose configs name labels override it."""
        return self


def _merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Mappings merged key by key; what is given goes first."""
    merged = dict(defaults)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


class ComparisonConfig(ComponentConfig):
    """How candidates are compared."""

    select_by: Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"] = Field(
        "accuracy",
        description="Figure on the validation split by which the best method is kept.",
    )


@dataclass(frozen=True)
class StoredEncoders:
    """Encoders that lie in a Hugging Face folder."""

    folder: Path

    def save(self, folder: str | Path) -> None:
        """Copy the folder."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


@dataclass(frozen=True)
class AdaptationContext:
    """What a method may use. It sees the train split, and the validation split to choose its settings on.

    Attributes:
        encoder: the backbone; the method may change it.
        manifest: the split data set.
        embeddings: of the unchanged image encoder, for all samples.
        prompts: texts of the classes.
        compute: device and batch size.
        seed: of everything random.
        progress: called as `progress(done, total, note)`.
        pooled: what the image encoder's projection takes, of the train and validation splits at least; methods that
            need it make it from the photographs if it is not given.
        limits: what is accepted as an image.
        cache: where decoded pictures are kept.
        embedding_cache: where embeddings are kept, of changed encoders too.
        key: hash of the method's config, the data, the seed and the code: what makes a fit the same fit when it is
            started again; "" for one that cannot go on where it was cut off.
        workspace: where the checkpoints of fits are kept.
        stored_encoder: the encoder as it came, in a folder; made by `adapt` where other processes train too.
        on_validation: called with each new row of a training's history; what it raises ends the fit.
    """

    encoder: DualEncoder
    manifest: Manifest
    embeddings: EmbeddingSet
    prompts: PromptConfig
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    seed: int = 0
    progress: Callable[[int, int, str], None] = lambda done, total, note: None
    pooled: PooledFeatures | None = None
    limits: ImageLimits = field(default_factory=ImageLimits)
    cache: PixelCache | None = None
    embedding_cache: EmbeddingCache | None = None
    key: str = ""
    workspace: Path | None = None
    stored_encoder: StoredEncoders | None = None
    on_validation: Callable[[dict[str, float]], None] | None = None

    @cached_property
    def train(self) -> Manifest:
        """Samples to fit on."""
        return self.manifest.split("train")

    @cached_property
    def validation(self) -> Manifest:
        """Samples to choose settings on."""
        return self.manifest.split("validation")

    def with_shots(self, shots: int | None) -> AdaptationContext:
        """The same with at most so many training photographs of each class; all of them for None."""
        if shots is None:
            return self
        return replace(self, manifest=draw_shots(self.manifest, shots, self.seed))

    def texts(self, prompts: str) -> dict[str, list[str]]:
        """The texts of each class, "single" or "ensemble"."""
        return self.prompts.texts(self.manifest.labels, prompts)  # type: ignore[arg-type]


@dataclass(frozen=True)
class AdaptedModel(Artifact):
    """What a method leaves: an image encoder, a class head, and how it came to them.

    Attributes:
        name: the candidate's name in the leaderboard.
        method, recipe: the method and its config.
        head, class_matrix, texts: the class head, float32 [c, d] text embeddings, and the texts behind them.
        encoder: the changed encoders (in memory or stored), or None if they are the backbone's.
        open_vocabulary: whether other labels still work.
        validation_ids, validation_logits: n samples of the validation split and float32 [n, c].
        history: what happened on the way: a row a step, an epoch or a setting tried.
        trained_parameters: how many numbers were fitted.
        remarks: what a reader should know ("no LoRA targets in the image encoder").
        augmentation: config of what the training pictures went through; None if they were seen as they are, or their
            embeddings were.
    """

    name: str
    method: str
    recipe: dict[str, Any]
    head: ClassHead
    class_matrix: np.ndarray
    texts: dict[str, list[str]]
    open_vocabulary: OpenVocabulary
    validation_ids: tuple[str, ...]
    validation_logits: np.ndarray
    trained_parameters: int
    encoder: DualEncoder | StoredEncoders | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    augmentation: dict[str, Any] | None = None

    @classmethod
    def of(
        cls,
        context: AdaptationContext,
        config: MethodConfig,
        name: str,
        *,
        head: ClassHead,
        class_matrix: np.ndarray,
        texts: dict[str, list[str]],
        embeddings: np.ndarray,
        trained_parameters: int,
        open_vocabulary: OpenVocabulary = ENCODERS_UNCHANGED,
        **rest: Any,
    ) -> AdaptedModel:
        """What a method leaves, with its scores of the validation split.

        Args:
            embeddings: float32 [n, d] of the validation split, by the encoder that is left.
            rest: further attributes.
        """
        return cls(
            name=name,
            method=config.method,
            recipe=config.model_dump(mode="json"),
            head=head,
            class_matrix=class_matrix,
            texts=texts,
            open_vocabulary=open_vocabulary,
            validation_ids=tuple(context.validation.ids),
            validation_logits=head.score(embeddings, class_matrix),
            trained_parameters=trained_parameters,
            **rest,
        )

    def _about(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "method": self.method,
            "recipe": self.recipe,
            "head": self.head.type,
            "texts": self.texts,
            "open_vocabulary": self.open_vocabulary.model_dump(),
            "validation_ids": list(self.validation_ids),
            "trained_parameters": self.trained_parameters,
            "history": self.history,
            "remarks": self.remarks,
            "augmentation": self.augmentation,
            "encoder": self.encoder is not None,
        }

    def _arrays(self) -> dict[str, np.ndarray]:
        ours = {"class_matrix": self.class_matrix, "validation_logits": self.validation_logits}
        arrays = ours | {f"head.{name}": array for name, array in self.head.arrays().items()}
        return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}

    def write(self, folder: str | Path) -> None:
        """Write `adapted.json`, `arrays.safetensors` and, if they were changed, `encoder/` into a folder."""
        from safetensors.numpy import save

        folder = Path(folder)
        write_atomic(folder / "arrays.safetensors", save(self._arrays()))
        if self.encoder is not None:
            self.encoder.save(folder / "encoder")
        write_json(folder / "adapted.json", self._about())

    @classmethod
    def read(cls, folder: str | Path) -> AdaptedModel:
        """Read what `write` wrote; the folder must stay while the encoders are used."""
        from safetensors.numpy import load_file

        folder = Path(folder)
        about = json.loads((folder / "adapted.json").read_text())
        arrays = load_file(folder / "arrays.safetensors")
        own = {name.removeprefix("head."): array for name, array in arrays.items() if name.startswith("head.")}
        return cls(
            name=about["name"],
            method=about["method"],
            recipe=about["recipe"],
            head=head_from_arrays(about["head"], own),
            class_matrix=arrays["class_matrix"],
            texts=about["texts"],
            open_vocabulary=OpenVocabulary.model_validate(about["open_vocabulary"]),
            validation_ids=tuple(about["validation_ids"]),
            validation_logits=arrays["validation_logits"],
            trained_parameters=about["trained_parameters"],
            encoder=StoredEncoders(folder / "encoder") if about["encoder"] else None,
            history=about["history"],
            remarks=about["remarks"],
            augmentation=about["augmentation"],
        )

    def content_hash(self, folder: str | Path | None = None) -> str:
        """sha256 of all of it; `folder` is where `write` put it (needed for changed encoders)."""
        parts: list[Any] = [self._about(), sha256_arrays(self._arrays())]
        if self.encoder is not None:
            assert folder is not None
            parts.append(sha256_folder(Path(folder) / "encoder"))
        return sha256_json(parts)


class AdaptationMethod(ABC):
    """Base of all adaptation methods.

    Attributes:
        needs_pooled: whether it is fitted on what the image encoder's projection takes.
    """

    Config: ClassVar[type[MethodConfig]]
    needs_pooled: ClassVar[bool] = False

    def __init__(self, config: MethodConfig) -> None:
        self.config = config

    def adapt(self, context: AdaptationContext, name: str) -> AdaptedModel:
        """`fit` on as many shots as the config allows: what is called from outside."""
        from clip_har.adaptation.stored_context import with_stored_encoder

        with with_stored_encoder(context.with_shots(self.config.shots), self.config) as prepared:
            return self.fit(prepared, name)

    @abstractmethod
    def fit(self, context: AdaptationContext, name: str) -> AdaptedModel:
        """Adapt to the train split; what a method implements.

        Args:
            name: what the candidate is called in the leaderboard.
        """
