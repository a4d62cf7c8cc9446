"""torch.export archives (.pt2): zip files of JSON and raw weights, without the pickles that torch would put in them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from clip_har.errors import BundleError, ModelError
from clip_har.export.base import ExportContext, Exporter, Run
from clip_har.export.tracing import TracedEncoder, quiet
from clip_har.inference.exported import EncoderName, ExportedForm
from clip_har.storage import write_atomic

_EXAMPLES = "/data/sample_inputs/"
_TABLES = ("model_weights_config.json", "model_constants_config.json")


class TorchExporter(Exporter):
    """A torch.export archive in float32, which plain torch loads and runs."""

    format, precision, suffix = "torch_export", "fp32", ".pt2"

    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        path = self.place(context, encoder)
        traced = context.traced(encoder)
        write_archive(traced, path)
        return self.form(context, encoder, path, traced.details | {"torch": torch.__version__.partition("+")[0]})

    @classmethod
    def open(cls, path: Path, form: ExportedForm, threads: int) -> Run:
        module = load_archive(path)
        names = form.details["inputs"]

        def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            with torch.inference_mode():
                return module(*(torch.from_numpy(inputs[name]) for name in names)).numpy()

        return run


def write_archive(traced: TracedEncoder, target: Path) -> None:
    """Write an encoder as a .pt2 archive.

    The example inputs, which torch pickles, are left out; weights are written as raw bytes described by JSON.

    Raises:
        ModelError: if some weight could only be written as a pickle.
    """
    program = traced.program
    examples, program._example_inputs = program.example_inputs, None
    buffer = io.BytesIO()
    try:
        with quiet():
            torch.export.save(program, buffer)
    finally:
        program._example_inputs = examples
    pickled = pickles_in(buffer)
    if pickled:
        raise ModelError(
            f"The torch.export archive would hold pickles ({', '.join(pickled)}), which are never written."
        )
    write_atomic(target, buffer.getvalue())


def load_archive(path: Path) -> torch.nn.Module:
    """The module in an archive, after a look at whether there are pickles in it, which torch would run.

    Raises:
        BundleError: if there are, or if it cannot be loaded.
    """
    try:
        pickled = pickles_in(path)
        if pickled:
            raise BundleError(f"{path} holds pickles ({', '.join(pickled)}), which are never loaded.")
        with quiet():
            return torch.export.load(path).module()
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, KeyError) as error:
        raise BundleError(f"{path} is not a torch.export archive that can be loaded: {error}") from error


def pickles_in(archive: Path | io.BytesIO) -> list[str]:
    """Names of the entries that torch would unpickle."""
    found = []
    with zipfile.ZipFile(archive) as entries:
        for entry in entries.infolist():
            if _EXAMPLES in entry.filename and entry.file_size:
                found.append(entry.filename)
            elif entry.filename.endswith(_TABLES):
                table = json.loads(entries.read(entry))["config"]
                found += [name for name, row in table.items() if row.get("use_pickle")]
            elif "/data/constants/" in entry.filename and "custom_obj" in entry.filename:
                found.append(entry.filename)
    return found
