"""What every exporter is given, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clip_har.hashing import sha256_file
from clip_har.inference.exported import EncoderName, ExportedForm, FormatName, PrecisionName

if TYPE_CHECKING:
    from clip_har.export.config import ExportConfig
    from clip_har.export.tracing import TracedEncoder
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.progress import Report

Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]
"""`run(named inputs) -> embeddings float32 [n, d]`: an exported form at work."""


@dataclass
class ExportContext:
    """What exporters work with; what several of them need is made once.

    Attributes:
        encoder: the bundle's encoders, in float32 on the CPU.
        folder: where forms are written.
        config: which, and how.
        calibration, probe: training photographs for int8, float32 [n, 3, h, w]: the ranges come from the first, and the
            second show what was lost.
        texts: the texts of the bundle's classes.
        refusal: why the gate would refuse a form that was just written, given how it runs; empty if it would not.
        threads: CPU threads.
    """

    encoder: DualEncoder
    folder: Path
    config: ExportConfig
    calibration: np.ndarray
    probe: np.ndarray
    texts: Sequence[str]
    threads: int
    refusal: Callable[[ExportedForm, Run], tuple[str, ...]] = lambda form, run: ()
    progress: Report | None = None
    _traced: dict[str, Any] = field(default_factory=dict)

    def traced(self, encoder: EncoderName) -> TracedEncoder:
        """An encoder as torch.export sees it."""
        from clip_har.export.tracing import trace_image_encoder, trace_text_encoder

        if encoder not in self._traced:
            trace = trace_image_encoder if encoder == "image" else trace_text_encoder
            self._traced[encoder] = trace(self.encoder)
        return self._traced[encoder]

    def float_onnx(self, encoder: EncoderName) -> Path:
        """The fp32 ONNX file of an encoder, which others are made from."""
        from clip_har.export.onnx import write_onnx

        path = self.folder / "onnx" / f"{encoder}-fp32.onnx"
        if not path.is_file():
            write_onnx(self.traced(encoder), path, self.config.opset)
        return path

    @cached_property
    def text_batches(self) -> list[dict[str, np.ndarray]]:
        """The texts as the tokenizer gives them, in batches of a few."""
        parts = [self.texts[start : start + 8] for start in range(0, len(self.texts), 8)]
        return [{name: tensor.numpy() for name, tensor in self.encoder.tokenize(part).items()} for part in parts]


class Exporter(ABC):
    """Makes one kind of form, and runs it again.

    Attributes:
        format, precision, single_only: of the forms that it makes.
        suffix: of their files.
    """

    format: ClassVar[FormatName]
    precision: ClassVar[PrecisionName]
    single_only: ClassVar[bool] = False
    suffix: ClassVar[str]

    @abstractmethod
    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        """Write the form into the context's folder.

        Raises:
            ModelError: if the encoder cannot be had in this form.
            ConfigError: if something for it is missing on this machine.
        """

    @classmethod
    @abstractmethod
    def open(cls, path: Path, form: ExportedForm, threads: int) -> Run:
        """A form that this exporter made, ready to run on this machine.

        Raises:
            ConfigError: if it does not run here.
            BundleError: if it cannot be loaded.
        """

    @classmethod
    def on_gpu(cls) -> bool:
        """Whether `open` runs forms on a GPU of this machine."""
        return False

    def place(self, context: ExportContext, encoder: EncoderName) -> Path:
        """Where the form's file goes."""
        return (
            context.folder
            / self.format
            / f"{encoder}-{self.precision}{'-single' if self.single_only else ''}{self.suffix}"
        )

    def form(self, context: ExportContext, encoder: EncoderName, path: Path, details: dict[str, Any]) -> ExportedForm:
        """What is to be known of a file just written."""
        return ExportedForm(
            encoder=encoder,
            format=self.format,
            precision=self.precision,
            file=path.relative_to(context.folder).as_posix(),
            sha256=sha256_file(path),
            single_only=self.single_only,
            details=details,
        )
