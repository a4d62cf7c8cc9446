"""The list of a bundle's exported forms: checked, of this model only, and no file that is not what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from clip_har.adaptation import METHODS
from clip_har.errors import BundleError
from clip_har.hashing import sha256_bytes
from clip_har.inference.exported import ExportedForm, Exports
from clip_har.models.bundle import ModelBundle
from tests.adaptation.tiny_study import Study

DATA = b"not really ONNX"


@pytest.fixture
def bundle(study: Study, tmp_path: Path) -> ModelBundle:
    return study.assemble(tmp_path / "bundle", study.fit(METHODS.get("zero_shot").Config()))


def form(**changes: object) -> ExportedForm:
    made = {"encoder": "image", "format": "onnx", "precision": "int8", "file": "onnx/image-int8.onnx"}
    return ExportedForm(**{**made, "sha256": sha256_bytes(DATA), **changes})


def exported(bundle: ModelBundle, *forms: ExportedForm) -> Exports:
    for one in forms:
        path = Exports.folder(bundle) / one.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(DATA)
    exports = Exports(model_id=bundle.model_id, forms=forms)
    exports.write(bundle)
    return exports


def test_what_is_written_is_read(bundle: ModelBundle) -> None:
    text = form(encoder="text", precision="fp32", file="onnx/text-fp32.onnx", details={"inputs": ["input_ids"]})
    written = exported(bundle, form(), text)
    found = Exports.read(bundle)
    assert found == written
    assert found.path(bundle, found.forms[1]).read_bytes() == DATA
    assert bundle.attachment("exports") == Exports.folder(bundle)
    assert ModelBundle.load(bundle.path).model_id == bundle.model_id, "attachments are no part of the core"


def test_a_bundle_without_exports_has_none(bundle: ModelBundle) -> None:
    assert Exports.read(bundle) == Exports(model_id=bundle.model_id, forms=())


def test_a_form_is_found_by_its_kind(bundle: ModelBundle) -> None:
    single = form(single_only=True, file="onnx/image-int8-single.onnx")
    exports = exported(bundle, single, form(), form(precision="fp32", file="onnx/image-fp32.onnx"))
    assert exports.find("image", "onnx", "int8") == form()
    assert exports.find("image", "onnx", "int8", single_only=True) == single
    assert exports.find("image", "onnx", "fp16") is None
    assert exports.find("text", "onnx", "int8") is None
    assert single.name == "onnx image int8 (batch 1)"


def test_exports_of_another_model_are_refused(bundle: ModelBundle) -> None:
    exported(bundle, form())
    other = Exports(model_id="0" * 64, forms=())
    with pytest.raises(BundleError, match="another model"):
        other.write(bundle)
    place = Exports.folder(bundle) / "exports.json"
    place.write_text(json.dumps({"model_id": "0" * 64, "forms": []}))
    with pytest.raises(BundleError, match=r"exports\.json was made for another model \(0000"):
        Exports.read(bundle)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_id": "x", "forms": [{"encoder": "sound"}]}', '{"forms": []}'])
def test_a_damaged_list_is_refused(bundle: ModelBundle, text: str) -> None:
    exported(bundle, form())
    (Exports.folder(bundle) / "exports.json").write_text(text)
    with pytest.raises(BundleError, match=r"exports\.json cannot be read"):
        Exports.read(bundle)


def test_a_changed_or_missing_file_is_refused(bundle: ModelBundle) -> None:
    exports = exported(bundle, form())
    path = exports.path(bundle, form())
    path.write_bytes(DATA[::-1])
    with pytest.raises(BundleError, match=r"image-int8\.onnx is damaged"):
        exports.path(bundle, form())
    with pytest.raises(BundleError, match="damaged"):
        exports.write(bundle)
    path.unlink()
    with pytest.raises(BundleError, match=r"image-int8\.onnx is listed in exports\.json, but cannot be read"):
        exports.path(bundle, form())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": "../core/model.onnx"}, "not a path below attachments/exports/"),
        ({"file": "/etc/passwd"}, "not a path below"),
        ({"file": "onnx\\image.onnx"}, "not a path below"),
        ({"file": ""}, "not a path below"),
        ({"sha256": "abc"}, "sha256"),
        ({"precision": "int4"}, "precision"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_form_that_cannot_be_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        form(**changes)
