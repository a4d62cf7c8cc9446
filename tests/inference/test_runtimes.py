"""One matrix over the runtimes: the same embeddings as torch, whatever shares the batch and however many threads ask."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import BundleError, ConfigError
from clip_har.inference.exported import Exports
from clip_har.inference.predictor import Predictor
from clip_har.inference.runtimes import RUNTIMES, EncoderRuntime
from clip_har.inference.runtimes.onnx import Int8OnnxRuntime, OnnxRuntime
from clip_har.models.bundle import ModelBundle
from tests.adaptation.tiny_study import LABELS, Study

ON_A_CPU = ("torch", "onnx", "onnx-int8")
COSINE = {"torch": 1 - 1e-6, "onnx": 1 - 1e-6, "onnx-int8": 0.97}


@pytest.fixture(scope="module", params=list(RUNTIMES))
def runtime(request: pytest.FixtureRequest, exported: ModelBundle, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        try:
            yield RUNTIMES.get(request.param).load(exported, device="auto")
        except ConfigError as error:
            if request.param in ("auto", *ON_A_CPU):
                raise
            pytest.skip(str(error))


@pytest.fixture(scope="module")
def pixels(exported: ModelBundle, study: Study) -> np.ndarray:
    predictor = Predictor.load(exported, "torch", device="cpu")
    return np.stack([predictor._pictures.load(path) for path in study.manifest.split("test").paths[:9]])


@pytest.fixture(scope="module")
def expected(exported: ModelBundle, pixels: np.ndarray) -> np.ndarray:
    return exported.load_encoder().encode_images(pixels)


@pytest.fixture
def photos(study: Study) -> list[Path]:
    return study.manifest.split("test").paths


def test_embeddings_are_torchs(runtime: EncoderRuntime, pixels: np.ndarray, expected: np.ndarray) -> None:
    found = runtime.encode(pixels)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * expected).sum(axis=1).min() >= COSINE.get(runtime.name, 0.999)
    assert runtime.encode(pixels[:1]).shape == (1, expected.shape[1])


def test_what_shares_a_batch_does_not_matter(runtime: EncoderRuntime, pixels: np.ndarray) -> None:
    alone = np.concatenate([runtime.encode(pixels[row : row + 1]) for row in range(len(pixels))])
    for batch in (pixels, pixels[::-1], pixels[:3]):
        together = runtime.encode(batch)
        rows = [int(np.flatnonzero((pixels == picture).all(axis=(1, 2, 3)))[0]) for picture in batch]
        np.testing.assert_allclose(together, alone[rows], atol=1e-5)


def test_eight_threads_get_the_same(runtime: EncoderRuntime, pixels: np.ndarray) -> None:
    wanted = runtime.encode(pixels)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            (start, pool.submit(runtime.encode, pixels[start : start + size])) for start in range(8) for size in (1, 3)
        ]
    for start, job in jobs:
        found = job.result()
        np.testing.assert_allclose(found, wanted[start : start + len(found)], atol=1e-5)


@pytest.mark.parametrize("name", ON_A_CPU)
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_pictures_scores_do_not_depend_on_the_others(
    exported: ModelBundle, photos: list[Path], name: str, batch_size: int
) -> None:
    predictor = Predictor.load(exported, name, device="cpu", batch_size=batch_size)
    together = predictor.predict([*photos, b"no picture"], top_k=len(LABELS))
    backwards = predictor.predict(photos[::-1], top_k=len(LABELS))[::-1]
    assert together[-1].error is not None
    for photo, first, second in zip(photos[:6], together, backwards, strict=False):
        (alone,) = predictor.predict([photo], top_k=len(LABELS))
        for answer in (first, second):
            assert dict(zip(answer.labels, answer.scores, strict=True)) == pytest.approx(
                dict(zip(alone.labels, alone.scores, strict=True)), abs=1e-5
            )
    np.testing.assert_allclose(predictor.embed_images(photos)[2], predictor.embed_images(photos[2:3])[0], atol=1e-5)


@pytest.mark.parametrize("name", ON_A_CPU)
def test_the_whole_predictor_answers_from_eight_threads(exported: ModelBundle, photos: list[Path], name: str) -> None:
    predictor = Predictor.load(exported, name, device="cpu", batch_size=4)
    wanted = predictor.embed_images(photos)
    labels = ("cycling", "texting")
    answers = predictor.predict(photos[:5], labels=labels)
    with ThreadPoolExecutor(8) as pool:
        embedded = list(pool.map(lambda row: predictor.embed_images(photos[row : row + 4]), range(8)))
        answered = list(pool.map(lambda _: predictor.predict(photos[:5], labels=labels), range(8)))
    for row, found in enumerate(embedded):
        np.testing.assert_allclose(found, wanted[row : row + 4], atol=1e-5)
    for found in answered:
        assert [answer.labels for answer in found] == [answer.labels for answer in answers]
        assert [answer.scores[0] for answer in found] == pytest.approx([a.scores[0] for a in answers], abs=1e-5)


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_labels_of_the_callers_own_go_through_the_exported_text_encoder(
    exported: ModelBundle, photos: list[Path], name: str
) -> None:
    ours, theirs = Predictor.load(exported, name, device="cpu"), Predictor.load(exported, "torch", device="cpu")
    texts = ["a photo of a person running.", "someone", "", "a very long text " * 30]
    np.testing.assert_allclose(ours.embed_texts(texts), theirs.embed_texts(texts), atol=1e-5)
    assert "_loaded_encoder" not in vars(ours)
    assert ours.text_head.scale == pytest.approx(theirs.encoder.logit_scale, rel=1e-6)
    cosines = ours.similarity(photos[:3], texts)
    assert cosines.shape == (3, 4)
    np.testing.assert_allclose(cosines, ours.embed_images(photos[:3]) @ ours.embed_texts(texts).T, atol=1e-6)


def with_forms(bundle: ModelBundle, folder: Path, keep) -> ModelBundle:
    """A copy of the bundle with some of its exported forms."""
    import shutil

    shutil.copytree(bundle.path, folder)
    copy = ModelBundle.load(folder)
    exports = Exports.read(copy)
    Exports(model_id=exports.model_id, forms=tuple(form for form in exports.forms if keep(form))).write(copy)
    return copy


def test_without_an_exported_text_encoder_torch_is_asked(exported: ModelBundle, tmp_path: Path) -> None:
    bundle = with_forms(exported, tmp_path / "bundle", lambda form: form.encoder == "image")
    predictor = Predictor.load(bundle, "onnx", device="cpu")
    texts = ["a photo of a person running."]
    wanted = exported.load_encoder().encode_texts(texts)
    np.testing.assert_allclose(predictor.embed_texts(texts), wanted, atol=1e-6)


def test_no_torch_until_something_needs_it(exported: ModelBundle, photos: list[Path], tmp_path: Path) -> None:
    lost = with_forms(exported, tmp_path / "no_texts", lambda form: form.encoder == "image")
    code = f"""
        import sys
        from clip_har.inference.predictor import Predictor
        photos = {[str(photo) for photo in photos[:3]]!r}
        predictor = Predictor.load({str(exported.path)!r}, "onnx", device="cpu")
        assert predictor.predict(photos)[0].calibrated
        predictor.predict(photos, labels=["running", "cycling"])
        predictor.similarity(photos, ["a photo"])
        predictor.encoder_key, predictor.text_head, predictor.preprocessing
        assert "torch" not in sys.modules and "transformers" not in sys.modules
        Predictor.load({str(lost.path)!r}, "onnx-int8", device="cpu").predict(photos)
        assert "torch" not in sys.modules
        Predictor.load({str(lost.path)!r}, "onnx-int8", device="cpu").embed_texts(["a"])
        assert "torch" in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_dynamically_quantised_encoder_sees_one_picture_at_a_time(
    exported: ModelBundle, pixels: np.ndarray, tmp_path: Path
) -> None:
    bundle = with_forms(exported, tmp_path / "bundle", lambda form: form.single_only)
    runtime = Int8OnnxRuntime.load(bundle, device="cpu", threads=2)
    alone = np.concatenate([runtime.encode(pixels[row : row + 1]) for row in range(len(pixels))])
    np.testing.assert_allclose(runtime.encode(pixels), alone, atol=1e-6)
    session = runtime._session
    together = session.run(None, {"pixel_values": pixels})[0]
    assert np.abs(together - alone).max() > 1e-4, "nothing to see: this form's scales do not depend on the batch"


