"""A bundle exported: accepted forms in its attachments, everything else kept out, the core as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import BundleError, ConfigError, DataError
from clip_har.export.config import ExportConfig, GateConfig
from clip_har.export.exporting import MadeForms, export_bundle, gate_forms, install, make_forms, with_exports
from clip_har.export.page import render_export_report
from clip_har.export.report import ExportReport
from clip_har.hashing import sha256_file
from clip_har.inference.exported import Exports
from clip_har.models.bundle import ModelBundle
from tests.export.conftest import QUICK, Exported
from tests.self_contained import requests_of


@pytest.fixture
def bundle(exported: Callable[[str], Exported], tmp_path: Path) -> ModelBundle:
    """A bundle of its own, to be changed."""
    shutil.copytree(exported("clip").bundle.path, tmp_path / "bundle")
    return ModelBundle.load(tmp_path / "bundle")


def damaged(made: MadeForms, folder: Path, *files: str) -> MadeForms:
    """The same forms, some of whose weights are noise."""
    import onnx
    from onnx import numpy_helper

    shutil.copytree(made.path, folder)
    for file in files:
        model = onnx.load(folder / file)
        for array in model.graph.initializer:
            if len(array.dims) == 2 and array.data_type == onnx.TensorProto.FLOAT:
                values = numpy_helper.to_array(array)
                array.CopyFrom(numpy_helper.from_array(values[:, ::-1].copy(), array.name))
        onnx.save(model, folder / file)
    forms = [(name, form.model_copy(update={"sha256": sha256_file(folder / form.file)})) for name, form in made.forms]
    return replace(made, path=folder, forms=tuple(forms))


def test_what_is_accepted_is_in_the_bundle(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    made = exported("clip")
    before = {path: path.stat().st_mtime_ns for path in bundle.path.rglob("*") if path.is_file()}
    install(bundle, made.made, made.report)
    again = ModelBundle.load(bundle.path)
    assert again.model_id == bundle.model_id
    assert {path: path.stat().st_mtime_ns for path in before} == before
    exports = Exports.read(again)
    assert exports.forms == made.report.accepted
    for form in exports.forms:
        assert Exports.path(again, form).is_file()
    assert exports.find("image", "onnx", "int8") is not None
    assert exports.find("image", "onnx", "int8", single_only=True) is not None


def test_what_fails_is_kept_out_with_its_reasons(
    exported: Callable[[str], Exported], bundle: ModelBundle, tmp_path: Path
) -> None:
    made = exported("clip")
    bad = damaged(made.made, tmp_path / "forms", "onnx/image-fp32.onnx", "onnx/text-fp32.onnx")
    report = gate_forms(bundle, made.study.manifest, bad, made.config.gate, threads=1)
    install(bundle, bad, report)
    refused = {row.form.file: row.reasons for row in report.forms if not row.accepted}
    assert set(refused) == {"onnx/image-fp32.onnx", "onnx/text-fp32.onnx"}
    assert all(reasons for reasons in refused.values())
    assert report.decision == "8 of 10 forms are kept; kept out: onnx image fp32, onnx text fp32."
    exports = Exports.read(bundle)
    assert exports.find("image", "onnx", "fp32") is None
    assert exports.find("image", "onnx", "fp16") is not None
    assert not (Exports.folder(bundle) / "onnx/image-fp32.onnx").exists()
    page = render_export_report(report)
    assert "2 are kept out of the bundle" in page
    assert "Lowest cosine" in page
    assert refused["onnx/image-fp32.onnx"][0].replace(" %", "\u202f%") in page


def test_a_later_export_takes_the_place_of_an_earlier(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    made = exported("clip")
    install(bundle, made.made, made.report)
    fewer = made.report.model_copy(update={"forms": made.report.forms[:1]})
    install(bundle, made.made, fewer)
    assert [path.name for path in (Exports.folder(bundle) / "onnx").iterdir()] == ["image-fp32.onnx"]
    assert len(Exports.read(bundle).forms) == 1


def test_a_copy_shares_nothing_that_changes(
    exported: Callable[[str], Exported], bundle: ModelBundle, tmp_path: Path
) -> None:
    made = exported("clip")
    copy = with_exports(bundle, made.made, made.report, tmp_path / "copy")
    assert copy.model_id == bundle.model_id
    assert len(Exports.read(copy).forms) == 10
    assert Exports.read(bundle).forms == ()


def test_forms_of_another_model_are_refused(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    made = exported("clip")
    with pytest.raises(ConfigError, match="not from the bundle"):
        install(bundle, replace(made.made, model_id="0" * 64), made.report)
    install(bundle, made.made, made.report)
    listed = Exports.folder(bundle) / "onnx/image-fp32.onnx"
    listed.unlink()
    listed.write_bytes(b"something else")
    with pytest.raises(BundleError, match="damaged"):
        Exports.path(bundle, Exports.read(bundle).find("image", "onnx", "fp32"))


def test_the_list_comes_back(exported: Callable[[str], Exported]) -> None:
    made = exported("clip").made
    assert MadeForms.read(made.path) == made


def test_one_form_that_cannot_be_had_stops_no_other(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    """A convolutional encoder has nothing that dynamic quantisation serves."""
    made = exported("vision_text")
    config = ExportConfig(forms=("onnx-int8-dynamic", "torch-export"), encoders=("image",), quantisation=QUICK)
    forms = make_forms(made.bundle, made.study.manifest, config, tmp_path / "forms", threads=1)
    report = gate_forms(made.bundle, made.study.manifest, forms, config.gate, threads=1)
    assert [row.form.name for row in report.forms] == ["torch_export image fp32"]
    (missing,) = report.not_made
    assert (missing.exporter, missing.encoder) == ("onnx-int8-dynamic", "image")
    assert "no layers that dynamic quantisation serves" in missing.reason
    assert str(tmp_path) not in missing.reason
    assert missing.reason in render_export_report(report).replace("&#39;", "'")


def test_an_engine_for_another_gpu_is_not_in_the_bundle(
    exported: Callable[[str], Exported], bundle: ModelBundle, tmp_path: Path
) -> None:
    """It is built here, and measured where it runs."""
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx, which is not installed")
    import torch

    if torch.cuda.is_available():
        pytest.skip("needs a machine without a GPU")
    made = exported("clip")
    config = ExportConfig(forms=("tensorrt",), encoders=("image",), tensorrt={"compute_capability": "8.6"})
    forms = make_forms(bundle, made.study.manifest, config, tmp_path / "forms", threads=1)
    ((_, form),) = forms.forms
    assert form.file == "tensorrt/image-fp16-sm86.engine"
    assert (forms.path / f"{form.file}.json").is_file()
    report = gate_forms(bundle, made.study.manifest, forms, config.gate, threads=1)
    install(bundle, forms, report)
    assert report.forms == Exports.read(bundle).forms == ()
    assert report.not_made[0].file == form.file
    assert "GPU" in report.not_made[0].reason
    assert "made, not measured here" in render_export_report(report)


def test_a_whole_export(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    made = exported("clip")
    config = ExportConfig(forms=("torch-export",), encoders=("image",), gate=GateConfig(most_samples=5))
    seen = []

    def shown(what: str):
        from contextlib import nullcontext

        seen.append(what)
        return nullcontext()

    report = export_bundle(bundle, made.study.manifest, config, threads=1, shown=shown)
    assert report.samples == 5
    assert len(report.accepted) == len(Exports.read(bundle).forms) == 1
    assert "torch-export of the image encoder" in seen


def test_data_of_other_classes_are_refused(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    manifest = exported("clip").study.manifest
    strange = replace(
        manifest,
        frame=manifest.frame.assign(label=manifest.frame["label"].replace("running", "juggling")),
        labels=tuple(sorted({*manifest.labels, "juggling"} - {"running"})),
    )
    with pytest.raises(DataError, match="juggling"):
        export_bundle(bundle, strange, ExportConfig(forms=("torch-export",)), threads=1)


def test_accepted_forms_score_as_torch_does(exported: Callable[[str], Exported], bundle: ModelBundle) -> None:
    """Through the whole Predictor, for each runtime; alone or together, to 1e-5."""
    from clip_har.inference.predictor import Predictor

    made = exported("clip")
    install(bundle, made.made, made.report)
    paths = made.study.validation.paths
    wanted = Predictor.load(bundle, runtime="torch", device="cpu").predict(paths, top_k=4)
    for runtime, tolerance in (("onnx", 1e-4), ("onnx-int8", 0.2)):
        predictor = Predictor.load(bundle, runtime=runtime, device="cpu")
        found = predictor.predict(paths, top_k=4)
        scores = np.array(
            [[dict(zip(p.labels, p.scores, strict=True))[label] for label in bundle.labels] for p in found]
        )
        other = np.array(
            [[dict(zip(p.labels, p.scores, strict=True))[label] for label in bundle.labels] for p in wanted]
        )
        np.testing.assert_allclose(scores, other, atol=tolerance)
        alone = [predictor.predict([path], top_k=4)[0] for path in paths[:6]]
        for one, together in zip(alone, found, strict=False):
            assert one.labels == together.labels
            assert one.scores == pytest.approx(together.scores, abs=1e-5)


def test_the_report_is_one_page_that_asks_for_nothing(exported: Callable[[str], Exported]) -> None:
    report = exported("clip").report
    page = render_export_report(report, run={"steps": [], "facts": {}, "config": "seed: 0"})
    assert not requests_of(page)
    assert "10 of 10 forms" in page
    assert ExportReport.model_validate_json(json.dumps(report.model_dump(mode="json"))) == report


def test_figures_have_names_that_trackers_take(exported: Callable[[str], Exported]) -> None:
    import re

    forms = exported("clip").report.figures()["forms"]
    assert {"image_onnx_fp32", "image_onnx_int8", "image_onnx_int8_dynamic", "text_torch_export_fp32"} <= set(forms)
    assert forms["image_onnx_fp32"]["same_best_label"] == 1.0
    assert all(re.fullmatch(r"[a-z0-9_]+", key) for figures in forms.values() for key in figures)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"forms": ("onx",)}, "there is no exporter 'onx'. Did you mean 'onnx'?"),
        ({"forms": ("onnx", "onnx")}, "one is listed twice"),
        ({"opset": 17}, "greater than or equal to 18"),
    ],
)
def test_settings_that_cannot_be_used(settings: dict, said: str) -> None:
    from clip_har.component import validated

    with pytest.raises(ConfigError, match="export") as raised:
        validated(ExportConfig, settings, "export")
    assert said in str(raised.value)


def test_tensorrt_runs_where_it_is_configured() -> None:
    assert "tensorrt" not in ExportConfig().exporters
    assert ExportConfig(tensorrt={"compute_capability": "8.6"}).exporters[-1] == "tensorrt"
