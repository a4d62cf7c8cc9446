"""Tables of `batch` and folders of pictures, looked at: what is there, what is not, and whose answers they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_har.batch.job import run_job
from clip_har.batch.publishing import write_result
from clip_har.component import validated
from clip_har.errors import ConfigError
from clip_har.hashing import sha256_file
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.collecting import collect
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import IMAGE_FIGURES
from tests.adaptation.tiny_study import tiny_study
from tests.batch.conftest import batch_config, pictures

COMPUTE = ComputeConfig(device="cpu", batch_size=8, threads=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> ModelBundle:
    from clip_har.adaptation import METHODS

    study = tiny_study(tmp_path_factory.mktemp("study"))
    return study.assemble(tmp_path_factory.mktemp("made") / "bundle", study.fit(METHODS.get("linear_probe").Config()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures, two files that are none, and what a system leaves."""
    made = pictures(tmp_path_factory.mktemp("pictures"), 20)
    (made / "broken.jpg").write_bytes((made / "00001.jpg").read_bytes()[:300])
    (made / "deeper" / "text.jpg").write_bytes(b"text")
    (made / ".hidden.jpg").write_bytes(b"x")
    (made / "Thumbs.db").write_bytes(b"x")
    return made


@pytest.fixture(scope="module")
def tables(bundle: ModelBundle, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A table with details, one without, one with labels of the caller's own."""
    made = {}
    settings = {"detailed": {"details": True}, "short": {}, "own": {"details": True, "labels": ["running", "a cat"]}}
    for name, asked in settings.items():
        place = tmp_path_factory.mktemp(name)
        config = batch_config(folder, runtime="torch", **asked)
        made[name] = write_result(run_job(bundle, config, COMPUTE, place / "ws", lambda said: None), config, place)
    return made


def looked(source: Path, bundle: ModelBundle, **settings):
    values = {"source": str(source), "minimum": 10, "runtime": "torch"} | settings
    return collect(validated(MonitorConfig, values), bundle, source.parent, compute=COMPUTE)


@pytest.fixture(scope="module")
def from_folder(folder: Path, bundle: ModelBundle):
    return looked(folder, bundle)


def test_a_folder_is_observed_whole_and_its_names_are_no_truth(from_folder, folder):
    files = list(folder.rglob("0*.jpg"))
    assert list(from_folder.ids) == sorted(sha256_file(path) for path in files)
    assert from_folder.errors == {"not_an_image": 1, "truncated": 1}
    assert (from_folder.truth, from_folder.times) == (None, None)
    assert sorted(from_folder.pictures) == sorted(map(str, files))
    assert from_folder.source == str(folder)


def test_of_a_large_folder_a_sample_is_looked_at(folder, bundle):
    seen = looked(folder, bundle, most=12)
    assert len(seen) + sum(seen.errors.values()) == 12
    assert seen.skipped == {"beyond the 12 of a random sample (monitor.most)": 10}
    assert looked(folder, bundle, most=12).ids == seen.ids
    assert looked(folder, bundle, most=12, seed=1).ids != seen.ids


def test_a_table_with_details_is_what_observing_the_pictures_gives(tables, bundle, from_folder):
    seen = looked(tables["detailed"], bundle)
    assert (seen.ids, seen.errors, seen.labels) == (from_folder.ids, from_folder.errors, from_folder.labels)
    np.testing.assert_allclose(seen.embeddings, from_folder.embeddings, atol=1e-5)
    np.testing.assert_allclose(seen.probabilities, from_folder.probabilities, atol=1e-5)
    for name in ("predicted", "abstained"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(from_folder, name))
    np.testing.assert_allclose(seen.confidence, from_folder.confidence, atol=1e-5)
    assert set(seen.figures) == set(IMAGE_FIGURES)
    for name in IMAGE_FIGURES:
        np.testing.assert_allclose(seen.figures[name], from_folder.figures[name], rtol=1e-6)
    assert seen.pictures == from_folder.pictures


def test_a_table_without_details_says_what_it_can(tables, bundle, from_folder):
    seen = looked(tables["short"], bundle)
    assert (seen.embeddings, seen.probabilities) == (None, None)
    assert set(seen.figures) == {"aspect", "megapixels"}
    np.testing.assert_allclose(seen.figures["aspect"], from_folder.figures["aspect"], rtol=1e-6)
    np.testing.assert_array_equal(seen.predicted, from_folder.predicted)
    np.testing.assert_allclose(seen.confidence, from_folder.confidence, atol=1e-5)
    assert seen.errors == from_folder.errors


def test_of_a_large_table_a_sample_is_looked_at(tables, bundle, from_folder):
    seen = looked(tables["detailed"], bundle, most=12)
    rows = [from_folder.ids.index(one) for one in seen.ids]
    assert len(rows) == 12
    np.testing.assert_allclose(seen.embeddings, from_folder.embeddings[rows], atol=1e-5)
    assert seen.skipped == {"beyond the 12 of a random sample (monitor.most)": 8}


def test_rows_that_lack_a_vector_make_none_of_it(tables, bundle, tmp_path):
    table = pq.read_table(tables["detailed"])
    column = table.column("embedding").to_pylist()
    column[next(row for row, one in enumerate(column) if one is not None)] = None
    place = table.schema.get_field_index("embedding")
    table = table.set_column(place, "embedding", pa.array(column, pa.list_(pa.float32())))
    pq.write_table(table, tmp_path / "table.parquet")
    seen = looked(tmp_path / "table.parquet", bundle)
    assert seen.embeddings is None
    assert seen.probabilities is not None


def test_a_table_of_another_model_or_other_labels_is_refused(tables, bundle):
    record = tables["short"].parent / "run.json"
    record.write_text(json.dumps({"model_id": "b" * 64}))
    with pytest.raises(MonitoringError, match=r"answered by the model bbbbbbbbbbbb, and the one .*--set bundle=FOLDER"):
        looked(tables["short"], bundle)
    record.write_text(json.dumps({"model_id": bundle.model_id, "batch": {"asked": {"labels": None}}}))
    assert len(looked(tables["short"], bundle)) == 20
    record.write_text(json.dumps({"model_id": bundle.model_id, "batch": {"asked": {"labels": ["running"]}}}))
    with pytest.raises(MonitoringError, match=r"labels or templates of its own \(batch.labels, batch.templates\)"):
        looked(tables["short"], bundle)
    record.unlink()
    with pytest.raises(MonitoringError, match="holds 'a cat', which is none of the model's labels"):
        looked(tables["own"], bundle)


def test_parts_are_a_table_too_with_their_own_record(bundle, folder, tmp_path):
    config = batch_config(folder, runtime="torch", output=str(tmp_path / "parts"), details=True)
    run_job(bundle, config, COMPUTE, tmp_path / "ws", lambda said: None)
    assert len(list((tmp_path / "parts").glob("part-*.parquet"))) == 2
    seen = looked(tmp_path / "parts", bundle)
    assert len(seen) == 20
    assert seen.embeddings.shape == (20, bundle.class_matrix.shape[1])
    other = replace(bundle)
    other.__dict__["model_id"] = "b" * 64
    with pytest.raises(MonitoringError, match="was answered by the model"):
        looked(tmp_path / "parts", other)


def test_what_is_no_source_says_what_would_be_right(bundle, tmp_path):
    cases = {
        "nowhere": r"there is no .*nowhere.* Name 'captured', a table of `batch` \(.parquet\), or a folder of pictures",
        "notes.txt": "is a file, and no table of `batch`",
        "empty": "there is no picture in",
        "broken.parquet": "cannot be read as Parquet",
        "other.parquet": "is no table of `batch`: it has no column path, label, score, error. Make one: .*batch.details=true",
    }
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no table")
    pq.write_table(pa.table({"x": [1]}), tmp_path / "other.parquet")
    for name, said in cases.items():
        with pytest.raises(MonitoringError, match=said):
            looked(tmp_path / name, bundle)


def test_too_few_pictures_are_refused_with_what_was_left_out(folder, bundle):
    with pytest.raises(
        MonitoringError, match=r"20 pictures .* at least 30 are wanted \(left out: 1 refused \(not_an_image\), 1 "
    ):
        looked(folder, bundle, minimum=30)


def test_details_need_parquet_and_leave_other_jobs_alone(tables):
    with pytest.raises(ConfigError, match="details: embeddings are written to Parquet only, not to csv"):
        batch_config("photos", details=True, format="csv")
    assert "details" not in batch_config("photos").asked()
    assert batch_config("photos", details=True).asked()["details"] is True
    assert pq.read_schema(tables["short"]).names == [
        name for name in pq.read_schema(tables["detailed"]).names if name not in _details()
    ]
    own = pq.read_table(tables["own"])
    assert own.column("probabilities").null_count == len(own)  # of other labels they would be compared with nothing
    assert own.column("embedding").null_count == 2  # those of the pictures that were refused


def _details() -> tuple[str, ...]:
    from clip_har.batch.table import DETAILS

    return DETAILS
