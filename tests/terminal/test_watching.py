"""Pictures that come into a folder: half-written, replaced, renamed, gone; and a service that is away for a while."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from clip_har.client import Outcome, PictureResult, ServiceProblem
from clip_har.errors import ImageError
from clip_har.terminal.printing import JsonLines
from clip_har.terminal.watch import Watcher
from clip_har.terminal.watching import FolderWatch
from tests.client.stand_in import MODEL_ID, prediction


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(tmp_path: Path, clock: Clock) -> FolderWatch:
    """Half a second to settle, ten to be patient; what is there at first is known."""
    (tmp_path / "old.jpg").write_bytes(b"old")
    found = FolderWatch(tmp_path, settle_seconds=0.5, patience_seconds=10, clock=clock)
    assert found.look() == []
    return found


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_a_new_picture_is_given_once_when_it_has_settled(watch: FolderWatch, clock: Clock, tmp_path: Path):
    (tmp_path / "new.jpg").write_bytes(b"new")
    assert watch.look() == []
    clock.now = 0.6
    assert names(watch.look()) == ["new.jpg"]
    clock.now = 60
    assert watch.look() == []


def test_one_that_is_still_written_is_waited_for(watch: FolderWatch, clock: Clock, tmp_path: Path):
    for step in range(10):
        with open(tmp_path / "new.jpg", "ab") as file:
            file.write(b"more")
        clock.now = step * 0.4
        assert watch.look() == []
    clock.now += 0.6
    assert names(watch.look()) == ["new.jpg"]


def test_what_is_replaced_is_new_again(watch: FolderWatch, clock: Clock, tmp_path: Path):
    (tmp_path / "other").write_bytes(b"odl")  # as long as the old one
    times = (tmp_path / "old.jpg").stat()
    os.utime(tmp_path / "other", ns=(times.st_atime_ns, times.st_mtime_ns))  # and as old
    os.replace(tmp_path / "other", tmp_path / "old.jpg")
    watch.look()
    clock.now = 1
    assert names(watch.look()) == ["old.jpg"]


def test_renaming_into_place_works_and_hidden_files_are_left_alone(watch: FolderWatch, clock: Clock, tmp_path: Path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / ".new.jpg.partial").write_bytes(b"half")
    (tmp_path / ".hidden.jpg").write_bytes(b"half")
    (tmp_path / "notes.txt").write_bytes(b"text")
    watch.look()
    clock.now = 1
    assert watch.look() == []
    os.replace(tmp_path / "below" / ".new.jpg.partial", tmp_path / "below" / "new.JPG")
    watch.look()
    clock.now = 2
    assert names(watch.look()) == ["new.JPG"]


def test_one_that_stopped_half_way_is_given_again_when_it_goes_on(watch: FolderWatch, clock: Clock, tmp_path: Path):
    path = tmp_path / "new.jpg"
    path.write_bytes(b"half")
    watch.look()
    clock.now = 1
    assert watch.look() == [path]
    assert watch.not_whole(path)
    clock.now = 5
    assert watch.look() == []
    path.write_bytes(b"half and half")
    watch.look()
    clock.now = 6
    assert watch.look() == [path]


def test_patience_ends(watch: FolderWatch, clock: Clock, tmp_path: Path):
    path, empty = tmp_path / "new.jpg", tmp_path / "empty.jpg"
    path.write_bytes(b"half")
    empty.touch()
    watch.look()
    clock.now = 1
    assert watch.look() == [path]
    assert watch.not_whole(path)
    clock.now = 11
    assert sorted(watch.look()) == [empty, path]
    assert not watch.not_whole(path)
    assert not watch.not_whole(empty)
    clock.now = 100
    assert watch.look() == []


def test_nothing_is_kept_of_what_is_gone(watch: FolderWatch, clock: Clock, tmp_path: Path):
    for number in range(50):
        (tmp_path / "passing.jpg").write_bytes(b"%d" % number)
        watch.look()
        (tmp_path / "passing.jpg").unlink()
        watch.look()
    assert len(watch._files or {}) == 1
    assert not watch.not_whole(tmp_path / "passing.jpg")


def test_a_folder_that_is_away_for_a_while_is_not_new(watch: FolderWatch, clock: Clock, tmp_path: Path):
    shutil.move(tmp_path, f"{tmp_path}.away")
    with pytest.raises(OSError, match="No such"):
        watch.look()
    shutil.move(f"{tmp_path}.away", tmp_path)
    watch.look()
    clock.now = 5
    assert watch.look() == []


def test_those_that_are_there_already_if_they_are_wanted(tmp_path: Path, clock: Clock):
    (tmp_path / "old.jpg").write_bytes(b"old")
    watch = FolderWatch(tmp_path, existing=True, clock=clock)
    watch.look()
    clock.now = 1
    assert names(watch.look()) == ["old.jpg"]


class Answers:
    """Says what it is told to, by the file's content."""

    about = "Somebody."

    def __init__(self) -> None:
        self.trouble: ServiceProblem | None = None
        self.asked: list[str] = []

    def outcomes(self, paths: Iterable[Path]) -> Iterator[tuple[Path, Outcome]]:
        for path in paths:
            self.asked.append(path.name)
            if self.trouble is not None and self.trouble.status is None:
                raise self.trouble
            yield path, self.trouble or self.outcome(path)

    def outcome(self, path: Path) -> Outcome:
        if not path.exists():
            return ImageError("missing_file", "gone")
        if path.read_bytes() == b"half":
            return ServiceProblem("It ends too early.", status=422, code="truncated", field="images[0]")
        return PictureResult(**prediction(), model_id=MODEL_ID, request_id="r")

    def one(self, picture: bytes) -> Outcome:
        raise NotImplementedError

    def close(self) -> None: ...


