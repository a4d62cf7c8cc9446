"""What is observed of pictures in files is what the service captures of them: on real photographs, to the last figure."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from clip_har.capture.columns import matrix_of
from clip_har.capture.statistics import STATISTICS
from clip_har.capture.store import CaptureStore
from clip_har.data import image as image_module
from clip_har.errors import DataError
from clip_har.hashing import sha256_file
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.observations import IMAGE_FIGURES, Observations
from clip_har.monitoring.observing import figures_of_files, observe
from clip_har.serving.asking import Asked
from tests.serving.engines import running_engine
from tests.serving.zero_shot_bundle import zero_shot_bundle


class Seen(NamedTuple):
    observed: Observations
    opened: int
    told: list[tuple[int, int]]


@pytest.fixture(scope="module")
def har_bundle(har_dual_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    """The small real model with zero-shot's head, and a threshold below which it abstains."""
    from clip_har.models.abstention import AbstentionThreshold
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(ModelConfig(backbone=str(har_dual_encoder)))
    bundle = ModelBundle.load(zero_shot_bundle(tmp_path_factory.mktemp("har") / "bundle", encoder))
    abstention = AbstentionThreshold(precision=0.9, threshold=0.5)
    object.__setattr__(bundle, "calibration", bundle.calibration.model_copy(update={"abstention": abstention}))
    return bundle


@pytest.fixture(scope="module")
def predictor(har_bundle: ModelBundle) -> Predictor:
    return Predictor.load(har_bundle, "torch", device="cpu", batch_size=4, threads=2)


@pytest.fixture(scope="module")
def photographs(har_folder: Path) -> list[Path]:
    """Six of them, spread over the folder."""
    return sorted(har_folder.rglob("*.jpg"))[::700][:6]


@pytest.fixture(scope="module")
def seen(predictor: Predictor, photographs: list[Path]) -> Seen:
    """What is observed of them, how often a file was opened, and what was told of progress."""
    opened: list[int] = []
    told: list[tuple[int, int]] = []
    decode = image_module._open
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(image_module, "_open", lambda *given: opened.append(1) or decode(*given))
        observed = observe(predictor, photographs, progress=lambda done, total, note="": told.append((done, total)))
    return Seen(observed, len(opened), told)


def test_observations_are_what_the_service_captures(har_bundle, seen, photographs, tmp_path):
    observed = seen.observed

    async def serve() -> dict[str, Path]:
        async with running_engine(har_bundle.path, workspace=tmp_path, runtime="torch") as engine:
            with engine.admission.enter() as ticket:
                answers = await engine.predict([path.read_bytes() for path in photographs], Asked(), ticket)
            return {answer.id: path for answer, path in zip(answers, photographs, strict=True)}

    paths = asyncio.run(serve())
    table = CaptureStore(tmp_path / "capture").predictions()
    assert len(table) == len(observed) == len(photographs)
    rows = [observed.ids.index(sha256_file(paths[one])) for one in table.column("id").to_pylist()]
    wanted = observed.take(np.array(rows))
    np.testing.assert_allclose(matrix_of(table.column("embedding")), wanted.embeddings, atol=1e-5)
    np.testing.assert_allclose(table.column("probabilities").to_pylist(), wanted.probabilities, atol=1e-5)
    for name in STATISTICS:
        np.testing.assert_array_equal(np.array(table.column(name).to_pylist(), np.float32), wanted.figures[name])
    width, height, size = (np.array(table.column(name).to_pylist(), np.int64) for name in ("width", "height", "bytes"))
    made = figures_of_files({}, width, height, size)
    for name in ("megapixels", "bits_per_pixel"):
        np.testing.assert_array_equal(made[name], wanted.figures[name])
    assert wanted.figures["bits_per_pixel"] == pytest.approx(
        [8 * Path(path).stat().st_size / (w * h) for path, w, h in zip(wanted.pictures, width, height, strict=True)]
    )


def test_answers_are_the_predictors_with_the_bundles_own_threshold(har_bundle, predictor, seen):
    observed = seen.observed
    answers = predictor.predict(observed.pictures, top_k=1)
    assert [har_bundle.labels[place] for place in observed.predicted] == [answer.label for answer in answers]
    np.testing.assert_allclose(observed.confidence, [answer.scores[0] for answer in answers], atol=1e-5)
    assert [answer.abstained for answer in answers] == observed.abstained.tolist()
    assert 0 < observed.abstained.sum() < len(observed)
    assert set(observed.figures) == set(IMAGE_FIGURES)
    assert {values.dtype for values in observed.figures.values()} == {np.dtype(np.float32)}


def test_refused_pictures_are_counted_by_reason_and_spoil_no_order(predictor, seen, photographs, tmp_path):
    bad = {"a.jpg": photographs[0].read_bytes()[:2000], "b.jpg": b"no picture", "c.jpg": b"", "d.jpg": b"text"}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    mixed = [
        tmp_path / "a.jpg",
        *photographs[:2],
        tmp_path / "b.jpg",
        tmp_path / "c.jpg",
        *photographs[2:],
        tmp_path / "d.jpg",
    ]
    mixed.append(tmp_path / "nothing.jpg")
    truth = np.arange(len(mixed))
    observed = observe(predictor, mixed, truth=truth)
    assert observed.errors == {"empty_file": 1, "missing_file": 1, "not_an_image": 2, "truncated": 1}
    assert list(observed.ids) == sorted(sha256_file(path) for path in photographs)
    assert [Path(path) for path in observed.pictures] == [mixed[place] for place in observed.truth]
    assert [sha256_file(path) for path in observed.pictures] == list(observed.ids)
    np.testing.assert_allclose(observed.embeddings, seen.observed.embeddings, atol=1e-5)


def test_each_picture_is_decoded_once(seen, photographs):
    assert seen.opened == len(photographs)
    assert seen.told == [(4, 6), (6, 6)]


def test_pictures_that_are_all_refused_are_no_failure(predictor, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    observed = observe(predictor, [tmp_path / "a.jpg"])
    assert len(observed) == 0
    assert observed.errors == {"not_an_image": 1}
    assert observed.embeddings.shape == (0, predictor.bundle.class_matrix.shape[1])
    assert len(observe(predictor, [])) == 0


def test_ids_and_truth_must_be_as_many_as_the_pictures(predictor, photographs):
    with pytest.raises(DataError, match="6 pictures are to be observed, and truth has 3 entries"):
        observe(predictor, photographs, truth=np.zeros(3, int))


def test_figures_that_are_unknown_are_nan():
    zero = np.array([0, 100])
    figures = figures_of_files({}, zero, np.array([0, 50]), np.array([10, 0]))
    assert np.isnan(figures["megapixels"]).tolist() == [True, False]
    assert np.isnan(figures["bits_per_pixel"]).all()
    assert figures["megapixels"][1] == pytest.approx(0.005)
