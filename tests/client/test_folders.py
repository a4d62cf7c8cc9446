"""Many pictures, a few at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clip_har.client import AsyncClient, Client, ClientSettings, PictureResult, ServiceProblem
from clip_har.errors import ConfigError, ImageError
from tests.client.asking import BOTH, QUICK, Asker
from tests.client.stand_in import MODEL_ID, Handler, Server, predicted, problem

both = pytest.mark.parametrize("ask", BOTH)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures in two folders, and what is none."""
    for number in range(12):
        place = tmp_path / ("a" if number % 2 else "b")
        place.mkdir(exist_ok=True)
        (place / f"{number:02}.JPG").write_bytes(b"picture %d" % number)
    for name in ("a/notes.txt", "a/.hidden.jpg", "b/no suffix"):
        (tmp_path / name).write_bytes(b"none")
    return tmp_path


def judging(handler: Handler) -> None:
    """Refuses picture 4, and takes longer for picture 1."""
    body = handler.seen.body
    if b"picture 4" in body:
        problem(415, "not_an_image", field="images[0]")(handler)
    else:
        predicted(after=0.3 if b"picture 1\r" in body else 0.0)(handler)


@both
def test_a_folder_with_all_below_it_in_order(service: Server, ask: Asker, folder: Path):
    service.behaviours = [judging]
    said: list[tuple[int, int | None]] = []
    found = ask(service.url, "predict_files", folder, progress=lambda done, total: said.append((done, total)))
    assert [str(path.relative_to(folder)) for path, _ in found] == [
        *(f"a/{number:02}.JPG" for number in range(1, 12, 2)),
        *(f"b/{number:02}.JPG" for number in range(0, 12, 2)),
    ]
    bad = {path.name: outcome for path, outcome in found if not isinstance(outcome, PictureResult)}
    assert list(bad) == ["04.JPG"]
    assert isinstance(bad["04.JPG"], ServiceProblem)
    assert bad["04.JPG"].code == "not_an_image"
    good = found[0][1]
    assert (good.label, good.model_id, len(good.request_id)) == ("running", MODEL_ID, 32)
    assert said == [(number, 12) for number in range(1, 13)]


@both
def test_as_they_are_ready(service: Server, ask: Asker, folder: Path):
    service.behaviours = [judging]
    found = [path.name for path, _ in ask(service.url, "predict_files", folder, ordered=False, concurrency=3)]
    assert sorted(found) == [f"{number:02}.JPG" for number in range(12)]
    assert found[0] != "01.JPG"  # which is the first, and slow


@both
@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_more_at_one_time_than_allowed(service: Server, ask: Asker, folder: Path, concurrency: int):
    service.behaviours = [predicted(after=0.05)]
    ask(service.url, "predict_files", folder, concurrency=concurrency)
    assert service.most_at_once == concurrency


def endless(path: Path, taken: list[int]) -> Iterator[Path]:
    while True:
        taken.append(1)
        yield path


def test_paths_without_end_are_taken_as_they_are_needed(service: Server, folder: Path):
    taken: list[int] = []
    with Client(service.url, settings=ClientSettings(**QUICK)) as client:
        answers = client.predict_files(endless(folder / "a/01.JPG", taken), concurrency=3)
        for number, _ in enumerate(answers, start=1):
            assert len(taken) <= number + 3
            if number == 20:
                break


def test_paths_without_end_from_an_event_loop(service: Server, folder: Path):
    async def ask() -> None:
        taken: list[int] = []
        async with AsyncClient(service.url, settings=ClientSettings(**QUICK)) as client:
            answers = client.predict_files(endless(folder / "a/01.JPG", taken), concurrency=3)
            number = 0
            async for _ in answers:
                number += 1
                assert len(taken) <= number + 3
                if number == 20:
                    break
            await answers.aclose()
            assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    asyncio.run(ask())


@both
def test_files_that_are_not_there_stop_nothing(service: Server, ask: Asker, folder: Path):
    found = ask(service.url, "predict_files", [folder / "gone.jpg", str(folder / "a/01.JPG"), folder / "a"])
    kinds = [type(outcome) for _, outcome in found]
    assert kinds == [ImageError, PictureResult, ImageError]
    assert found[0][1].reason == "missing_file"


@both
def test_a_file_that_is_too_large_is_not_read(service: Server, ask: Asker, folder: Path):
    [(_, outcome)] = ask(service.url, "predict_files", folder / "a/01.JPG", settings={"max_picture_bytes": 3})
    assert outcome.reason == "too_many_bytes"
    assert not service.seen


@both
@pytest.mark.parametrize(
    "refusal",
    [problem(401, "unauthorized"), problem(422, "unprocessable", field="labels"), problem(404, "not_found")],
    ids=["no key", "labels that are lost", "no such path"],
)
def test_what_holds_for_all_pictures_ends_it(service: Server, ask: Asker, folder: Path, refusal):
    service.behaviours = [refusal]
    with pytest.raises(ServiceProblem):
        ask(service.url, "predict_files", folder, concurrency=2)
    assert len(service.seen) <= 3


@both
def test_a_service_that_goes_away_ends_it(ask: Asker, folder: Path):
    began = time.monotonic()
    with pytest.raises(ServiceProblem, match="No service"):
        ask("http://127.0.0.1:9", "predict_files", folder, settings={"tries": 1})
    assert time.monotonic() - began < 5


@both
def test_what_is_asked_is_checked_before_anything_is_sent(service: Server, ask: Asker, folder: Path):
    with pytest.raises(ConfigError, match="top_k"):
        ask(service.url, "predict_files", folder, top_k=0)
    with pytest.raises(ConfigError, match="concurrency"):
        ask(service.url, "predict_files", folder, concurrency=-1)
    assert not service.seen