@pytest.fixture
def watcher(watch: FolderWatch) -> Watcher:
    return Watcher(watch, Answers(), JsonLines())


def lines(capsys: pytest.CaptureFixture) -> tuple[list[dict], str]:
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_what_comes_is_answered(watcher: Watcher, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "a.jpg").write_bytes(b"whole")
    (tmp_path / "b.jpg").write_bytes(b"half")
    watcher.once()
    clock.now = 1
    watcher.once()
    found, _ = lines(capsys)
    assert [(Path(line["path"]).name, line["label"]) for line in found] == [("a.jpg", "running")]
    (tmp_path / "b.jpg").write_bytes(b"whole now")
    watcher.once()
    clock.now = 2
    watcher.once()
    assert [Path(line["path"]).name for line in lines(capsys)[0]] == ["b.jpg"]


def test_what_stays_half_is_reported_once(
    watcher: Watcher, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture
):
    (tmp_path / "b.jpg").write_bytes(b"half")
    for clock.now in (0.0, 1.0, 2.0, 9.0):
        watcher.once()
    assert lines(capsys)[0] == []
    for clock.now in (11.0, 12.0, 30.0):
        watcher.once()
    [line] = lines(capsys)[0]
    assert line["error"]["code"] == "truncated"


@pytest.mark.parametrize("status", [None, 503, 429])
def test_a_service_that_is_away_is_waited_for(
    watcher: Watcher, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture, status: int | None
):
    answers = watcher._recogniser
    answers.trouble = ServiceProblem("No service answers.", status=status, code="x")
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(b"whole")
    for clock.now in (0.0, 1.0, 2.0, 3.0):
        watcher.once()
    found, said = lines(capsys)
    assert found == []
    assert said == "No service answers. Trying again.\n"  # once
    assert watcher._pause > 1
    answers.trouble = None
    watcher.once()
    assert sorted(Path(line["path"]).name for line in lines(capsys)[0]) == ["a.jpg", "b.jpg"]
    assert watcher._pause == 0


def test_a_mistake_ends_it(watcher: Watcher, clock: Clock, tmp_path: Path):
    class Unauthorised(Answers):
        def outcomes(self, paths):
            for _ in paths:
                raise ServiceProblem("A key is wanted.", status=401, code="unauthorized")
            yield from ()

    watcher._recogniser = Unauthorised()
    (tmp_path / "a.jpg").write_bytes(b"whole")
    watcher.once()
    clock.now = 1
    with pytest.raises(ServiceProblem, match="key"):
        watcher.once()


def test_a_folder_that_is_away_is_said_once(watcher: Watcher, tmp_path: Path, capsys: pytest.CaptureFixture):
    shutil.move(tmp_path, f"{tmp_path}.away")
    watcher.once()
    watcher.once()
    assert lines(capsys)[1].count("cannot be read") == 1
