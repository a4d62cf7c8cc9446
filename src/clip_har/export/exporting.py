"""A bundle's forms: made, put through the gate, and the accepted ones kept as attachments."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.component import Artifact
from clip_har.data.image import ImageLimits
from clip_har.data.loading import map_ahead
from clip_har.data.manifest import Manifest
from clip_har.errors import ClipHarError, ConfigError, DataError, ImageError
from clip_har.export import EXPORTERS
from clip_har.export.base import ExportContext, Run
from clip_har.export.config import ExportConfig, GateConfig
from clip_har.export.gate import Gate
from clip_har.export.report import ExportReport, FormReport, NotMade
from clip_har.hashing import sha256_json
from clip_har.inference.exported import EXPORTS, ExportedForm, Exports
from clip_har.inference.machine import available_cores
from clip_har.models.preprocessing import Preprocessor
from clip_har.storage import write_json

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.progress import Report

SPLIT = "validation"
_LIST = "forms.json"

Shown = Callable[[str], "AbstractContextManager[Report | None]"]
"""Opens a progress display for a piece of work, like `clip_har.progress.progress`."""


@dataclass(frozen=True)
class MadeForms(Artifact):
    """Forms in a folder, before the gate.

    Attributes:
        path: the folder that their files are relative to.
        model_id: of the bundle that they were made from.
        forms: exporter and form.
        not_made: what was asked for and could not be had.
    """

    path: Path
    model_id: str
    forms: tuple[tuple[str, ExportedForm], ...]
    not_made: tuple[NotMade, ...] = ()

    def write(self) -> None:
        """Write the list beside the files."""
        rows = [{"exporter": exporter, "form": form.model_dump(mode="json")} for exporter, form in self.forms]
        missing = [row.model_dump(mode="json") for row in self.not_made]
        write_json(self.path / _LIST, {"model_id": self.model_id, "forms": rows, "not_made": missing})

    @classmethod
    def read(cls, folder: Path) -> MadeForms:
        """Of a folder that `write` was called for."""
        listed = json.loads((folder / _LIST).read_text(encoding="utf-8"))
        forms = tuple((row["exporter"], ExportedForm.model_validate(row["form"])) for row in listed["forms"])
        missing = tuple(NotMade.model_validate(row) for row in listed["not_made"])
        return cls(folder, listed["model_id"], forms, missing)

    @property
    def content_hash(self) -> str:
        """sha256 of the list, and so of every file."""
        forms = [[exporter, form.model_dump(mode="json")] for exporter, form in self.forms]
        return sha256_json([self.model_id, forms, [row.model_dump(mode="json") for row in self.not_made]])


def export_bundle(
    bundle: ModelBundle,
    manifest: Manifest,
    config: ExportConfig | None = None,
    *,
    limits: ImageLimits | None = None,
    threads: int | None = None,
    seed: int = 0,
    shown: Shown | None = None,
) -> ExportReport:
    """Make all configured forms of a bundle, measure them, and keep the accepted ones in its attachments.

    Args:
        manifest: data with the splits that the bundle was made with: int8 is calibrated on training photographs, and the
            gate looks at validation photographs.
        threads: CPU threads; as many as there are cores if not given.
        seed: of the choice of photographs for calibration.
        shown: how progress is shown.

    Raises:
        DataError: if the data have classes that the bundle does not know, or a split is empty.
    """
    config = config or ExportConfig()
    with tempfile.TemporaryDirectory(prefix="clip-har-export-") as scratch:
        made = make_forms(
            bundle, manifest, config, Path(scratch), limits=limits, threads=threads, seed=seed, shown=shown
        )
        report = gate_forms(bundle, manifest, made, config.gate, limits=limits, threads=threads, shown=shown)
        install(bundle, made, report)
    return report


def make_forms(
    bundle: ModelBundle,
    manifest: Manifest,
    config: ExportConfig,
    folder: Path,
    *,
    limits: ImageLimits | None = None,
    threads: int | None = None,
    seed: int = 0,
    shown: Shown | None = None,
) -> MadeForms:
    """Make every configured form in a folder; what cannot be had is noted with its reason, and the others go on."""
    shown = shown or _not_shown
    encoder = bundle.load_encoder("cpu")
    calibration, probe = _training_pictures(encoder, manifest.in_the_order_of(bundle.labels), config, limits, seed)
    texts = list(dict.fromkeys(text for of_class in bundle.prompts["texts"].values() for text in of_class))
    with _Measuring(bundle, encoder, manifest, config.gate, limits) as measuring:

        def refusal(form: ExportedForm, run: Run) -> tuple[str, ...]:
            return measuring.gate.check(form, run, 0).reasons

        threads = threads or available_cores()
        context = ExportContext(encoder, folder, config, calibration, probe, texts, threads, refusal)
        made = _make_all(bundle, context, shown)
    made.write()
    return made


def _make_all(bundle: ModelBundle, context: ExportContext, shown: Shown) -> MadeForms:
    config, folder = context.config, context.folder
    forms: list[tuple[str, ExportedForm]] = []
    not_made: list[NotMade] = []
    for name in config.encoders:
        for exporter in config.exporters:
            with shown(f"{exporter} of the {name} encoder") as context.progress:
                try:
                    forms.append((exporter, EXPORTERS.get(exporter)().make(context, name)))
                except ClipHarError as error:
                    not_made.append(NotMade(encoder=name, exporter=exporter, reason=_said(error, folder)))
    return MadeForms(folder, bundle.model_id, tuple(forms), tuple(not_made))


def gate_forms(
    bundle: ModelBundle,
    manifest: Manifest,
    made: MadeForms,
    config: GateConfig,
    *,
    limits: ImageLimits | None = None,
    threads: int | None = None,
    batch_size: int = 32,
    shown: Shown | None = None,
) -> ExportReport:
    """Measure every form that was made on the validation photographs."""
    shown = shown or _not_shown
    encoder = bundle.load_encoder("cpu")
    rows: list[FormReport] = []
    not_measured = list(made.not_made)
    with _Measuring(bundle, encoder, manifest, config, limits, batch_size, shown) as measuring:
        gate = measuring.gate
        for exporter, form in made.forms:
            path = made.path / form.file
            try:
                run = EXPORTERS.get(exporter).open(path, form, threads or available_cores())
            except ClipHarError as error:
                said = _said(error, made.path)
                not_measured.append(NotMade(encoder=form.encoder, exporter=exporter, reason=said, file=form.file))
                continue
            with shown(f"measuring {form.name}") as report:
                on_cpu = not EXPORTERS.get(exporter).on_gpu()
                rows.append(gate.check(form, run, path.stat().st_size, on_cpu=on_cpu, progress=report))
        return ExportReport(
            model_id=bundle.model_id,
            method=bundle.info.method,
            backbone=bundle.info.backbone,
            split=SPLIT,
            samples=gate.samples,
            texts=len(gate.flat_texts),
            accuracy=gate.accuracy,
            ece=gate.ece,
            forms=tuple(rows),
            not_made=tuple(not_measured),
        )


class _Measuring:
    """The gate with its photographs, which are read when it is first asked for and lie in a file until the block ends."""

    def __init__(
        self,
        bundle: ModelBundle,
        encoder: DualEncoder,
        manifest: Manifest,
        config: GateConfig,
        limits: ImageLimits | None,
        batch_size: int = 32,
        shown: Shown | None = None,
    ) -> None:
        self._bundle = bundle
        self._encoder = encoder
        self._samples = manifest.in_the_order_of(bundle.labels).split(SPLIT)
        self._config = config
        self._limits = limits
        self._batch_size = batch_size
        self._shown = shown or _not_shown
        self._scratch = tempfile.TemporaryDirectory(prefix="clip-har-gate-")

    def __enter__(self) -> _Measuring:
        return self

    def __exit__(self, *error: object) -> None:
        self._scratch.cleanup()

    @cached_property
    def gate(self) -> Gate:
        chosen = _evenly(len(self._samples), self._config.most_samples)
        with self._shown("reading the validation photographs") as report:
            paths = [self._samples.paths[row] for row in chosen]
            pixels = _pixels(self._encoder, paths, Path(self._scratch.name), self._limits, report)
        labels = self._samples.label_indices[chosen]
        return Gate(self._bundle, self._encoder, pixels, labels, self._config, batch_size=self._batch_size)


def install(bundle: ModelBundle, made: MadeForms, report: ExportReport) -> Exports:
    """Put the accepted forms into the bundle's attachments, in place of what an earlier export put there.

    Raises:
        ConfigError: if forms and report are of another model.
    """
    if not made.model_id == report.model_id == bundle.model_id:
        raise ConfigError(f"These forms were made from {made.model_id}, not from the bundle {bundle.model_id}.")
    exports = Exports(model_id=bundle.model_id, forms=report.accepted)

    def fill(folder: Path) -> None:
        for form in exports.forms:
            source, target = made.path / form.file, folder / form.file
            target.parent.mkdir(parents=True, exist_ok=True)
            _link_or_copy(source, target)
            beside = source.with_name(f"{source.name}.json")  # an engine's metadata
            if beside.is_file():
                _link_or_copy(beside, target.with_name(beside.name))

    bundle.attach(EXPORTS, fill)
    exports.write(bundle)
    return exports


def with_exports(bundle: ModelBundle, made: MadeForms, report: ExportReport, target: Path) -> ModelBundle:
    """A copy of the bundle in another folder, with the accepted forms in its attachments, and a self-test that what serves
    them can be held against; its core and id are the same."""
    from clip_har.inference.self_test import write_self_test
    from clip_har.models.bundle import ModelBundle

    shutil.copytree(bundle.path, target, copy_function=_link_or_copy)
    copy = ModelBundle.load(target)
    install(copy, made, report)
    write_self_test(copy)
    return copy


def _training_pictures(
    encoder: DualEncoder, manifest: Manifest, config: ExportConfig, limits: ImageLimits | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Photographs that int8 is calibrated on, and others that its loss is looked at on, float32 [n, 3, h, w]."""
    training = manifest.split("train")
    wanted = config.quantisation.calibration_samples + config.quantisation.probe_samples
    if not any("int8" in name for name in config.exporters) or "image" not in config.encoders:
        wanted = 0
    rows = np.random.default_rng(seed).permutation(len(training))[:wanted]
    paths = training.paths
    with tempfile.TemporaryDirectory(prefix="clip-har-calibration-") as scratch:
        pixels = _pixels(encoder, [paths[row] for row in rows], Path(scratch), limits, None)
        preprocessor = Preprocessor(encoder.preprocessing)
        values = [preprocessor.normalise(picture) for picture in pixels]
    pictures = np.stack(values) if values else np.empty((0, 3, *encoder.preprocessing.output_size), np.float32)
    share = config.quantisation.calibration_samples / (wanted or 1)
    first = max(1, round(share * len(pictures)))  # few photographs are shared out alike
    return pictures[:first], pictures[first:] if len(pictures) > first else pictures


