"""The model bundle: a plain directory that says what it is and loads with plain transformers from its root.

    bundle/
      config.json model.safetensors tokenizer… preprocessor_config.json
      clip_har/  bundle.json head.safetensors prompts.json calibration.json checksums.json
      attachments/<kind>/…

Everything outside `attachments/` is the core. It never changes once written; the hash of its files is the model id.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from clip_har.component import Artifact, ComponentConfig
from clip_har.errors import BundleError
from clip_har.hashing import sha256_file, sha256_json
from clip_har.models.calibration import Calibration
from clip_har.models.head import ClassHead, head_from_arrays
from clip_har.storage import new_folder, write_atomic, write_json

if TYPE_CHECKING:
    from clip_har.models.dual_encoder import DualEncoder

FORMAT_VERSION = 1
ATTACHMENTS = "attachments"
_OURS = "clip_har"
_CHECKSUMS = f"{_OURS}/checksums.json"
_CLASS_MATRIX = "class_matrix"


class OpenVocabulary(ComponentConfig):
    """Whether labels that were not trained still work, and what that word rests on.

    `kept` and `degraded` answer requests with other labels through the text matrix; `lost` refuses them.
    """

    word: Literal["kept", "degraded", "lost"] = Field(description="The verdict.")
    basis: str = Field(description="What the verdict rests on.")
    base_accuracy: float | None = Field(None, description="Accuracy on the classes adapted to, if measured.")
    novel_accuracy: float | None = Field(None, description="Accuracy on classes held out of adaptation, if measured.")
    harmonic_mean: float | None = Field(None, description="Harmonic mean of the two, if measured.")
    novel_classes: tuple[str, ...] = Field((), description="The classes that were held out for the measurement.")
    split: str | None = Field(None, description="Split that was measured, if one was.")
    base_samples: int | None = Field(None, description="Its photographs of the other classes.")
    novel_samples: int | None = Field(None, description="Its photographs of the classes held out.")
    zero_shot_base_accuracy: float | None = Field(None, description="Zero-shot's, on the same photographs.")
    zero_shot_novel_accuracy: float | None = Field(None, description="Zero-shot's, on the same photographs.")
    zero_shot_harmonic_mean: float | None = Field(None, description="Zero-shot's, on the same photographs.")

    @property
    def measured(self) -> bool:
        """Whether the word rests on figures."""
        return self.harmonic_mean is not None


class BundleInfo(ComponentConfig):
    """`clip_har/bundle.json`: what the bundle is and where it comes from. No times and no machine's paths."""

    format_version: int = Field(FORMAT_VERSION, description="Version of this format.")
    labels: tuple[str, ...] = Field(description="Classes, in the order of the logits.")
    head: str = Field(description="Type of the class head.")
    method: str = Field(description="Adaptation method.")
    recipe: dict[str, Any] = Field(description="The method's config.")
    backbone: str = Field(description="Name of the backbone that adaptation started from.")
    backbone_hash: str = Field(description="Hashes of the backbone's image and text encoders, joined.")
    encoder_hash: str = Field(description="Hash of this bundle's image encoder.")
    data_hash: str = Field(description="Content hash of the Manifest that it was trained on.")
    data_revision: str = Field(description="Revision of the data that it was trained on.")
    data_dvc_hash: str = Field("", description="DVC's md5 of those data's pictures; empty if they were not published.")
    config_hash: str = Field(description="Hash of the component configs that made it.")
    open_vocabulary: OpenVocabulary = Field(description="Whether other labels work.")
    decoder_reduction: bool = Field(False, description="Setting of the preprocessing that transformers does not know.")
    metrics: dict[str, float] = Field(description="Figures on the validation split.")


