"""The exported forms of a bundle's encoders: files in `attachments/exports/`, listed with their checksums.

attachments/exports/
  exports.json                        what is here: only forms that passed the gate
  onnx/image-fp32.onnx …              ONNX; also tensorrt/…, torch_export/…
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator

from clip_har.component import ComponentConfig
from clip_har.errors import BundleError
from clip_har.hashing import sha256_file, sha256_json
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.storage import write_json

EXPORTS = "exports"
_LIST = "exports.json"

EncoderName = Literal["image", "text"]
FormatName = Literal["onnx", "torch_export", "tensorrt"]
PrecisionName = Literal["fp32", "fp16", "bf16", "int8"]


class ExportedForm(ComponentConfig):
    """One encoder in one format and precision.

    The image encoder takes `pixel_values` float32 [batch, 3, h, w] and gives `image_embeds` float32 [batch, d]; the text
    encoder takes what the tokenizer gives (`input_ids`, `attention_mask` …, int64 [batch, length]) and gives
    `text_embeds`; both are L2-normalised inside.
    """

    encoder: EncoderName = Field(description="Which encoder it is.")
    format: FormatName = Field(description="What it is written as.")
    precision: PrecisionName = Field(description="What most of it is computed in.")
    file: str = Field(description='Where it is, below attachments/exports/: "onnx/image-int8.onnx".')
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the file's bytes.")
    single_only: bool = Field(False, description="Only for batches of one picture (dynamic quantisation).")
    details: dict[str, Any] = Field({}, description="What else is known: opset, layers left in float, engine metadata.")

    @field_validator("file")
    @classmethod
    def _file_lies_below(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "\\" in value or not path.name:
            raise ValueError(f"{value!r} is not a path below attachments/{EXPORTS}/")
        return value

    @property
    def name(self) -> str:
        """For messages: "onnx image int8", and " (batch 1)" for a form for single pictures."""
        return f"{self.format} {self.encoder} {self.precision}{' (batch 1)' if self.single_only else ''}"


class Exports(ComponentConfig):
    """`attachments/exports/exports.json`: the forms that passed the gate; the ExportReport has the others' reasons."""

    model_id: str = Field(description="The model that they were made from.")
    forms: tuple[ExportedForm, ...] = Field((), description="What there is.")

    @staticmethod
    def folder(bundle: ModelBundle) -> Path:
        """Where a bundle's exported forms are kept."""
        return bundle.path / ATTACHMENTS / EXPORTS

    @classmethod
    def read(cls, bundle: ModelBundle) -> Exports:
        """The forms of a bundle; none if nothing was exported.

        Raises:
            BundleError: if the list is damaged, or was made for another model.
        """
        place = cls.folder(bundle) / _LIST
        if not place.is_file():
            return cls(model_id=bundle.model_id)
        try:
            found = cls.model_validate(json.loads(place.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise BundleError(f"{place} cannot be read: {error}") from error
        if found.model_id != bundle.model_id:
            raise BundleError(
                f"{place} was made for another model ({found.model_id}; this is {bundle.model_id}). Export it again."
            )
        return found

    def write(self, bundle: ModelBundle) -> None:
        """Replace the bundle's list by this one.

        Raises:
            BundleError: if this is another model's, or a listed file is missing or differs from its checksum.
        """
        if self.model_id != bundle.model_id:
            raise BundleError(f"These exports are of another model ({self.model_id}; the bundle is {bundle.model_id}).")
        for form in self.forms:
            self.path(bundle, form)
        folder = self.folder(bundle)
        write_json(folder / "attachment.json", {"model_id": self.model_id, "kind": EXPORTS})
        write_json(folder / _LIST, self.model_dump(mode="json"))

    def find(
        self, encoder: EncoderName, format: FormatName, precision: PrecisionName, *, single_only: bool = False
    ) -> ExportedForm | None:
        """The first form of this kind, or None.

        Args:
            single_only: whether a form for single pictures is wanted rather than one for any batch.
        """
        wanted = (encoder, format, precision, single_only)
        kinds = ((form.encoder, form.format, form.precision, form.single_only) for form in self.forms)
        return next((form for form, kind in zip(self.forms, kinds, strict=True) if kind == wanted), None)

    @classmethod
    def path(cls, bundle: ModelBundle, form: ExportedForm) -> Path:
        """The form's file, whose bytes are as they were when it passed the gate.

        Raises:
            BundleError: if it is missing, or not what it was.
        """
        path = cls.folder(bundle) / form.file
        try:
            found = sha256_file(path)
        except OSError as error:
            raise BundleError(f"{path} is listed in {_LIST}, but cannot be read: {error.strerror}.") from error
        if found != form.sha256:
            raise BundleError(f"{path} is damaged: its sha256 is {found}, not {form.sha256}. Export the model again.")
        return path

    @property
    def content_hash(self) -> str:
        """sha256 of the list, and so of every form's bytes."""
        return sha256_json(self.model_dump(mode="json"))
