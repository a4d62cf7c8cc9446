"""Whatever process is killed, wherever it is: what was flushed is read, and once."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clip_har.capture import CaptureStore, CaptureWriter, compaction, layout
from tests.capture.captured import START, capture, numbers, prediction, still

_SERVICE = """
import sys, threading
from pathlib import Path
from clip_har.capture import CaptureStore, CaptureWriter
from tests.capture.captured import START, prediction, still
folder, first = Path(sys.argv[1]), int(sys.argv[2])
writer = CaptureWriter(folder, still(images=True))
threading.Thread(target=lambda: [CaptureStore(folder).compact(rows_per_file=40) for _ in range(10**9)], daemon=True).start()
for number in range(first, first + 10**6):
    writer.record(prediction(number, image=b"%d" % number))
    if number % 7 == 0:
        writer.flush()
        writer.feedback(f"{number:032x}", "running", START)
        print(number, flush=True)
"""


def test_killed_services_lose_nothing_that_was_flushed_and_double_nothing(tmp_path):
    """Two at a time, killed at random moments while both write and merge; twice, in one folder."""
    chance = random.Random(3)
    flushed: dict[int, int] = {}
    for turn in range(2):
        firsts = [(2 * turn + process) * 10**6 for process in range(2)]
        running = [
            subprocess.Popen([sys.executable, "-c", _SERVICE, str(tmp_path), str(first)], stdout=subprocess.PIPE)
            for first in firsts
        ]
        try:
            for first, process in zip(firsts, running, strict=True):
                flushed[first] = int(process.stdout.readline())
            time.sleep(chance.uniform(0.1, 0.6))
            found = numbers(CaptureStore(tmp_path))  # readable while they are at it
            assert len(found) == len(set(found)) > 0
        finally:
            for process in running:
                process.kill()
        for first, process in zip(firsts, running, strict=True):
            told = process.stdout.read().split(b"\n")[:-1]  # a line that was cut off tells nothing
            process.wait()
            flushed[first] = max([flushed[first], *map(int, told)])
        store = CaptureStore(tmp_path)
        for _ in ("as they left it", "merged"):
            found = numbers(store)
            assert len(found) == len(set(found))
            assert set(found) >= {number for first, last in flushed.items() for number in range(first, last + 1)}
            said = [int(one, 16) for one in store.feedback().column("prediction_id").to_pylist()]
            assert len(said) == len(set(said))
            told = {number for first, last in flushed.items() for number in range(first, last + 1) if number % 7 == 0}
            assert set(said) >= told
            store.compact(rows_per_file=40)
    first, last = next(iter(flushed.items()))
    assert store.image(f"{last:032x}") == b"%d" % last


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing is written or removed any more."""