def _pixels(
    encoder: DualEncoder, paths: Sequence[Path], scratch: Path, limits: ImageLimits | None, progress: Report | None
) -> np.ndarray:
    """Pictures as the encoder sees them, before normalising: uint8 [n, h, w, 3], in a file that memory need not hold."""
    preprocessor = Preprocessor(encoder.preprocessing)

    def load(path: Path) -> np.ndarray:
        try:
            return preprocessor.resize_and_crop(preprocessor.decode(path, limits))
        except ImageError as error:
            raise DataError(f"{path} was accepted by validation, but cannot be read any more: {error}") from error

    shape = (len(paths), *encoder.preprocessing.output_size, 3)
    if not paths:
        return np.empty(shape, np.uint8)
    pixels = np.lib.format.open_memmap(scratch / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    for row, picture in enumerate(map_ahead(load, paths)):
        pixels[row] = picture
        if progress:
            progress(row + 1, len(paths))
    return pixels


def _evenly(count: int, most: int | None) -> np.ndarray:
    """Rows of so many samples, spread evenly."""
    return np.arange(count) if most is None or most >= count else np.linspace(0, count - 1, most).astype(int)


def _link_or_copy(source: str | Path, target: str | Path) -> None:
    """The same file under another name: neither a bundle's core nor a form changes once it is written."""
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)


def _said(error: ClipHarError, folder: Path) -> str:
    """A message without the scratch folder's name."""
    return str(error).replace(f"{folder}{os.sep}", "")


def _not_shown(what: str) -> AbstractContextManager[None]:
    return nullcontext()
