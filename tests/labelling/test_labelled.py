"""Labelled pictures: what becomes of what people say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clip_har.capture import CaptureStore, CaptureWriter
from clip_har.data.sources import build_source
from clip_har.labelling.answers import Labels
from clip_har.labelling.errors import LabellingError
from clip_har.labelling.labelled import NO_IMAGE, NO_PREDICTION, LabelledStore
from tests.capture.captured import START, still
from tests.labelling.seen import LABELS, captured, identity, jpeg, name


@pytest.fixture
def store(tmp_path) -> LabelledStore:
    return LabelledStore.of(tmp_path)


def told(folder, said: list[tuple[str, str]]) -> None:
    """Feedback: a label for each prediction id, one after the other."""
    writer = CaptureWriter(folder, still())
    for number, (one, label) in enumerate(said):
        writer.feedback(one, label, START + 1000 + number)
    writer.close()


def labels(store: LabelledStore) -> dict[str, str]:
    return {row.filename: row.label for row in store.rows()}


def test_feedback_becomes_labels_and_what_does_not_is_counted(tmp_path, store):
    capture = captured(tmp_path / "capture", 4)
    captured(tmp_path / "capture", 0)
    told(
        capture.folder,
        [(identity(0), "running"), (identity(1), "Sitting "), (identity(2), "juggling"), ("gone", "running")],
    )
    added = store.from_feedback(capture, labels=LABELS)
    assert (added.added, added.replaced, added.unchanged) == (2, 0, 0)
    assert labels(store) == {name(0): "running", name(1): "sitting"}
    assert added.unused[NO_PREDICTION] == 1
    assert next(why for why in added.unused if "juggling" in why).startswith("'juggling' is none of the model's labels")
    assert store.rows()[0].predictions
    assert store.picture(name(0)) == jpeg(0)
    again = store.from_feedback(capture, labels=LABELS)
    assert (again.added, again.replaced, again.unchanged) == (0, 0, 2)


def test_a_new_label_becomes_a_class_only_if_wished(tmp_path, store):
    capture = captured(tmp_path / "capture", 1)
    told(capture.folder, [(identity(0), "juggling")])
    assert not store.from_feedback(capture, labels=LABELS).used
    added = store.from_feedback(capture, labels=Labels(LABELS, new=True))
    assert added.new_labels == ("juggling",)
    assert labels(store) == {name(0): "juggling"}


def test_without_images_it_says_with_which_setting_they_are_kept(tmp_path, store):
    capture = captured(tmp_path / "capture", 1, images=False)
    told(capture.folder, [(identity(0), "running")])
    added = store.from_feedback(capture, labels=LABELS)
    assert added.unused == {NO_IMAGE: 1}
    assert "serving.capture.images=true" in NO_IMAGE


def test_a_corrected_label_replaces_the_older(tmp_path, store):
    capture = captured(tmp_path / "capture", 1)
    told(capture.folder, [(identity(0), "running")])
    store.from_feedback(capture, labels=LABELS)
    told(capture.folder, [(identity(0), "running"), (identity(0), "eating")])
    assert store.from_feedback(capture, labels=LABELS).replaced == 1
    assert labels(store) == {name(0): "eating"}
    assert not store.conflicts()


def test_the_same_picture_with_two_labels_is_named_until_somebody_looks_at_it(store):
    store.add(jpeg(0), "running", "feedback", "a", 1.0)
    added = store.add(jpeg(0), "eating", "feedback", "b", 2.0)
    assert added.conflicts == {name(0): ("eating", "running")} == store.conflicts()
    store.add(jpeg(0), "sitting", "app", "b", 3.0)
    assert not store.conflicts()
    assert labels(store) == {name(0): "sitting"}
    late = store.add(jpeg(0), "running", "feedback", "a", 1.0)  # read again
    assert not late.used
    assert labels(store) == {name(0): "sitting"}
    store.add(jpeg(0), "running", "feedback", "c", 4.0)
    assert store.conflicts() == {name(0): ("running", "sitting")}


def test_none_of_these_takes_the_label_away_and_skip_does_not(store):
    store.add(jpeg(0), "running", "feedback", "a", 1.0)
    store.add(jpeg(1), "running", "feedback", "b", 1.0)
    assert store.add(jpeg(0), "none of these", "app", "a", 2.0).set_aside == 1
    store.add(jpeg(1), "skip", "app", "b", 2.0)
    assert labels(store) == {name(1): "running"}
    assert not store.add(jpeg(0), "running", "feedback", "a", 1.0).used
    assert store.answered() == {name(0).partition(".")[0], name(1).partition(".")[0]}
    assert not (store.folder / "images" / name(0)).exists()
    assert store.take_back(name(0))
    assert not store.take_back(name(0))
    assert store.add(jpeg(0), "running", "feedback", "a", 1.0).added == 1


def test_an_empty_label_is_refused(store):
    with pytest.raises(LabellingError, match="empty"):
        store.add(jpeg(0), "  ", "app")
    assert not store.rows()


def test_the_data_pipeline_reads_it_as_it_is(store):
    store.add(jpeg(0), "running", "app", "a")
    store.add(jpeg(1), '=1+1, "quoted"\nline', "app", "b")
    records = build_source(store.source, "unused").records()
    assert {(one.uri, one.label, one.problem) for one in records} == {
        (row.filename, row.label, None) for row in store.rows()
    }
    assert len(records) == 2


def test_what_is_trained_on_already_can_be_left_out(store):
    store.add(jpeg(0), "running", "app")
    store.add(jpeg(1), "running", "app")
    assert [row.filename for row in store.rows(not_trained_on={name(0).partition(".")[0]})] == [name(1)]


def test_two_processes_lose_nothing(tmp_path, store):
    def add(numbers):
        for number in numbers:
            LabelledStore(store.folder).add(jpeg(number), "running", "app", str(number))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(add, [range(8), range(4, 12)]))
    assert len(store.rows()) == 12


def test_killed_at_any_moment_it_keeps_what_was_said(tmp_path, store):
    script = (
        "import sys\nfrom tests.labelling.seen import jpeg\nfrom clip_har.labelling.labelled import LabelledStore\n"
        "store = LabelledStore(sys.argv[1])\n"
        "for number in range(100000):\n    store.add(jpeg(number), 'running', 'app', str(number))\n    print(number, flush=True)\n"
    )
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(store.folder)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
            start_new_session=True,
        )
        for _ in range(5):
            last = int(process.stdout.readline())
        time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
        process.wait()
        said = int(rest[-1]) if rest and rest[-1].isdigit() else last
        assert {row.filename for row in store.rows()} >= {name(number) for number in range(said)}
        store.add(jpeg(999_999), "sitting", "app")
        kept = {path.name for path in (store.folder / "images").iterdir()}
        assert kept == {row.filename for row in store.rows()}


class TestDeletion:
    @pytest.fixture
    def capture(self, tmp_path, store) -> CaptureStore:
        capture = captured(tmp_path / "capture", 3)
        told(capture.folder, [(identity(number), "running") for number in range(3)])
        store.from_feedback(capture, labels=LABELS)
        return capture

    def test_by_id_it_takes_labelled_pictures_along(self, store, capture):
        store.note_published({name(0).partition(".")[0]}, "f" * 40)
        assert capture.delete([identity(0), identity(1)]) == 2
        assert list(labels(store)) == [name(2)]
        assert {path.name for path in (store.folder / "images").iterdir()} == {name(2)}
        assert [one.rpartition("/")[2] for one in capture.removed.pictures].__len__() == 2
        assert "f" * 12 in capture.removed.told()
        assert "running" in (store.folder / "labels.csv").read_text()
        assert name(0) not in (store.folder / "labels.csv").read_text()

    def test_after_the_row_has_gone_it_still_does(self, store, capture):
        store.note_published({name(number).partition(".")[0] for number in range(3)}, "f" * 40)
        capture.delete_older_than(0)
        assert len(store.rows()) == 3
        assert capture.delete([identity(0)]) == 0
        assert len(store.rows()) == 2

    def test_age_spares_only_what_is_published(self, store, capture):
        store.note_published({name(0).partition(".")[0]}, "f" * 40)
        assert capture.delete_older_than(0) == 3
        assert list(labels(store)) == [name(0)]
        assert "only old" in capture.removed.told()

    def test_what_was_set_aside_goes_too(self, store, capture):
        store.add(jpeg(0), "none of these", "app", identity(0))
        capture.delete([identity(0)])
        assert not store.set_aside()

    def test_forget_by_picture(self, store, capture):
        removed = store.forget([name(2).partition(".")[0]])
        assert len(removed.pictures) == 1
        assert list(labels(store)) == sorted([name(0), name(1)])

    def test_the_table_names_no_forgotten_picture(self, store, capture):
        store.forget([name(2).partition(".")[0]])
        assert name(2) not in (store.folder / "labels.csv").read_text()

    def test_a_moved_workspace_is_still_found(self, tmp_path, store, capture):
        moved = tmp_path / "elsewhere"
        moved.mkdir()
        for place in ("capture", "labelling"):
            (tmp_path / place).rename(moved / place)
        CaptureStore(moved / "capture").delete([identity(0)])
        assert len(LabelledStore.of(moved).rows()) == 2
