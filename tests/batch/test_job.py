"""Batch jobs: every image a row, the same rows whatever happened on the way, in every format."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_har.batch.filling import Filler
from clip_har.batch.job import FinishedJob, check_batch
from clip_har.batch.parts import PartStore
from clip_har.batch.publishing import finish, write_result
from clip_har.batch.table import COLUMNS
from clip_har.errors import ConfigError, DataError
from clip_har.hashing import sha256_bytes
from clip_har.inference.predictor import Predictor
from clip_har.models.bundle import ModelBundle
from tests.batch.conftest import COMPUTE, Recognise, batch_config, jpeg, pictures


def table_of(job: FinishedJob) -> pa.Table:
    return pa.concat_tables(PartStore(job.url).tables())


def test_rows_say_what_the_predictor_says(recognise: Recognise, bundle: ModelBundle, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 20)
    table = table_of(recognise(batch_config(folder, top_k=3)))
    assert tuple(table.column_names) == COLUMNS
    paths = [folder / name for name in sorted(path.relative_to(folder) for path in folder.rglob("*.jpg"))]
    rows = {row["path"]: row for row in table.to_pylist()}
    assert len(rows) == len(paths) == 20
    answers = Predictor.load(bundle, "onnx", device="cpu", batch_size=8, threads=1).predict(paths, top_k=3)
    for path, answer in zip(paths, answers, strict=True):
        row = rows[str(path)]
        assert (row["label"], tuple(row["labels"]), tuple(row["label_set"])) == (
            answer.label,
            answer.labels,
            answer.label_set,
        )
        assert row["scores"] == pytest.approx(answer.scores, abs=1e-6)
        assert row["score"] == row["scores"][0]
        assert row["sha256"] == sha256_bytes(path.read_bytes())
        assert (row["width"], row["height"], row["abstained"], row["error"]) == (48, 40, answer.abstained, None)


def test_bad_files_are_rows(recognise: Recognise, tmp_path: Path) -> None:
    """500 bad files among 1,000 good ones: 1,500 rows."""
    folder = pictures(tmp_path / "p", 1000)
    good = jpeg(0)
    kinds = {
        "empty_file": b"",
        "not_an_image": b"<html>no picture</html>",
        "truncated": good[: len(good) // 2],
        "too_many_bytes": good + bytes(100_000),
        "too_many_pixels": jpeg(1, (600, 400)),
    }
    for number in range(500):
        reason = list(kinds)[number % len(kinds)]
        (folder / f"{number * 2:05d}-{reason}.jpg").write_bytes(kinds[reason])
    config = batch_config(folder, part_rows=128, limits={"max_bytes": 100_000, "max_pixels": 100_000})
    table = table_of(recognise(config))
    assert len(table) == 1500
    rows = table.to_pylist()
    bad = [row for row in rows if row["error"] is not None]
    assert len(bad) == 500
    assert all(row["error"] in row["path"] and row["error_message"] for row in bad)
    assert all(row["label"] is None and row["scores"] is None and row["width"] is None for row in bad)
    assert all(row["label"] and row["width"] == 48 for row in rows if row["error"] is None)


def test_all_formats_say_the_same(recognise: Recognise, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 10)
    (folder / 'a "quoted", name\n.jpg').write_bytes(b"no picture")
    job = recognise(batch_config(folder))
    made = {
        kind: write_result(job, batch_config(folder, format=kind), tmp_path) for kind in ("parquet", "csv", "jsonl")
    }
    rows = pq.read_table(made["parquet"]).to_pylist()
    lines = [json.loads(line) for line in made["jsonl"].read_text().splitlines()]
    with open(made["csv"], newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(rows) == len(lines) == len(cells) == 11
    for row, line, cell in zip(rows, lines, cells, strict=True):
        assert pa.scalar(line["score"], pa.float32()).as_py() == row["score"]
        assert line | {"score": 0, "scores": 0} == row | {"score": 0, "scores": 0}
        assert cell["path"] == row["path"]
        assert cell["label"] == (row["label"] or "")
        assert (json.loads(cell["scores"]) if cell["scores"] else None) == line["scores"]
        assert cell["abstained"] == ("" if row["abstained"] is None else str(row["abstained"]).lower())


def _stop_after(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """End the run, as if by Ctrl-C, when so many rows are there."""
    fill = Filler.fill

    def stopped(self: Filler, first: int, count: int | None, filled: object) -> int:
        done = 0

        def counted(number: int) -> None:
            nonlocal done
            done += number
            if done >= rows:
                raise KeyboardInterrupt

        return fill(self, first, count, counted)

    monkeypatch.setattr(Filler, "fill", stopped)


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_a_stopped_job_goes_on(
    recognise: Recognise, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = pictures(tmp_path / "p", 60)
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "photos"), kind, source))
    expected = table_of(recognise(batch_config(source), workspace=tmp_path / "other"))
    with monkeypatch.context() as patch:
        _stop_after(patch, 40)
        with pytest.raises(KeyboardInterrupt):
            recognise(batch_config(source))
    said: list[str] = []
    job = recognise(batch_config(source), said)
    assert job.kept == 32
    assert said == ["Going on: 32 are done." if kind == "tar" else "Going on: 32 of 60 are done."]
    assert table_of(job).equals(expected)
    assert recognise(batch_config(source)).kept == 60  # nothing is left to do until it is published


def test_what_has_changed_is_begun_anew(
    recognise: Recognise, bundle: ModelBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pictures(tmp_path / "p", 30)
    other = tmp_path / "other-bundle"
    shutil.copytree(bundle.path, other)
    monkeypatch.setattr(ModelBundle, "model_id", property(lambda self: f"model of {self.path}"))
    recognise(batch_config(folder, runtime="torch"))
    changes = {
        "settings": lambda: recognise(batch_config(folder, top_k=1, runtime="torch"), said),
        "the model": lambda: recognise(
            batch_config(folder, top_k=1, runtime="torch"), said, bundle=ModelBundle.load(other)
        ),
        "the source": lambda: recognise(batch_config(folder, top_k=1, runtime="torch"), said),
    }
    for what, again in changes.items():
        said: list[str] = []
        if what == "the source":
            (folder / "00001.jpg").write_bytes(jpeg(999))
        job = again()
        assert job.kept == 0
        assert what in said[0]
        assert said[0].startswith("Starting anew")
    assert table_of(job).to_pylist()[0]["sha256"] == sha256_bytes(jpeg(999))


def test_a_damaged_part_is_made_again(recognise: Recognise, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 60)
    job = recognise(batch_config(folder))
    expected = table_of(job)
    (Path(job.url) / "part-000001.parquet").write_bytes(b"PAR1 but no more")
    again = recognise(batch_config(folder))
    assert again.kept == 44
    assert table_of(again).equals(expected)


def test_a_table_in_parts_goes_where_it_is_wanted(recognise: Recognise, tmp_path: Path) -> None:
    folder, wanted = pictures(tmp_path / "p", 40), tmp_path / "wanted"
    expected = table_of(recognise(batch_config(folder))).to_pylist()
    for url in (str(wanted), f"file://{wanted}"):
        job = recognise(batch_config(folder, output=url))
        finish(job, batch_config(folder, output=url))
        assert sorted(path.name for path in wanted.glob("part*")) == [f"part-00000{n}.parquet" for n in range(3)]
        assert pq.read_table(wanted).to_pylist() == expected  # as any reader of such tables does
        shutil.rmtree(wanted)
    config = batch_config(folder, output=str(wanted), format="jsonl")
    finish(recognise(config), config)
    assert sorted(path.suffix for path in wanted.glob("part*")) == [".jsonl"] * 3
    finish(recognise(config), config)  # again, over what is finished
    lines = [json.loads(line) for path in sorted(wanted.glob("part*")) for line in path.read_text().splitlines()]
    assert [line["path"] for line in lines] == [row["path"] for row in expected]


def test_a_table_in_parts_in_memory_of_fsspec(recognise: Recognise, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "p", 20)
    expected = table_of(recognise(batch_config(folder)))
    job = recognise(batch_config(folder, output="memory://clip-har/there"))
    assert table_of(job).equals(expected)


def test_parts_of_others_are_not_overwritten(recognise: Recognise, tmp_path: Path) -> None:
    folder, wanted = pictures(tmp_path / "p", 4), tmp_path / "wanted"
    wanted.mkdir()
    (wanted / "part-000000.parquet").write_bytes(b"of somebody else")
    with pytest.raises(DataError, match="which no unfinished job has left"):
        recognise(batch_config(folder, output=str(wanted)))
    assert (wanted / "part-000000.parquet").read_bytes() == b"of somebody else"


def test_a_source_that_holds_its_own_results_is_refused(recognise: Recognise, tmp_path: Path) -> None:
    pictures(tmp_path, 3)
    with pytest.raises(DataError, match="holds the place that results are written to"):
        recognise(batch_config(tmp_path))


def test_labels_of_the_callers_own(recognise: Recognise, tmp_path: Path) -> None:
    config = batch_config(pictures(tmp_path / "p", 5), labels=["running", "walking a dog"], top_k=1, runtime="torch")
    rows = table_of(recognise(config)).to_pylist()
    assert all(row["labels"] == [row["label"]] and row["label_set"] is None for row in rows)


def test_mistakes_are_found_before_anything_starts(tmp_path: Path, recognise: Recognise) -> None:
    with pytest.raises(ConfigError, match=r"--set batch\.source=FOLDER"):
        check_batch(batch_config(None))
    with pytest.raises(ConfigError, match="Did you mean 'local'"):
        batch_config("x", engine="locl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there is nothing in"):
        recognise(batch_config(tmp_path / "empty"))
    with pytest.raises(ConfigError, match=r"batch\.output"):
        check_batch(batch_config(pictures(tmp_path / "p", 1), output="nosuch://place"))


def test_the_predictor_is_given_what_the_job_says(recognise: Recognise, tmp_path: Path) -> None:
    job = recognise(batch_config(pictures(tmp_path / "p", 9), runtime="auto"))
    assert job.runtime in ("onnx", "torch")
    assert PartStore(job.url).manifest()["runtime"] == job.runtime
    assert PartStore(job.url).manifest()["asked"]["batch_size"] == COMPUTE.batch_size


@pytest.mark.slow
@pytest.mark.thorough
def test_ray_gives_the_rows_of_the_local_engine(recognise: Recognise, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    folder = pictures(tmp_path / "p", 100)
    (folder / "broken.jpg").write_bytes(b"no picture")
    expected = table_of(recognise(batch_config(folder)))
    config = batch_config(folder, engine="ray", ray={"cpus": 1}, output=f"file://{tmp_path / 'shared'}")
    job = recognise(config)
    assert job.kept == 0
    found = table_of(job)
    order = [("path", "ascending")]
    assert found.sort_by(order).to_pylist() == expected.sort_by(order).to_pylist()
    PartStore(job.url).remove(3)  # as if it had been killed
    again = recognise(config)
    assert again.kept == 101 - 16
    assert table_of(again).equals(found)
