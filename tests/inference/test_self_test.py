"""The self-test: what it is made of, what it finds out, and what it leaves room for."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from clip_har.errors import BundleError
from clip_har.inference.predictor import Predictor
from clip_har.inference.self_test import KIND, SelfTest, SelfTestFailed, has_self_test, run_self_test, write_self_test
from clip_har.models.bundle import ModelBundle


@pytest.fixture
def bundle(exported, tmp_path) -> ModelBundle:
    """A copy with a self-test."""
    shutil.copytree(exported.path, tmp_path / "bundle")
    made = ModelBundle.load(tmp_path / "bundle")
    assert not has_self_test(made)
    write_self_test(made)
    return made


class Off:
    """A runtime that turns every embedding away from where it is, by an angle whose cosine is given."""

    lanes = 1

    def __init__(self, predictor: Predictor, cosine: float) -> None:
        self.name, self._inner, self._cosine = predictor.runtime.name, predictor.runtime, cosine

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        right = self._inner.encode(pixel_values)
        across = np.roll(right, 1, axis=1)
        across -= (across * right).sum(axis=1, keepdims=True) * right
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        return (self._cosine * right + np.sqrt(1 - self._cosine**2) * across).astype(np.float32)


def test_it_is_an_attachment_that_changes_no_id_and_comes_out_the_same_twice(bundle, exported):
    assert bundle.model_id == exported.model_id == ModelBundle.load(bundle.path).model_id
    folder = bundle.attachment(KIND)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_self_test(bundle)
    assert before == {file.name: file.read_bytes() for file in folder.iterdir()}
    assert Image.open(io.BytesIO(before["picture.png"])).size == (240, 160)


@pytest.mark.parametrize("runtime", ["torch", "onnx", "onnx-int8"])
def test_every_form_that_was_there_recognises_the_picture(bundle, runtime):
    assert f"{runtime} recognised the self-test picture as" in run_self_test(Predictor.load(bundle, runtime))


@pytest.mark.parametrize(
    ("runtime", "cosine", "right"), [("onnx", 0.9995, True), ("onnx", 0.99, False), ("onnx-int8", 0.5, False)]
)
def test_how_far_off_a_runtime_may_be(bundle, runtime, cosine, right):
    loaded = Predictor.load(bundle, runtime)
    predictor = Predictor(bundle, Off(loaded, cosine))
    if right:
        run_self_test(predictor)
    else:
        with pytest.raises(SelfTestFailed, match=r"not recognised.*at least"):
            run_self_test(predictor)


def test_a_runtime_without_sense_is_noticed_also_without_expectations(exported):
    loaded = Predictor.load(exported, "onnx")

    class Broken:
        name, lanes = "broken", 1

        def __init__(self, spoil) -> None:
            self._spoil = spoil

        def encode(self, pixel_values):
            return self._spoil(loaded.runtime.encode(pixel_values))

    assert "carries no self-test" in run_self_test(loaded)
    for spoil, said in (
        (lambda rows: rows * np.nan, "not finite"),
        (lambda rows: rows * 2, "unit length"),
        (lambda rows: np.eye(1, rows.shape[1], dtype=np.float32).repeat(len(rows), 0), "the same embedding"),
    ):
        with pytest.raises(SelfTestFailed, match=said):
            run_self_test(Predictor(exported, Broken(spoil)))


def test_a_damaged_self_test_is_said(bundle):
    (bundle.attachment(KIND) / "selftest.json").write_text(json.dumps({"embedding": "no"}))
    with pytest.raises(BundleError, match=r"self-test in .* cannot be read"):
        run_self_test(Predictor.load(bundle, "onnx"))


def test_a_form_that_was_further_off_when_it_was_accepted_may_stay_so(bundle):
    """A tiny int8 encoder on a picture unlike its own: what is noticed is a change."""
    place = bundle.attachment(KIND) / "selftest.json"
    expected = SelfTest.model_validate(json.loads(place.read_text()))
    place.write_text(expected.model_copy(update={"least_cosine": {"onnx": 0.9}}).model_dump_json())
    run_self_test(Predictor(bundle, Off(Predictor.load(bundle, "onnx"), 0.95)))