@pytest.fixture
def kill_at(monkeypatch):
    """Have the process killed at its n-th change of the disk; the fixture gives `arm(n)` and `disarm()`."""
    left = [None]

    def counted(real):
        def call(*arguments, **keywords):
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
            return real(*arguments, **keywords)

        return call

    for name in ("replace", "unlink", "fsync", "mkdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    yield lambda count: left.__setitem__(0, count)
    left[0] = None


def _made(folder: Path) -> list[int]:
    """Several small files, a full one, merged ones, feedback, deletions; the numbers that are to be read."""
    capture(folder, [map(prediction, range(0, 12)), map(prediction, range(12, 15))])
    writer = CaptureWriter(folder, still())
    writer.feedback(f"{1:032x}", "eating", START)
    CaptureStore(folder).compact(rows_per_file=10)
    writer.feedback(f"{2:032x}", "eating", START + 1)
    writer.feedback(f"{3:032x}", "eating", START + 2)
    writer.close()
    capture(folder, [map(prediction, range(15, 18)), [prediction(18)]])
    CaptureStore(folder).delete([f"{3:032x}", f"{16:032x}"])
    return [number for number in range(19) if number not in (3, 16)]


def _doubles(folder: Path) -> list[str]:
    """Ids that are in more than one of the files that count."""
    counting = layout.look(folder).predictions
    ids = Counter(
        one for name in counting for one in pq.ParquetFile(folder / name).read(["id"]).column("id").to_pylist()
    )
    return [one for one, times in ids.items() if times > 1]


def test_a_merge_that_is_killed_at_any_step_loses_and_doubles_nothing(tmp_path, kill_at):
    expected = _made(tmp_path / "made")
    cut_off = 0
    for step in range(200):
        folder = shutil.copytree(tmp_path / "made", tmp_path / str(step))
        kill_at(step)
        try:
            compaction.compact(folder, 10)
            ended = True
        except Killed:
            cut_off += 1
            ended = False
        kill_at(None)
        store = CaptureStore(folder)
        assert _doubles(folder) == [], step
        assert not store._damaged()
        for _ in ("as it was left", "merged by the next"):
            assert numbers(store) == expected, step
            assert store.feedback().column("prediction_id").to_pylist() == [f"{1:032x}", f"{2:032x}"], step
            store.compact(rows_per_file=10)
        manifest = layout.Manifest.read(folder)
        listed = {name for kind in (layout.PREDICTIONS, layout.FEEDBACK) for name in layout.names_in(folder, kind)}
        assert listed == manifest.merged, step
        assert not manifest.replaced & listed
        if ended:
            break
    assert ended
    assert cut_off > 10


@pytest.mark.parametrize("what", ["delete", "feedback", "flush"])
def test_a_change_that_is_killed_at_any_step_leaves_a_store_that_can_be_read(tmp_path, kill_at, what):
    for step in range(50):
        folder = tmp_path / str(step)
        capture(folder, [[prediction(1, image=b"one"), prediction(2, image=b"two")]], images=True)
        writer = CaptureWriter(folder, still(images=True))
        writer.record(prediction(3, image=b"three"))
        kill_at(step)
        try:
            if what == "delete":
                CaptureStore(folder).delete([f"{1:032x}"])
            elif what == "feedback":
                writer.feedback(f"{1:032x}", "running", START)
            else:
                writer.flush()
            ended = True
        except Killed:
            ended = False
        kill_at(None)
        found = numbers(CaptureStore(folder))
        assert {2} <= set(found) <= {1, 2, 3}
        assert len(CaptureStore(folder).feedback()) <= 1
        assert not CaptureStore(folder)._damaged()
        if ended:
            assert found == {"delete": [2], "feedback": [1, 2], "flush": [1, 2, 3]}[what]
            break
    assert ended
    assert step > 2


def test_what_killed_processes_left_is_removed_when_it_is_old(tmp_path):
    capture(tmp_path, [[prediction(1, image=b"kept")]], images=True)
    (image,) = (tmp_path / "images").rglob("*.jpg")
    stray = image.with_name("0" * 64 + ".jpg")
    old = [stray, tmp_path / "predictions" / ".x.parquet.1.aa.partial", image.with_name(".y.jpg.1.aa.partial")]
    young = [path.with_name(path.name.replace("0", "1").replace(".aa", ".bb")) for path in old]
    for path in [*old, *young, image]:
        path.touch()
    for path in [*old, image]:
        os.utime(path, (time.time() - 7200,) * 2)
    CaptureStore(tmp_path).compact()
    assert [path.exists() for path in old] == [False] * 3
    assert [path.exists() for path in young] == [True] * 3
    assert image.exists()


def test_readers_see_every_row_once_while_others_write_and_merge(tmp_path):
    store = CaptureStore(tmp_path)
    written, over, problems, reads = [0], threading.Event(), [], [0]

    def read() -> None:
        while not over.is_set():
            least = written[0]
            found = numbers(store)
            if len(found) != len(set(found)) or not set(range(least)) <= set(found):
                problems.append((least, found))
            reads[0] += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    writer = CaptureWriter(tmp_path, still())
    for number in range(30):
        writer.record(prediction(number))
        writer.flush()
        written[0] = number + 1
        if number % 3 == 2:
            compaction.compact(tmp_path, 10)
    over.set()
    for reader in readers:
        reader.join()
    writer.close()
    assert not problems
    assert reads[0] > 2


def test_files_that_are_merged_under_a_reader_are_read_once(tmp_path):
    capture(tmp_path, [map(prediction, range(3 * start, 3 * start + 3)) for start in range(4)])
    store = CaptureStore(tmp_path)
    tables = store.batches(columns=("id",))
    found = next(tables).column("id").to_pylist()
    store.compact()
    found += [one for table in tables for one in table.column("id").to_pylist()]
    assert sorted(int(one, 16) for one in found) == list(range(12))


def test_files_that_are_merged_while_they_are_listed_are_not_overlooked(tmp_path, monkeypatch):
    """A folder's listing may hold neither the files that were removed nor the one that was made meanwhile."""
    capture(tmp_path, [[prediction(number)] for number in range(3)])
    real, calls = layout.names_in, []

    def listing(folder, kind):
        if kind == layout.PREDICTIONS and not calls:
            calls.append(kind)
            seen = real(folder, kind)
            compaction.compact(folder)
            return [name for name in seen if (folder / name).exists()]
        return real(folder, kind)

    monkeypatch.setattr(layout, "names_in", listing)
    assert numbers(CaptureStore(tmp_path)) == [0, 1, 2]


def test_one_process_at_a_time_merges(tmp_path):
    from clip_har.errors import DataError
    from clip_har.storage import exclusive

    capture(tmp_path, [[prediction(1)], [prediction(2)]])
    with exclusive(tmp_path / layout.LOCK):
        assert not compaction.compact(tmp_path, wait=None)
        with pytest.raises(DataError, match="Another process"):
            compaction.compact(tmp_path, wait=0.0)
        assert numbers(CaptureStore(tmp_path)) == [1, 2]
    assert compaction.compact(tmp_path, wait=None)