def test_a_calibrated_form_goes_before_a_dynamic_one(exported: ModelBundle) -> None:
    form = Int8OnnxRuntime._form(Exports.read(exported), False)
    assert form is not None
    assert not form.single_only


@pytest.mark.parametrize("name", ["onnx", "onnx-int8"])
def test_a_missing_form_is_named_with_what_makes_it(exported: ModelBundle, tmp_path: Path, name: str) -> None:
    bundle = with_forms(exported, tmp_path / "bundle", lambda form: False)
    with pytest.raises(ConfigError, match=f"'{name}' wants the image encoder as ONNX in .*'deploy' makes it"):
        Predictor.load(bundle, name, device="cpu")


def test_a_changed_form_is_refused(exported: ModelBundle, tmp_path: Path) -> None:
    bundle = with_forms(exported, tmp_path / "bundle", lambda form: True)
    path = Exports.folder(bundle) / "onnx" / "image-fp32.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"image-fp32\.onnx is damaged"):
        Predictor.load(bundle, "onnx", device="cpu")
    assert Predictor.load(bundle, "onnx-int8", device="cpu").runtime.name == "onnx-int8"


def test_cuda_without_its_provider_is_said(exported: ModelBundle) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider")
    with pytest.raises(ConfigError, match="'cuda:0' was asked for, but this ONNX Runtime has no CUDAExecutionProvider"):
        OnnxRuntime.load(exported, device="cuda:0")
    with pytest.raises(ConfigError, match="'onnx-int8' is for CPUs"):
        Int8OnnxRuntime.load(exported, device="cuda")
    with pytest.raises(ConfigError, match="no TensorrtExecutionProvider"):
        RUNTIMES.get("onnx-tensorrt").load(exported)
    with pytest.raises(ConfigError, match="no device 'gpu'"):
        Predictor.load(exported, "onnx", device="gpu")


