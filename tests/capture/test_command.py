"""`clip-har capture`: what people do by hand."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime

import numpy as np
import pyarrow.parquet as pq
import pytest

from clip_har.capture import CaptureStore, CaptureWriter
from clip_har.cli import main
from tests.capture.captured import START, capture, numbers, prediction, still


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "workspace" / "capture"
    rows = [prediction(number, image=b"picture %d" % number) for number in range(30)]
    rows += [
        prediction(40, labels=("eating",), scores=(0.9,), model_id="b" * 64, abstained=True),
        prediction(41, labels=(), scores=(), probabilities=None, embedding=np.zeros(0), error="truncated"),
    ]
    capture(folder, [rows], images=True)
    writer = CaptureWriter(folder, still())
    writer.feedback(f"{40:032x}", "ea\x1b[31mting", START + 50, "camera")
    writer.close()
    return tmp_path / "workspace"


def _run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["capture", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_list_prints_the_newest_first(workspace, capsys):
    code, said, _ = _run(capsys, "list", "--workspace", workspace, "--most", 3)
    lines = said.splitlines()
    assert code == 0
    assert [line.split()[2].lstrip("0") for line in lines[1:4]] == ["29", "28", "1d"]
    assert "(truncated)" in lines[1]
    assert "eating (abstained)" in lines[2]
    assert "\x1b" not in said  # labels come from strangers, and a terminal obeys
    assert lines[-1] == "32 predictions, the newest 3 of them shown."
    code, said, _ = _run(capsys, "list", "--folder", workspace / "capture", "--label", "eating", "--model", "bbb")
    assert said.splitlines()[-1] == "1 predictions."
    since = datetime.fromtimestamp(START + 28, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    until = datetime.fromtimestamp(START + 30, UTC).isoformat()
    code, said, _ = _run(capsys, "list", "--workspace", workspace, "--since", since, "--until", until)
    assert said.splitlines()[-1] == "2 predictions."
    code, said, _ = _run(capsys, "list", "--workspace", workspace, "--label", "flying")
    assert (code, said) == (0, "No prediction is captured that fits.\n")


def test_show_tells_all_of_one_prediction_and_counts_without_one(workspace, capsys):
    code, said, _ = _run(capsys, "show", f"{3:032x}", "--workspace", workspace)
    assert code == 0
    assert "embedding:       4 numbers" in said
    assert "labels:          running, sitting, eating" in said
    code, said, _ = _run(capsys, "show", f"{40:032x}", "--workspace", workspace, "--json")
    facts = json.loads(said)
    assert facts["feedback_caller"] == "camera"
    assert facts["embedding"] == [40.0] * 4
    assert facts["contrast"] is None
    assert facts["time"] == datetime.fromtimestamp(START + 40, UTC).isoformat()
    code, said, _ = _run(capsys, "show", "--workspace", workspace, "--json")
    assert json.loads(said)["predictions"] == 32
    code, said, _ = _run(capsys, "show", "--workspace", workspace)
    assert "       31  " + "a" * 64 in said


def test_delete_and_compact_take_rows_from_reads_and_from_the_disk(workspace, capsys):
    store = CaptureStore(workspace / "capture")
    code, said, _ = _run(capsys, "delete", f"{3:032x}", f"{3:032x}", "unknown", "--workspace", workspace)
    assert code == 0
    assert "1 predictions deleted. 1 of the ids are not here" in said
    assert 3 not in numbers(store)
    code, said, _ = _run(capsys, "compact", "--workspace", workspace)
    assert code == 0
    found = [pq.read_metadata(file).num_rows for file in (workspace / "capture" / "predictions").iterdir()]
    assert sum(found) == 31
    code, said, _ = _run(capsys, "delete", "--older-than", 0, "--workspace", workspace)
    assert "31 predictions deleted." in said
    assert numbers(store) == []


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_export_gives_rows_feedback_and_images(workspace, capsys, tmp_path, ending):
    target = tmp_path / "out" / f"rows.{ending}"
    arguments = ["export", "--workspace", workspace, "--output", target, "--images", tmp_path / "images"]
    code, said, _ = _run(capsys, *arguments)
    assert (code, said) == (0, f"32 predictions: {target}\n")
    if ending == "parquet":
        rows = pq.read_table(target).to_pylist()
    elif ending == "jsonl":
        rows = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        rows = list(csv.DictReader(target.open(newline="")))
    rows = {int(row["id"], 16): row for row in rows}
    assert len(rows) == 32
    assert rows[40]["feedback_label"] == "ea\x1b[31mting"
    assert not rows[1]["feedback_label"]
    labels = rows[1]["labels"]
    assert (json.loads(labels) if ending == "csv" else labels) == ["running", "sitting", "eating"]
    if ending != "csv":
        assert rows[7]["embedding"] == [7.0] * 4
        assert rows[41]["embedding"] is None
    assert (tmp_path / "images" / rows[5]["image"]).read_bytes() == b"picture 5"
    assert len(list((tmp_path / "images").iterdir())) == 30
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_an_export_of_nothing_is_a_file_without_rows(workspace, capsys, tmp_path):
    for ending in ("parquet", "csv", "jsonl"):
        target = tmp_path / f"rows.{ending}"
        code, said, _ = _run(capsys, "export", "--workspace", workspace, "--output", target, "--since", "1m")
        assert (code, said) == (0, f"0 predictions: {target}\n")
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["list", "--folder", "none"], "--folder: nothing has been captured in 'none'"),
        (["list", "--workspace", "none"], "nothing has been captured in 'none/capture'"),
        (["list", "--since", "yesterday"], "--since: 'yesterday' is neither a time"),
        (["list", "--until", "99999999999d"], "--until: '99999999999d' is neither"),
        (["list", "--model", "c"], "--model: 0 captured models begin with 'c'. There are: aaaaaaaaaaaa, bbbbbbbbbbbb"),
        (["list", "--most", "0"], "--most: a number from 1 is wanted"),
        (["show", "unknown"], "No prediction 'unknown' is in"),
        (["delete"], "Either ids or --older-than DAYS is wanted"),
        (["delete", "1", "--older-than", "1"], "Either ids or --older-than DAYS is wanted"),
        (["delete", "--older-than", "-1"], "An age in days is wanted"),
        (["export", "--output", "rows.txt"], "a name that ends with .parquet, .csv, .jsonl is wanted"),
        (["export", "--output", "folder.csv"], "A file for rows and a folder for images are wanted"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_mistakes_are_told(workspace, capsys, monkeypatch, arguments, told):
    monkeypatch.chdir(workspace.parent)
    (workspace.parent / "folder.csv").mkdir()
    code, _, said = _run(capsys, *arguments)
    assert code == 2
    assert said.startswith("error: ")
    assert told in said
