"""The writer: what it keeps, what it drops, and that neither ever stops the service."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from clip_har.capture import CaptureConfig, CaptureError, CaptureStore, CaptureWriter
from tests.capture.captured import START, capture, numbers, prediction, still


def test_a_prediction_is_read_as_it_was_recorded(tmp_path):
    capture(tmp_path, [[prediction(7, abstained=True, surface="grpc", statistics={"brightness": 0.25})]])
    table = CaptureStore(tmp_path).predictions()
    (row,) = table.to_pylist()
    assert table.schema.field("embedding").type.list_size == 4
    assert row["id"] == f"{7:032x}"
    assert row["time"].timestamp() == START + 7
    assert (row["model_id"], row["encoder_hash"]) == ("a" * 64, "e" * 64)
    assert row["embedding"] == [7.0] * 4
    assert row["labels"] == ["running", "sitting", "eating"]
    assert row["scores"] == pytest.approx([0.7, 0.2, 0.1])
    assert row["probabilities"] == pytest.approx([0.2, 0.7, 0.1])
    assert (row["calibrated"], row["abstained"]) == (True, True)
    assert (row["width"], row["height"], row["format"], row["bytes"]) == (240, 160, "JPEG", 9007)
    assert row["brightness"] == 0.25
    assert np.isnan(row["contrast"])
    assert (row["surface"], row["role"], row["error"], row["image"]) == ("grpc", "champion", "", None)


def test_only_the_first_scores_are_kept(tmp_path):
    capture(tmp_path, [[prediction(1)]], top_scores=2)
    (row,) = CaptureStore(tmp_path).predictions().to_pylist()
    assert row["labels"] == ["running", "sitting"]
    assert row["scores"] == pytest.approx([0.7, 0.2])


def test_predictions_without_an_embedding_and_of_several_sizes_are_kept(tmp_path):
    failed = prediction(1, embedding=np.zeros(0), probabilities=None, labels=(), scores=(), error="truncated")
    capture(tmp_path, [[failed, prediction(2), prediction(3, embedding=np.ones(6), model_id="b" * 64), prediction(4)]])
    store = CaptureStore(tmp_path)
    for _ in ("as written", "merged"):
        rows = {int(row["id"], 16): row for row in store.predictions().to_pylist()}
        assert rows[1]["embedding"] is None
        assert rows[1]["error"] == "truncated"
        assert rows[1]["probabilities"] is None
        assert [len(rows[number]["embedding"]) for number in (2, 3, 4)] == [4, 6, 4]
        assert store.predictions(model_id="b" * 64).schema.field("embedding").type.list_size == 6
        store.compact()


def test_rows_are_on_disk_within_the_flush_time_without_being_asked_for(tmp_path):
    writer = CaptureWriter(tmp_path, CaptureConfig(flush_seconds=0.2))
    store = CaptureStore(tmp_path)
    for number in range(2):
        writer.record(prediction(number))
        until = time.monotonic() + 20
        while numbers(store) != list(range(number + 1)) and time.monotonic() < until:
            time.sleep(0.02)
        assert numbers(store) == list(range(number + 1))
    assert writer.written == 2
    writer.close()


def test_a_busy_process_writes_before_its_buffer_is_full(tmp_path):
    writer = CaptureWriter(tmp_path, still(buffer=10))
    until = time.monotonic() + 20
    for number in range(6):
        writer.record(prediction(number))
    while writer.written < 6 and time.monotonic() < until:
        time.sleep(0.02)
    assert (writer.written, writer.dropped) == (6, 0)
    writer.close()


def test_what_does_not_fit_into_the_buffer_is_dropped_and_counted(tmp_path):
    writer = CaptureWriter(tmp_path, still(buffer=10, images=True, buffer_bytes=1000))
    with writer._writing:  # as while a slow disk writes
        for number in range(12):
            writer.record(prediction(number))
        assert writer.dropped == 2
    writer.flush()
    with writer._writing:
        for number in range(20, 23):
            writer.record(prediction(number, image=bytes(400)))
    writer.close()
    writer.record(prediction(99))
    assert writer.dropped == 4
    store = CaptureStore(tmp_path)
    assert numbers(store) == [*range(10), 20, 21]
    assert store.summary().dropped == 3  # as of the last writing


def test_a_sample_is_the_same_for_every_process_and_of_the_wanted_size(tmp_path):
    for process in ("one", "other"):
        capture(tmp_path / process, [map(prediction, range(1000))], sampling_rate=0.3)
    found = numbers(CaptureStore(tmp_path / "one"))
    assert found == numbers(CaptureStore(tmp_path / "other"))
    assert 240 < len(found) < 360
    capture(tmp_path / "none", [map(prediction, range(100))], sampling_rate=0.0)
    assert numbers(CaptureStore(tmp_path / "none")) == []


def test_a_prediction_with_values_of_no_kind_is_dropped_alone(tmp_path, caplog):
    writer = CaptureWriter(tmp_path, still())
    for one in (prediction(1), prediction(2, width="wide"), prediction(3, time=float("nan")), prediction(4)):
        writer.record(one)
    writer.record(prediction(5, scores=None))
    writer.record(prediction(6, id=6, labels=("\ud800", "b")))  # no valid text, and an id of another type
    writer.close()
    assert numbers(CaptureStore(tmp_path)) == [1, 4, 6]
    assert (writer.written, writer.dropped) == (3, 3)


def test_a_folder_that_cannot_be_written_is_reported_once_and_stops_nothing(tmp_path, caplog):
    (tmp_path / "capture").write_text("a file where the folder should be")
    writer = CaptureWriter(tmp_path / "capture", still(images=True))
    for number in range(3):
        writer.record(prediction(number, image=b"picture"))
        writer.flush()
    assert (writer.written, writer.dropped) == (0, 3)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(tmp_path / "capture") in caplog.text
    with pytest.raises(OSError, match="capture"):
        writer.feedback("1", "running", START)
    (tmp_path / "capture").unlink()
    writer.record(prediction(3, image=b"picture"))
    writer.close()
    assert (writer.written, writer.dropped) == (1, 3)
    store = CaptureStore(tmp_path / "capture")
    assert store.image(f"{3:032x}") == b"picture"
    assert store.summary().dropped == 3
    assert "writes again" in caplog.text


_FULL_DISK = """
import logging, resource, sys
from pathlib import Path
from clip_har.capture import CaptureStore, CaptureWriter
from tests.capture.captured import numbers, prediction, still
import numpy as np
folder, limit = Path(sys.argv[1]), resource.getrlimit(resource.RLIMIT_FSIZE)
writer = CaptureWriter(folder, still(images=True))
messages = []
logging.getLogger("clip_har.capture").addHandler(handler := logging.Handler())
handler.emit = lambda record: messages.append(record.getMessage())
def many(numbers):
    for number in numbers:
        writer.record(prediction(number, embedding=np.random.rand(512), image=bytes([number]) * 100))
    writer.flush()