def test_a_gpu_that_onnx_runtime_cannot_use_is_said_once(
    exported: ModelBundle, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    from clip_har.inference.runtimes import sessions

    monkeypatch.setattr(sessions, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    sessions._say_once.cache_clear()
    for _ in range(3):
        assert OnnxRuntime.load(exported, device="auto").lanes >= 1
    said = [str(warning.message) for warning in recwarn if "GPU" in str(warning.message)]
    assert len(said) == 1
    assert "onnxruntime-gpu has it" in said[0]


def test_cuda_libraries_of_pips_wheels_are_loaded_before_a_session_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    import onnxruntime

    from clip_har.inference.runtimes import sessions

    happened = []

    class OnTheCpu:
        def __init__(self, *arguments, **named) -> None:
            happened.append("session")

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    def preload() -> None:
        happened.append("libraries")
        print("Failed to load libcublasLt.so")

    monkeypatch.setattr(onnxruntime, "InferenceSession", OnTheCpu)
    monkeypatch.setattr(onnxruntime, "preload_dlls", preload, raising=False)
    sessions._load_cuda_libraries.cache_clear()
    sessions.cpu_session(tmp_path / "model.onnx", 1)
    assert happened == ["session"]
    for _ in range(2):
        with pytest.raises(ConfigError, match="does not start"):
            sessions.gpu_session(tmp_path / "model.onnx", "cuda:0", [(sessions.CUDA, {})])
    assert happened == ["session", "libraries", "session", "session"]
    assert capsys.readouterr().out == ""
    sessions._load_cuda_libraries.cache_clear()
    monkeypatch.delattr(onnxruntime, "preload_dlls")  # as before 1.21
    with pytest.raises(ConfigError, match="does not start"):
        sessions.gpu_session(tmp_path / "model.onnx", "cuda:0", [(sessions.CUDA, {})])


def test_lost_texts_are_refused_by_similarity_too(exported: ModelBundle, photos: list[Path]) -> None:
    promise = exported.info.open_vocabulary.model_copy(update={"word": "lost"})
    bundle = replace(exported, info=exported.info.model_copy(update={"open_vocabulary": promise}))
    with pytest.raises(BundleError, match="only for its own labels"):
        Predictor.load(bundle, "onnx", device="cpu").similarity(photos[:1], ["a"])


@pytest.mark.gpu
def test_onnx_on_cuda_gives_torchs_embeddings(exported: ModelBundle, pixels: np.ndarray, expected: np.ndarray) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("needs onnxruntime-gpu and a GPU")
    runtime = OnnxRuntime.load(exported, device="cuda:0")
    assert runtime.lanes == 1
    assert (runtime.encode(pixels) * expected).sum(axis=1).min() > 0.9999