@dataclass(frozen=True)
class ModelBundle(Artifact):
    """A bundle on disk.

    Attributes:
        path: its directory.
        info: what `bundle.json` says.
        head: the class head.
        class_matrix: float32 [c, d], text embeddings of the classes.
        prompts: `templates`, `class_names` and the `texts` of each class behind the class matrix.
        calibration: temperature and where it comes from.
    """

    path: Path
    info: BundleInfo
    head: ClassHead
    class_matrix: np.ndarray
    prompts: dict[str, Any]
    calibration: Calibration

    @property
    def labels(self) -> tuple[str, ...]:
        """Classes, in the order of the logits."""
        return self.info.labels

    @cached_property
    def model_id(self) -> str:
        """sha256 over the core's files."""
        return sha256_json(_read_json(self.path / _CHECKSUMS))

    @classmethod
    def create(
        cls,
        target: str | Path,
        *,
        save_encoder: Callable[[Path], None],
        info: BundleInfo,
        head: ClassHead,
        class_matrix: np.ndarray,
        prompts: dict[str, Any],
        calibration: Calibration,
    ) -> ModelBundle:
        """Write a bundle whole or not at all.

        Args:
            target: directory to make; must not exist, or be empty.
            save_encoder: writes the Hugging Face folder, like `DualEncoder.save`.
        """
        from safetensors.numpy import save

        arrays = {**head.arrays(), _CLASS_MATRIX: class_matrix}
        arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
        with new_folder(target) as folder:
            save_encoder(folder)
            ours = folder / _OURS
            ours.mkdir()
            write_json(ours / "bundle.json", info.model_dump(mode="json"))
            write_atomic(ours / "head.safetensors", save(arrays))
            write_json(ours / "prompts.json", prompts)
            write_json(ours / "calibration.json", calibration.model_dump(mode="json"))
            write_json(folder / _CHECKSUMS, _core_checksums(folder))
        return cls.load(target)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> ModelBundle:
        """Open a bundle.

        Args:
            verify: compare every core file with its checksum first.

        Raises:
            BundleError: if it is not a bundle, of a newer format, damaged or incomplete.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = Path(path)
        if not (path / _CHECKSUMS).is_file():
            raise BundleError(f"{path} is not a model bundle: there is no {_CHECKSUMS} in it.")
        if verify:
            _verify(path)
        raw = _read_json(path / _OURS / "bundle.json")
        version = raw.get("format_version")
        if version != FORMAT_VERSION:
            raise BundleError(
                f"{path} is a bundle of format {version}; this version of clip_har reads format {FORMAT_VERSION}."
            )
        try:
            info = BundleInfo.model_validate(raw)
            calibration = Calibration.model_validate(_read_json(path / _OURS / "calibration.json"))
            arrays = load_file(path / _OURS / "head.safetensors")
            class_matrix = arrays.pop(_CLASS_MATRIX)
        except (ValidationError, SafetensorError, KeyError, OSError) as error:
            raise BundleError(f"{path} is a damaged bundle: {error}") from error
        prompts = _read_json(path / _OURS / "prompts.json")
        return cls(path, info, head_from_arrays(info.head, arrays), class_matrix, prompts, calibration)

    def load_encoder(self, device: str = "cpu") -> DualEncoder:
        """The bundle's encoders, in float32."""
        from clip_har.models.backbone import ModelConfig
        from clip_har.models.dual_encoder import DualEncoder

        config = ModelConfig(backbone=str(self.path.absolute()), decoder_reduction=self.info.decoder_reduction)
        return DualEncoder.load(config, device)

    def attachment(self, kind: str) -> Path:
        """The folder of an attachment.

        Raises:
            BundleError: if there is none, or it was made for another model.
        """
        folder = self.path / ATTACHMENTS / kind
        if not (folder / "attachment.json").is_file():
            raise BundleError(f"{self.path} has no attachment {kind!r}.")
        made_for = _read_json(folder / "attachment.json").get("model_id")
        if made_for != self.model_id:
            raise BundleError(f"The attachment {kind!r} of {self.path} was made for another model ({made_for}).")
        return folder

    def attach(self, kind: str, fill: Callable[[Path], None]) -> Path:
        """Add or replace an attachment: `fill` writes its files into the folder that it is given.

        Args:
            kind: path below `attachments/`, like "reports" or "exports/onnx".
        """
        target = self.path / ATTACHMENTS / kind
        made = target.with_name(f".{target.name}.new")
        shutil.rmtree(made, ignore_errors=True)
        with new_folder(made) as folder:
            fill(folder)
            write_json(folder / "attachment.json", {"model_id": self.model_id, "kind": kind})
        replaced = target.with_name(f".{target.name}.old")
        shutil.rmtree(replaced, ignore_errors=True)
        if target.exists():
            target.rename(replaced)
        made.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
        return target


def _core_checksums(folder: Path) -> dict[str, str]:
    """sha256 of every core file. Hidden files and a README are what hosts of folders (Git, the Hub) put beside them."""
    return {
        name: sha256_file(folder / name)
        for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        if name != _CHECKSUMS and not name.startswith((f"{ATTACHMENTS}/", ".")) and name != "README.md"
    }


def _verify(path: Path) -> None:
    wanted, found = _read_json(path / _CHECKSUMS), _core_checksums(path)
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise BundleError(f"{path} is incomplete: {', '.join(missing)} missing.")
    strange = sorted(set(found) - set(wanted))
    if strange:
        raise BundleError(f"{path} has files that do not belong to its core: {', '.join(strange)}.")
    changed = sorted(name for name in wanted if wanted[name] != found[name])
    if changed:
        raise BundleError(f"{path} is damaged: {', '.join(changed)} differ from their checksums.")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error
