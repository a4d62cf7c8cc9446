"""The store: windows, deletion, retention, images, summaries."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_har.capture import CaptureError, CaptureStore, CaptureWriter, layout, schema
from clip_har.capture.columns import array_of, matrix_of
from tests.capture.captured import START, capture, numbers, prediction, still


def test_where_nothing_was_captured_there_are_no_rows(tmp_path):
    store = CaptureStore(tmp_path / "none")
    table = store.with_feedback()
    assert len(table) == 0
    assert table.column_names[:2] == ["id", "time"]
    assert (len(store.feedback()), store.image("1"), store.delete_older_than(1)) == (0, None, 0)
    assert store.summary().predictions == 0
    store.compact()
    assert not (tmp_path / "none").exists()


def test_a_window_holds_its_beginning_and_not_its_end(tmp_path):
    groups = [map(prediction, range(10)), map(prediction, range(10, 20))]
    capture(tmp_path, groups)
    capture(tmp_path, [[prediction(5, model_id="b" * 64), prediction(20, model_id="b" * 64)]])
    store = CaptureStore(tmp_path)
    for _ in ("as written", "merged"):
        assert numbers(store, since=START + 8, until=START + 12) == [8, 9, 10, 11]
        assert numbers(store, since=datetime.fromtimestamp(START + 18, UTC), model_id="a" * 64) == [18, 19]
        assert numbers(store, model_id="b" * 64) == [5, 20]  # the same id, answered by two models
        assert numbers(store, since=START + 100) == []
        store.compact()
    with pytest.raises(CaptureError, match="time zone"):
        store.predictions(since=datetime(2026, 1, 1))
    with pytest.raises(CaptureError, match=r"no column .brightnes.\. Did you mean .brightness."):
        store.predictions(columns=["brightnes"])


def test_files_outside_a_window_are_not_read(tmp_path, monkeypatch):
    capture(tmp_path, [map(prediction, range(10)), map(prediction, range(10, 20))])
    from clip_har.capture.reading import CaptureFile

    read, tables = [], CaptureFile.tables
    monkeypatch.setattr(CaptureFile, "tables", lambda self, *given: read.append(self.path) or tables(self, *given))
    assert numbers(CaptureStore(tmp_path), since=START + 12) == list(range(12, 20))
    assert len(read) == 1


def test_batches_are_small_and_hold_all(tmp_path):
    capture(tmp_path, [map(prediction, range(25))])
    tables = list(CaptureStore(tmp_path).batches(columns=("id", "embedding"), rows=10))
    assert [len(table) for table in tables] == [10, 10, 5]
    embeddings = np.concatenate([matrix_of(table.column("embedding")) for table in tables])
    np.testing.assert_array_equal(embeddings, np.repeat(np.arange(25, dtype=np.float32)[:, None], 4, axis=1))


def test_columns_become_arrays(tmp_path):
    failed = prediction(2, embedding=np.zeros(0), error="truncated")
    capture(tmp_path, [[prediction(1), failed, prediction(3)]])
    table = CaptureStore(tmp_path).predictions()
    rows = {number: row for row, number in enumerate(array_of(table.column("bytes"), np.int64) - 9000)}
    embeddings = matrix_of(table.column("embedding"))
    assert embeddings[[rows[1], rows[3]]].tolist() == [[1.0] * 4, [3.0] * 4]
    assert np.isnan(embeddings[rows[2]]).all()
    np.testing.assert_array_equal(matrix_of(table.slice(1).column("embedding")), embeddings[1:])
    mixed = pa.chunked_array([pa.array([[1.0], None], pa.list_(pa.float32()))])
    with pytest.raises(ValueError, match="model_id"):
        matrix_of(mixed)


def test_a_batch_of_nothing_but_refused_pictures_is_no_mixture_of_models(tmp_path):
    refused = [prediction(number, embedding=np.zeros(0), error="not_an_image") for number in (1, 2)]
    capture(tmp_path, [[refused[0]], [prediction(3)], [refused[1]]])
    parts = CaptureStore(tmp_path).batches(columns=("embedding",))
    assert sorted(matrix_of(part.column("embedding")).shape for part in parts) == [(1, 0), (1, 0), (1, 4)]


def test_a_row_that_was_recorded_twice_is_one(tmp_path):
    capture(tmp_path, [[prediction(1), prediction(1)], [prediction(1), prediction(2)]])
    store = CaptureStore(tmp_path)
    assert numbers(store) == [1, 2]
    store.compact()
    assert numbers(store) == [1, 2]
    (file,) = (tmp_path / "predictions").iterdir()
    assert pq.read_metadata(file).num_rows == 2


def test_merging_fills_files_and_leaves_full_ones_alone(tmp_path):
    capture(tmp_path, [map(prediction, range(5 * start, 5 * start + 5)) for start in range(5)])
    store = CaptureStore(tmp_path)
    store.compact(rows_per_file=10)
    files = sorted((tmp_path / "predictions").iterdir())
    assert [pq.read_metadata(file).num_rows for file in files] == [10, 10, 5]
    before = {file.name: file.stat().st_mtime_ns for file in files}
    store.compact(rows_per_file=10)
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "predictions").iterdir()} == before
    assert numbers(store) == list(range(25))


@pytest.mark.parametrize("merged", [False, True])
def test_what_is_deleted_is_in_no_read_and_leaves_the_disk(tmp_path, merged):
    rows = [prediction(number, image=b"picture %d" % number) for number in range(6)]
    capture(tmp_path, [rows[:3], rows[3:]], images=True)
    writer = CaptureWriter(tmp_path, still())
    writer.feedback(f"{1:032x}", "eating", START)
    writer.feedback(f"{2:032x}", "eating", START)
    store = CaptureStore(tmp_path)
    if merged:
        store.compact(rows_per_file=3)
    unknown = f"{77:032x}"
    assert store.delete([f"{1:032x}", f"{4:032x}", unknown]) == 2
    assert store.delete([f"{1:032x}"]) == 0
    assert numbers(store) == [0, 2, 3, 5]
    assert len(store.feedback()) == 1
    assert store.image(f"{1:032x}") is None
    assert sorted(path.read_bytes() for path in (tmp_path / "images").rglob("*.jpg")) == [
        b"picture %d" % number for number in (0, 2, 3, 5)
    ]
    store.compact(rows_per_file=3)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
    on_disk = [pq.read_table(file, columns=["id"]) for file in (tmp_path / "predictions").iterdir()]
    assert sorted(int(one, 16) for one in pa.concat_tables(on_disk).column("id").to_pylist()) == [0, 2, 3, 5]
    assert f"{4:032x}".encode() not in kept
    assert numbers(store) == [0, 2, 3, 5]
    # What was deleted before it was written does not come back; nor after a merge.
    capture(tmp_path, [[prediction(77, image=b"late")]], images=True)
    writer.feedback(f"{77:032x}", "eating", START)
    writer.close()
    for _ in ("as written", "merged"):
        assert (numbers(store), len(store.feedback())) == ([0, 2, 3, 5], 1)
        assert not [path for path in (tmp_path / "images").rglob("*.jpg") if path.read_bytes() == b"late"]
        store.compact()


def test_a_deletion_is_forgotten_when_nothing_can_need_it_any_more(tmp_path, monkeypatch):
    capture(tmp_path, [map(prediction, range(4))])
    store = CaptureStore(tmp_path)
    store.delete([f"{1:032x}"])
    store.compact()
    store.compact()
    assert len(list((tmp_path / "deletions").iterdir())) == 1
    monkeypatch.setattr("clip_har.capture.compaction._LATE_SECONDS", -1.0)
    store.compact()
    assert not list((tmp_path / "deletions").iterdir())
    assert layout.Manifest.read(tmp_path).applied == frozenset()
    assert numbers(store) == [0, 2, 3]


def test_an_old_deletion_that_no_merge_has_applied_is_applied_first(tmp_path, monkeypatch):
    monkeypatch.setattr("clip_har.capture.compaction._LATE_SECONDS", -1.0)
    capture(tmp_path, [map(prediction, range(4))])
    store = CaptureStore(tmp_path)
    store.compact()
    store.delete([f"{1:032x}"])
    for _ in range(3):
        store.compact()
        assert numbers(store) == [0, 2, 3]


def test_what_is_too_old_is_deleted_with_its_images(tmp_path):
    now = time.time()
    rows = [
        prediction(number, time=now - 86_400 * number, image=b"same" if number in (1, 5) else b"picture %d" % number)
        for number in range(7)
    ]
    capture(tmp_path, [rows[:4], rows[4:]], images=True)
    writer = CaptureWriter(tmp_path, still())
    for number in (0, 6):
        writer.feedback(f"{number:032x}", "eating", now - 86_400 * number)
    writer.close()
    store = CaptureStore(tmp_path)
    for _ in range(2):
        found = store.delete_older_than(3.5)
        assert found == (3 if _ == 0 else 0)
        assert numbers(store) == [0, 1, 2, 3]
        assert store.feedback().column("prediction_id").to_pylist() == [f"{0:032x}"]
        images = {path.read_bytes() for path in (tmp_path / "images").rglob("*.jpg")}
        assert images == {b"picture 0", b"same", b"picture 2", b"picture 3"}
        store.compact()
    assert store.delete_older_than(2.5) == 1
    for days in (-1, float("nan")):
        with pytest.raises(CaptureError, match="age in days"):
            store.delete_older_than(days)


def test_images_are_kept_as_they_were_sent_once_and_only_if_that_is_switched_on(tmp_path):
    rows = [prediction(1, image=b"one"), prediction(2, image=b"one"), prediction(3, image=b"two", format="../../x")]
    capture(tmp_path / "on", [rows], images=True)
    store = CaptureStore(tmp_path / "on")
    assert [store.image(f"{number:032x}") for number in (1, 2, 3, 4)] == [b"one", b"one", b"two", None]
    assert sorted(path.suffix for path in (tmp_path / "on" / "images").rglob("*.*")) == [".jpg", ".x"]
    store.delete(f"{1:032x}")
    assert store.image(f"{2:032x}") is None
    assert store.image_bytes(store.predictions().column("image").to_pylist()[0]) is None
    capture(tmp_path / "off", [rows])
    assert not (tmp_path / "off" / "images").exists()
    assert CaptureStore(tmp_path / "off").image(f"{1:032x}") is None


def test_an_image_whose_prediction_is_deleted_while_it_is_written_goes_too(tmp_path, monkeypatch):
    writer = CaptureWriter(tmp_path, still(images=True))
    writer.record(prediction(1, image=b"one"))
    real = writer._write_file

    def deleted_first(rows):
        CaptureStore(tmp_path).delete([f"{1:032x}"])
        real(rows)

    monkeypatch.setattr(writer, "_write_file", deleted_first)
    writer.close()
    assert not list((tmp_path / "images").rglob("*.jpg"))


def test_a_damaged_file_is_left_out_and_told_and_kept(tmp_path, caplog, monkeypatch):
    groups = [map(prediction, range(3)), map(prediction, range(3, 2000)), map(prediction, range(4000, 4003))]
    capture(tmp_path, groups, buffer=5000)
    first, second, _ = sorted((tmp_path / "predictions").iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    middle = bytearray(second.read_bytes())
    middle[1000:-3000] = bytes(len(middle) - 4000)
    second.write_bytes(middle)
    (tmp_path / "feedback").mkdir()
    (tmp_path / "feedback" / "1-a-1.json").write_text("{")
    store = CaptureStore(tmp_path)
    for _ in ("as written", "merged"):
        assert [number for number in numbers(store) if number >= 4000] == [4000, 4001, 4002]
        assert len(store.feedback()) == 0
        assert first.name in caplog.text
        assert store.summary().damaged >= 2
        store.compact()
        assert (first.exists(), second.exists()) == (True, True)
        assert (tmp_path / "feedback" / "1-a-1.json").exists()
    # Deletions of what can be read of it are not forgotten, and retention takes it when all of it is too old.
    monkeypatch.setattr("clip_har.capture.compaction._LATE_SECONDS", -1.0)
    store.delete([f"{number:032x}" for number in range(2000)])
    store.compact()
    assert numbers(store) == [4000, 4001, 4002]
    os.utime(first, (START,) * 2)
    store.delete_older_than((time.time() - START - 1) / 86_400)
    store.compact()
    assert (first.exists(), second.exists()) == (False, True)


def test_a_foreign_parquet_file_is_no_capture(tmp_path):
    capture(tmp_path, [[prediction(1)]])
    pq.write_table(pa.table({"time": [1], "id": ["x"]}), tmp_path / "predictions" / "0-x.parquet")
    assert numbers(CaptureStore(tmp_path)) == [1]


def test_what_a_newer_version_wrote_is_refused(tmp_path, monkeypatch):
    capture(tmp_path / "rows", [[prediction(1)]])
    with monkeypatch.context() as newer:
        newer.setattr(schema, "VERSION", 2)
        newer.setattr(layout, "VERSION", 2)
        capture(tmp_path / "rows", [[prediction(2)]])
        capture(tmp_path / "merged", [[prediction(1)]])
        CaptureStore(tmp_path / "merged").compact()
    for folder in ("rows", "merged"):
        with pytest.raises(CaptureError, match="version 2 of the capture's format; this clip-har reads up to 1"):
            CaptureStore(tmp_path / folder).predictions()


def test_a_damaged_manifest_says_so_and_a_lost_one_doubles_nothing(tmp_path):
    capture(tmp_path, [map(prediction, range(3)), map(prediction, range(3, 6))])
    store = CaptureStore(tmp_path)
    store.compact(rows_per_file=4)
    capture(tmp_path, [map(prediction, range(2, 8))])
    manifest = tmp_path / "manifest.json"
    manifest.write_text("{")
    with pytest.raises(CaptureError, match=r"manifest\.json is damaged"):
        store.predictions()
    manifest.unlink()
    for _ in ("lost", "made anew"):
        assert numbers(store) == list(range(8))
        store.compact(rows_per_file=4)
    on_disk = [pq.read_metadata(file).num_rows for file in (tmp_path / "predictions").iterdir()]
    assert sum(on_disk) == 8


def test_a_summary_counts(tmp_path):
    rows = [prediction(number, abstained=number == 2) for number in range(4)]
    rows.append(prediction(86_400, labels=("eating",), scores=(1.0,), model_id="b" * 64))
    rows.append(prediction(5, labels=(), scores=(), error="truncated", embedding=np.zeros(0)))
    capture(tmp_path, [[row for row in rows if row.id != f"{3:032x}"], rows[3:4]], images=True)
    writer = CaptureWriter(tmp_path, still())
    writer.feedback(f"{1:032x}", "eating", START)
    writer.close()
    found = CaptureStore(tmp_path).summary()
    assert (found.predictions, found.feedback, found.images, found.dropped, found.damaged) == (6, 1, 0, 0, 0)
    assert (found.first, found.last, found.abstained) == (START, START + 86_400, 1)
    assert found.models == {"a" * 64: 5, "b" * 64: 1}
    assert list(found.days.values()) == [5, 1]
    assert list(found.days) == sorted(found.days)
    assert found.labels == {"running": 4, "eating": 1}
    assert found.errors == {"truncated": 1}
    assert found.files == 4
    assert found.bytes == sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())


def test_many_rows_are_read_in_bounded_memory(tmp_path):
    """The embeddings of all rows are 20 MB; reading them in batches takes a fraction of it."""
    for start in range(2):
        capture(
            tmp_path,
            [
                (
                    prediction(number, embedding=np.full(512, number))
                    for number in range(5000 * start, 5000 * start + 5000)
                )
            ],
            buffer=10_000,
        )
    code = """
import sys
from clip_har.capture import CaptureStore
import pyarrow as pa
store, most, rows = CaptureStore(sys.argv[1]), 0, 0
for table in store.batches(rows=512):
    rows += len(table)
    most = max(most, pa.total_allocated_bytes())
assert rows == 10000, rows
print(most)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, timeout=120)
    assert int(done.stdout) < 12e6