many(range(20))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
many(range(20, 40)); many(range(40, 60))
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
many(range(60, 80))
writer.close()
assert numbers(CaptureStore(folder)) == [*range(20), *range(60, 80)], numbers(CaptureStore(folder))
assert (writer.written, writer.dropped, CaptureStore(folder).summary().dropped) == (40, 40, 40)
assert len(messages) == 2 and "dropped" in messages[0] and "File too large" in messages[0], messages
assert not list((folder / "predictions").glob(".*")), "half-written files"
"""


def test_a_full_disk_costs_the_rows_of_that_time_alone(tmp_path):
    subprocess.run([sys.executable, "-c", _FULL_DISK, str(tmp_path)], check=True, timeout=60)


_LIGHT = """
import sys
from pathlib import Path
from clip_har.capture import CaptureStore, CaptureWriter
from tests.capture.captured import prediction, still
assert "pyarrow" not in sys.modules
folder = Path(sys.argv[1])
writer = CaptureWriter(folder, still(images=True))
assert "pyarrow" not in sys.modules
writer.feedback("0" * 32, "running", 1.0)
assert "pyarrow" not in sys.modules
for number in range(4):
    writer.record(prediction(number, image=b"picture"))
    writer.flush()
CaptureStore(folder).delete(["0" * 32])
writer._merge(everything=True)
writer.close()
assert not [name for name in ("pandas", "PIL", "torch") if name in sys.modules]
assert [path.name[-10:] for path in (folder / "predictions").iterdir()] == ["-m.parquet"]
"""


def test_capture_brings_no_heavy_package_into_the_service(tmp_path):
    """pyarrow only when something is written, and pandas, which pyarrow imports by itself in many calls, never."""
    subprocess.run([sys.executable, "-c", _LIGHT, str(tmp_path)], check=True, timeout=60)


def test_feedback_is_there_when_the_call_returns_and_the_last_counts(tmp_path):
    writer = CaptureWriter(tmp_path, still())
    store = CaptureStore(tmp_path)
    one, other = f"{1:032x}", f"{2:032x}"
    writer.feedback(one, "sitting", START + 10, "camera")
    writer.feedback(one, "eating", START + 9)
    writer.feedback("unknown", "läuft\u2028", START)
    assert store.feedback().column("label").to_pylist() == ["läuft\u2028", "eating", "sitting"]
    assert len(store.feedback(since=START + 9.5)) == 1
    for number in (1, 2):
        writer.record(prediction(number))
    writer.close()
    for _ in ("as written", "merged"):
        table = store.with_feedback(columns=("id", "labels"))
        assert table.column_names == ["id", "labels", "feedback_label", "feedback_time", "feedback_caller"]
        rows = {row["id"]: row for row in table.to_pylist()}
        assert (rows[one]["feedback_label"], rows[one]["feedback_caller"]) == ("sitting", "camera")
        assert rows[one]["feedback_time"].timestamp() == START + 10
        assert rows[other]["feedback_label"] is None
        assert rows[other]["feedback_time"] is None
        store.compact()
        assert len(store.feedback()) == 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("", "running", START), "prediction id has 0"),
        (("1" * 201, "running", START), "201 characters"),
        (("1", "", START), "label has 0"),
        (("1", "running", float("inf")), "no time"),
    ],
)
def test_feedback_that_says_nothing_is_refused(tmp_path, values, said):
    writer = CaptureWriter(tmp_path, still())
    with pytest.raises(CaptureError, match=said):
        writer.feedback(*values)
    writer.close()
    assert len(CaptureStore(tmp_path).feedback()) == 0


def _pieces(folder: Path) -> list[Path]:
    return [path for path in (folder / "predictions").glob("[!.]*") if not path.name.endswith("-m.parquet")]


def test_a_process_merges_its_files_and_deletes_what_is_too_old_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("clip_har.capture.writer._PIECES", 3)
    monkeypatch.setattr("clip_har.capture.writer._FIRST_UPKEEP_SECONDS", 0.3)
    capture(tmp_path, [[prediction(number)] for number in range(3)])
    writer = CaptureWriter(tmp_path, CaptureConfig(flush_seconds=0.05, retention_days=1))
    until = time.monotonic() + 20
    recent = prediction(50, time=time.time())
    writer.record(recent)
    while numbers(CaptureStore(tmp_path)) != [50] and time.monotonic() < until:
        time.sleep(0.05)
    assert numbers(CaptureStore(tmp_path)) == [50]
    for number in range(51, 56):
        writer.record(prediction(number, time=time.time()))
        writer.flush()
    while len(pieces := _pieces(tmp_path)) >= 3 and time.monotonic() < until:
        writer._some.set()
        time.sleep(0.05)
    assert len(pieces) < 3
    writer.close()
    assert numbers(CaptureStore(tmp_path)) == [*range(50, 56)]
