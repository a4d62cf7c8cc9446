"""The rejection queue: original bytes by reason, one row a rejection, nothing lost and nothing twice."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from clip_har.data.quarantine import QUEUE_COLUMNS, Decision, Decisions, QuarantineConfig, RejectionQueue
from clip_har.data.quarantine.decisions import append
from clip_har.errors import DataError
from tests.data.quarantine.reports import rejected, report_of

TIME = "2026-11-24T12:00:00+00:00"


@pytest.fixture
def root(tmp_path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def queue(tmp_path) -> RejectionQueue:
    return RejectionQueue(tmp_path / "quarantine")


def some(root: Path) -> list:
    return [
        rejected(root, "running/a.jpg", "too_small", b"one"),
        rejected(root, "sitting/a.jpg", "too_small", b"two", "sitting"),
        rejected(root, "running/b.jpg", "truncated", b"three"),
        rejected(root, "running/again.jpg", "exact_duplicate", b"same"),
        rejected(root, "running/yet_again.jpg", "exact_duplicate", b"same"),
        rejected(root, "gone.jpg", "missing_file", None),
    ]


def files(queue: RejectionQueue) -> dict[str, bytes]:
    """Everything in the queue's folders."""
    return {
        path.relative_to(queue.folder).as_posix(): path.read_bytes()
        for path in queue.folder.rglob("*")
        if path.is_file() and path.parent != queue.folder
    }


def statuses(queue: RejectionQueue) -> dict[str, str]:
    return dict(queue.history()[["uri", "status"]].itertuples(index=False, name=None))


def test_rejected_files_lie_in_a_folder_for_their_reason_with_their_bytes(queue, root):
    summary = queue.update(report_of(some(root)), root, "v1", TIME)
    table = queue.entries()
    assert tuple(table.columns) == QUEUE_COLUMNS
    kept = {uri: file for uri, file in zip(table["uri"], table["file"], strict=True) if file}
    assert {uri: (queue.folder / file).read_bytes() for uri, file in kept.items()} == {
        "running/a.jpg": b"one",
        "sitting/a.jpg": b"two",
        "running/b.jpg": b"three",
        "running/again.jpg": b"same",
        "running/yet_again.jpg": b"same",
    }
    assert len(set(kept.values())) == 5  # two files of one name do not clash
    for uri, file in kept.items():
        row = table[table["uri"] == uri].iloc[0]
        stem = Path(uri).stem
        assert file == f"{row['reason']}/{stem}-{row['key']}.jpg"
    assert set(files(queue)) == set(kept.values())
    assert summary.waiting == {"exact_duplicate": 2, "too_small": 2, "missing_file": 1, "truncated": 1}
    assert (summary.rejected, summary.added) == (6, 6)


def test_a_row_says_where_it_is_from_and_why(queue, root):
    queue.update(report_of(some(root)), root, "v1", TIME)
    row = queue.entries("truncated").iloc[0]
    about = ("uri", "label", "reason", "details", "source", "data_version", "time", "status", "bytes", "note")
    assert row[list(about)].tolist() == [
        *("running/b.jpg", "running", "truncated", "truncated!", str(root), "v1", TIME, "waiting", 5, "")
    ]
    stored = pd.read_parquet(queue.folder / "queue.parquet")  # a table that any tool reads
    pd.testing.assert_frame_equal(stored, queue.history())


def test_updating_again_changes_nothing(queue, root):
    report = report_of(some(root))
    queue.update(report, root, "v1", TIME)
    table, kept = queue.history(), files(queue)
    inodes = {name: (queue.folder / name).stat().st_ino for name in kept}
    summary = queue.update(report, root, "v2", "2027-01-01T00:00:00+00:00")
    pd.testing.assert_frame_equal(queue.history(), table)  # first seen then, and in that version
    assert files(queue) == kept
    assert {name: (queue.folder / name).stat().st_ino for name in kept} == inodes  # not even copied
    assert (summary.added, summary.left, summary.rejected) == (0, 0, 6)


