"""A tiny bundle with exported forms: all that were made, whatever the gate would say of so small a model."""

from __future__ import annotations

from pathlib import Path

from clip_har.adaptation import METHODS
from clip_har.export.config import ExportConfig
from clip_har.export.exporting import make_forms
from clip_har.inference.exported import Exports
from clip_har.models.bundle import ModelBundle
from tests.adaptation.tiny_study import Study


def exported_bundle(study: Study, folder: Path, forms: tuple[str, ...], method: str = "linear_probe") -> ModelBundle:
    """A study's bundle with these forms of both encoders."""
    bundle = study.assemble(folder / "bundle", study.fit(METHODS.get(method).Config()))
    config = ExportConfig.model_validate(
        {"forms": forms, "quantisation": {"calibration_samples": 16, "probe_samples": 8}}
    )
    made = make_forms(bundle, study.manifest, config, Exports.folder(bundle), threads=1)
    assert not made.not_made, made.not_made
    Exports(model_id=bundle.model_id, forms=tuple(form for _, form in made.forms)).write(bundle)
    return bundle
