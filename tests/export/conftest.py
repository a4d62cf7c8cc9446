from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from clip_har.adaptation import METHODS
from clip_har.export.config import ExportConfig
from clip_har.export.exporting import MadeForms, gate_forms, make_forms
from clip_har.export.quantisation import QuantisationConfig
from clip_har.export.report import ExportReport
from clip_har.inference.exported import ExportedForm
from clip_har.models.bundle import ModelBundle
from clip_har.models.dual_encoder import DualEncoder
from tests.adaptation.tiny_study import Study, tiny_study

FLOAT_FORMS = ("onnx", "onnx-fp16", "torch-export")
QUICK = QuantisationConfig(calibration_samples=16, probe_samples=8, candidates=3, attempts=1, ranges=("minmax",))


@dataclass(frozen=True)
class Exported:
    """A tiny bundle with its forms, made once; to be read."""

    study: Study
    bundle: ModelBundle
    config: ExportConfig
    made: MadeForms

    @cached_property
    def encoder(self) -> DualEncoder:
        return self.bundle.load_encoder()

    @cached_property
    def report(self) -> ExportReport:
        return gate_forms(self.bundle, self.study.manifest, self.made, self.config.gate, threads=1)

    def form(self, exporter: str, encoder: str) -> ExportedForm:
        return next(form for name, form in self.made.forms if (name, form.encoder) == (exporter, encoder))

    def path(self, exporter: str, encoder: str) -> Path:
        return self.made.path / self.form(exporter, encoder).file


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """`exported(architecture)`: "clip" in all forms, "siglip" and "vision_text" (convolutional, BERT) in float."""
    known: dict[str, Exported] = {}

    def make(architecture: str) -> Exported:
        if architecture not in known:
            folder = tmp_path_factory.mktemp(architecture)
            study = tiny_study(folder / "study", architecture)
            bundle = study.assemble(folder / "bundle", study.fit(METHODS.get("zero_shot").Config()))
            forms = {} if architecture == "clip" else {"forms": FLOAT_FORMS}
            config = ExportConfig(quantisation=QUICK, **forms)
            made = make_forms(bundle, study.manifest, config, folder / "forms", threads=1)
            known[architecture] = Exported(study, bundle, config, made)
        return known[architecture]

    return make