def test_what_is_rejected_no_more_moves_into_the_past_and_can_come_back(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1", TIME)
    summary = queue.update(report_of(rows[1:], accepted=6), root, "v2")
    assert (summary.rejected, summary.left, summary.resolved, summary.added) == (5, 1, 1, 0)
    assert "running/a.jpg" not in set(queue.entries()["uri"])
    past = queue.history().set_index("uri").loc["running/a.jpg"]
    assert (past["status"], past["file"], past["note"]) == ("resolved", "", "not rejected any more")
    assert b"one" not in files(queue).values()  # the source has it
    queue.update(report_of(rows), root, "v3")
    back = queue.entries("too_small").set_index("uri").loc["running/a.jpg"]
    assert (back["status"], back["time"], back["data_version"]) == ("waiting", TIME, "v1")
    assert (queue.folder / back["file"]).read_bytes() == b"one"


@pytest.mark.parametrize("what", ["mended", "removed"])
def test_bytes_that_the_source_has_no_more_are_never_dropped(queue, root, what):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    if what == "mended":
        (root / "running" / "b.jpg").write_bytes(b"whole now")
    else:
        (root / "running" / "b.jpg").unlink()
    for _ in range(2):
        queue.update(report_of([row for row in rows if row[0] != "running/b.jpg"]), root, "v2")
        row = queue.history().set_index("uri").loc["running/b.jpg"]
        assert row["file"] == f"resolved/truncated/b-{row['key']}.jpg"
        assert (queue.folder / row["file"]).read_bytes() == b"three"
        assert list(files(queue).values()).count(b"three") == 1


def test_another_reason_is_another_row(queue, root):
    queue.update(report_of([rejected(root, "a.jpg", "too_small", b"one")]), root, "v1")
    queue.update(report_of([rejected(root, "a.jpg", "blurred", b"one")]), root, "v2")
    table = queue.history()
    assert table["reason"].tolist() == ["blurred", "too_small"]
    assert table["status"].tolist() == ["waiting", "resolved"]
    assert table["note"].tolist() == ["", "now rejected as blurred"]
    assert [name.partition("/")[0] for name in files(queue)] == ["blurred"]


def test_a_file_that_is_listed_twice_has_two_rows(queue, root):
    row = rejected(root, "gone.jpg", "missing_file", None)
    other = rejected(root, "a.jpg", "label_conflict", b"one", "running")
    rows = [row, row, other, (*other[:1], "sitting", *other[2:])]
    summary = queue.update(report_of(rows), root, "v1")
    assert summary.rejected == 4
    assert queue.entries()["key"].nunique() == 4


def test_files_that_a_person_put_there_stay(queue, root):
    queue.update(report_of(some(root)), root, "v1")
    (queue.folder / "too_small" / "notes.txt").write_text("ask Ada")
    queue.update(report_of([]), root, "v2")
    assert files(queue) == {"too_small/notes.txt": b"ask Ada"}


def test_kept_files_that_were_lost_or_cut_come_back(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    kept = files(queue)
    first, second, *_ = sorted(kept)
    (queue.folder / first).unlink()
    (queue.folder / second).write_bytes(b"")
    queue.update(report_of(rows), root, "v1")
    assert files(queue) == kept


def test_larger_files_than_wanted_have_a_row_only(tmp_path, root):
    queue = RejectionQueue(tmp_path / "quarantine", QuarantineConfig(max_bytes=3))
    queue.update(report_of(some(root)), root, "v1")
    assert set(files(queue).values()) == {b"one", b"two"}
    assert queue.entries("truncated")["note"].tolist() == [
        "no bytes are kept: the file has 5 bytes, and the queue keeps at most 3"
    ]


def test_a_file_too_large_to_be_read_by_validation_is_kept_and_renewed(queue, root):
    """Its sha256 is not known then: size and time tell whether it is the same."""
    row = (*rejected(root, "a.jpg", "too_many_bytes", b"large")[:4], "")
    queue.update(report_of([row]), root, "v1")
    queue.update(report_of([row]), root, "v1")
    assert list(files(queue).values()) == [b"large"]
    (root / "a.jpg").write_bytes(b"LARGE")
    os.utime(root / "a.jpg", ns=(1, 1))
    queue.update(report_of([row]), root, "v1")
    assert list(files(queue).values()) == [b"LARGE"]


def test_bytes_that_were_changed_since_validation_are_not_taken_for_the_rejected_ones(queue, root):
    rows = [rejected(root, "a.jpg", "too_small", b"one")]
    (root / "a.jpg").write_bytes(b"other")
    queue.update(report_of(rows), root, "v1")
    assert files(queue) == {}
    assert queue.entries()["note"].tolist() == ["no bytes are kept: the file has been changed since it was rejected"]


LONG = "x" * 300
UNSAFE = [
    "../outside.jpg",
    "a/../../outside.jpg",
    "/etc/hostname",
    "C:\\Windows\\win.ini",
    "..\\outside.jpg",
    f"{LONG}.jpg",
    f"{LONG}/{LONG}/{LONG}",
    "line\nbreak.jpg",
    "null\0byte.jpg",
    'quote"<>|?*:.jpg',
    "...",
    "",
    "trailing. ",
    "café–中文.jpg",
    "CON.jpg",
    f"{'é' * 120}.jpg",
    ".hidden",
    "a.tar.gz/",
    "picture.jpg/../../../evil-0123456789ab.jpg",
]


@pytest.mark.parametrize("uri", UNSAFE)
def test_whatever_the_uri_says_the_queue_writes_inside_itself_only(tmp_path, queue, root, uri):
    (tmp_path / "outside.jpg").write_bytes(b"not yours")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    row = (uri, "running", "truncated", "details", "0" * 64)
    for _ in range(2):
        queue.update(report_of([row]), root, "v1")
    after = {
        path: path.read_bytes() for path in tmp_path.rglob("*") if queue.folder not in path.parents and path.is_file()
    }
    assert after == before
    assert files(queue) == {}  # nothing from outside was copied
    assert queue.entries()["uri"].tolist() == [uri]


@pytest.mark.parametrize(
    "uri", [name for name in UNSAFE if not {"\0", "/"} & set(name) and name not in ("", "...") and len(name) < 255]
)
def test_names_of_kept_files_suit_every_file_system(queue, root, uri):
    queue.update(report_of([rejected(root, uri, "truncated", b"bytes")]), root, "v1")
    (name,) = files(queue)
    folder, _, file = name.partition("/")
    assert folder == "truncated"
    assert not set(file) & set('\\/:*?"<>|\n')
    assert len(file.encode()) <= 150
    assert not file.startswith(".")
    assert file == file.strip(" .")
    assert (queue.folder / name).read_bytes() == b"bytes"


def test_a_link_is_followed_inside_the_data_folder_and_never_out_of_it(tmp_path, queue, root):
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (root / "real.jpg").write_bytes(b"real")
    (root / "outwards.jpg").symlink_to(tmp_path / "secret.txt")
    (root / "inwards.jpg").symlink_to("real.jpg")
    (root / "folder").symlink_to(tmp_path)
    (root / "circle.jpg").symlink_to("circle.jpg")
    os.mkfifo(root / "pipe.jpg")
    uris = ["outwards.jpg", "inwards.jpg", "folder/secret.txt", "circle.jpg", "pipe.jpg", "."]
    queue.update(report_of([(uri, "", "truncated", "", "") for uri in uris]), root, "v1")
    notes = queue.entries().set_index("uri")["note"]
    assert list(files(queue).values()) == [b"real"]
    assert notes["inwards.jpg"] == ""
    assert (
        notes["outwards.jpg"]
        == notes["folder/secret.txt"]
        == "no bytes are kept: the path leads out of the data folder"
    )
    assert notes["pipe.jpg"] == notes["."] == "no bytes are kept: it is not a file"
    assert "no bytes are kept" in notes["circle.jpg"]


def test_a_requeue_with_an_override_is_recorded_and_waits_for_the_next_validation(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    identity = rows[0][4]
    (decision,) = queue.requeue(
        ["running/a.jpg"], "Ada", "an icon, as wanted", waive=["too_small"], label="sitting", time=TIME
    )
    assert decision.model_dump() == {
        "id": identity,
        "uri": "running/a.jpg",
        "action": "requeue",
        "waive": ("too_small",),
        "label": "sitting",
        "who": "Ada",
        "why": "an icon, as wanted",
        "time": TIME,
        "rejected_id": None,
    }
    assert queue.decisions().of("running/a.jpg", identity) == decision
    assert queue.decisions().of("sitting/a.jpg", identity) is None
    assert statuses(queue)["running/a.jpg"] == "requeued"
    assert RejectionQueue(queue.folder).decisions().decisions == (decision,)
    queue.update(report_of(rows[1:]), root, "v2")  # accepted now
    assert statuses(queue)["running/a.jpg"] == "resolved"
    assert len(queue.decisions()) == 1


def test_a_mended_file_needs_no_waiver(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    (root / "running" / "b.jpg").write_bytes(b"whole now")
    (decision,) = queue.requeue(["running/b.jpg"], "Ada", "fetched it again")
    assert decision.rejected_id == rows[2][4]
    assert decision.id != decision.rejected_id
    assert queue.decisions().of("running/b.jpg", decision.id) == decision  # what validation will ask for
    assert statuses(queue)["running/b.jpg"] == "requeued"


def test_a_missing_file_that_is_there_now_can_be_requeued(queue, root):
    queue.update(report_of(some(root)), root, "v1")
    (root / "gone.jpg").write_bytes(b"here")
    (decision,) = queue.requeue(["gone.jpg"], "Ada", "copied it")
    assert (decision.rejected_id, len(decision.id)) == ("", 64)
    assert statuses(queue)["gone.jpg"] == "requeued"


def test_what_is_rejected_again_waits_again_and_says_so(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    known = queue.decisions().content_hash
    queue.requeue(["running/a.jpg"], "Ada", "try again")
    # validation began before the decision: it is not answered yet
    queue.update(report_of(rows), root, "v1", decisions_hash=known)
    assert statuses(queue)["running/a.jpg"] == "requeued"
    queue.update(report_of(rows), root, "v1", decisions_hash=queue.decisions().content_hash)
    row = queue.entries("too_small").set_index("uri").loc["running/a.jpg"]
    assert (row["status"], row["note"]) == ("waiting", "rejected again after Ada requeued it")


def test_a_discard_is_recorded_and_frees_the_copy_and_stays(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    (decision,) = queue.discard(["running/b.jpg"], "Ada", "no use", time=TIME)
    assert (decision.action, decision.who, decision.why, decision.id) == ("discard", "Ada", "no use", rows[2][4])
    assert b"three" not in files(queue).values()
    assert (root / "running" / "b.jpg").read_bytes() == b"three"  # the source is nobody's to change
    for row in (
        rows[2],
        (*rows[2][:2], "discarded", "Ada: no use", rows[2][4]),
    ):  # as validation reports it from now on
        summary = queue.update(report_of([*rows[:2], row, *rows[3:]]), root, "v2")
        found = queue.entries("truncated").iloc[0]
        assert (found["status"], found["file"], found["reason"]) == ("discarded", "", "truncated")
        assert (summary.discarded, summary.rejected, summary.resolved) == (1, 6, 0)
    queue.requeue(["running/b.jpg"], "Bob", "it is of use")
    assert statuses(queue)["running/b.jpg"] == "requeued"
    queue.update(report_of(rows), root, "v3")
    assert b"three" in files(queue).values()


def test_a_decision_counts_from_the_moment_that_it_is_recorded(queue, root):
    """Also when its process was killed before it wrote the table."""
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    about = {"uri": "running/b.jpg", "id": rows[2][4], "who": "Ada", "why": "no use", "time": TIME}
    append(queue.folder / "decisions.jsonl", (Decision(action="discard", **about),))
    assert statuses(queue)["running/b.jpg"] == "discarded"
    queue.update(report_of(rows), root, "v2")
    assert b"three" not in files(queue).values()


def test_accepted_and_rejected_are_always_all(queue, root):
    rows = some(root)
    for rejections in (rows, rows[:3], [], rows[2:]):
        report = report_of(rejections, accepted=9)
        summary = queue.update(report, root, "v")
        assert report.accepted + summary.rejected == report.found
        assert len(queue.entries()) == summary.rejected
    broken = report_of(rows)
    object.__setattr__(broken, "accepted", 4)
    with pytest.raises(AssertionError, match="4 accepted"):
        queue.update(broken, root, "v")


@pytest.mark.parametrize("of", ["id", "key", "file"])
def test_samples_are_found_by_what_a_person_sees(queue, root, of):
    queue.update(report_of(some(root)), root, "v1")
    row = queue.entries().set_index("uri").loc["running/b.jpg"]
    assert [found.uri for found in queue.find([row[of]])] == ["running/b.jpg"]
    short = Path(row["file"]).name if of == "file" else row[of][:6]
    assert [found.uri for found in queue.find([short])] == ["running/b.jpg"]


def test_an_id_means_all_samples_with_these_bytes(queue, root):
    rows = some(root)
    queue.update(report_of(rows), root, "v1")
    decisions = queue.discard([rows[3][4][:10]], "Ada", "enough of them")
    assert sorted(decision.uri for decision in decisions) == ["running/again.jpg", "running/yet_again.jpg"]


def test_what_is_not_there_or_not_clear_is_refused_and_nothing_is_recorded(queue, root):
    with pytest.raises(DataError, match="There is no rejection queue in"):
        queue.discard(["a"], "Ada", "why")
    queue.update(report_of(some(root)), root, "v1")
    with pytest.raises(DataError, match=r"'runing/b.jpg' is no uri.*Did you mean 'running/b.jpg'\?"):
        queue.discard(["running/a.jpg", "runing/b.jpg"], "Ada", "why")
    with pytest.raises(DataError, match=r"no reason 'to_small'.*Did you mean 'too_small'\?"):
        queue.requeue(["running/a.jpg"], "Ada", "why", waive=["to_small"])
    with pytest.raises(DataError, match=r"no reason 'to_small'.*Did you mean 'too_small'\?"):
        queue.entries("to_small")
    with pytest.raises(DataError, match="truncated cannot be waived"):
        queue.requeue(["running/b.jpg"], "Ada", "why", waive=["truncated"])
    with pytest.raises(DataError, match="who: it is empty"):
        queue.discard(["running/b.jpg"], " ", "why")
    with pytest.raises(DataError, match="why: it is empty"):
        queue.requeue(["running/b.jpg"], "Ada", "")
    assert queue.decisions() == Decisions()
    assert set(statuses(queue).values()) == {"waiting"}
    assert queue.entries("blurred").empty  # a reason, but nobody's


def test_a_beginning_that_could_be_several_is_refused(queue, root, monkeypatch):
    queue.update(report_of(some(root)), root, "v1")
    rows = [replace(row, key=f"abcd{number}0000000") for number, row in enumerate(queue.rows())]
    monkeypatch.setattr(queue, "rows", lambda: rows)
    with pytest.raises(DataError, match=r"'abcd' could be abcd00000000, abcd1.*more of it is needed"):
        queue.find(["abcd"])
    assert len(queue.find(["abcd3"])) == 1


def test_a_damaged_table_says_what_to_do(queue, root):
    queue.update(report_of(some(root)), root, "v1")
    (queue.folder / "queue.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="Remove it, and the next run"):
        queue.entries()


def test_progress_is_told(queue, root):
    told = []
    queue.update(report_of(some(root)), root, "v1", progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(1, 7)]
