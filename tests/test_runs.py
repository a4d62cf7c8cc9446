"""Publishing: a run is there whole or not at all."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from clip_har.errors import DataError
from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
from clip_har.models.calibration import Calibration
from clip_har.models.head import TextHead
from clip_har.runs import latest_bundle, publish, read_record


@pytest.fixture
def bundle(tmp_path: Path) -> ModelBundle:
    """A bundle whose encoder is a single file."""
    info = BundleInfo(
        labels=("a", "b"),
        head="text",
        method="zero_shot",
        recipe={},
        backbone="tiny",
        backbone_hash="",
        encoder_hash="",
        data_hash="",
        data_revision="",
        config_hash="",
        open_vocabulary=OpenVocabulary(word="kept", basis="nothing was adapted"),
        metrics={},
    )
    return ModelBundle.create(
        tmp_path / "artifact" / "bundle",
        save_encoder=lambda folder: (folder / "config.json").write_text("{}"),
        info=info,
        head=TextHead(10.0),
        class_matrix=np.eye(2, 3, dtype=np.float32),
        prompts={},
        calibration=Calibration(temperature=1.0, split="calibration", samples=2, data_hash=""),
    )


def put(outputs: Path, bundle: ModelBundle | None, name: str = "train-1", **changes) -> Path:
    arguments = {"report": "<p>report</p>", "metrics": {"b": 0.5, "a": {"c": 1}}, "record": {"seconds": 3.5}}
    return publish(outputs, name, bundle=bundle, **(arguments | changes))


def test_a_run_has_its_four_parts(tmp_path: Path, bundle: ModelBundle) -> None:
    folder = put(tmp_path / "outputs", bundle)
    assert folder == tmp_path / "outputs" / "train-1"
    assert {path.name for path in folder.iterdir()} == {"bundle", "report.html", "metrics.json", "run.json"}
    assert ModelBundle.load(folder / "bundle").model_id == bundle.model_id
    assert (folder / "report.html").read_text() == "<p>report</p>"
    assert json.loads((folder / "metrics.json").read_text()) == {"a": {"c": 1}, "b": 0.5}
    assert read_record(folder) == {"seconds": 3.5, "run": "train-1"}


def test_a_second_run_of_the_same_name_gets_a_number(tmp_path: Path, bundle: ModelBundle) -> None:
    folders = [put(tmp_path, bundle, report=str(number)) for number in range(3)]
    assert [folder.name for folder in folders] == ["train-1", "train-1-2", "train-1-3"]
    assert [read_record(folder)["run"] for folder in folders] == [folder.name for folder in folders]
    assert [(folder / "report.html").read_text() for folder in folders] == ["0", "1", "2"]


def test_latest_follows_the_newest_and_moves_with_the_outputs(tmp_path: Path, bundle: ModelBundle) -> None:
    for name in ("first", "second"):
        folder = put(tmp_path / "outputs", bundle, name)
        assert (tmp_path / "outputs" / "latest").resolve() == folder.resolve()
        assert latest_bundle(tmp_path / "outputs") == (folder / "bundle").resolve()
    (tmp_path / "outputs").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "latest").resolve() == (tmp_path / "moved" / "second").resolve()
    assert latest_bundle(tmp_path / "moved") == (tmp_path / "moved" / "second" / "bundle").resolve()


def test_a_backbone_is_published_with_its_card_and_is_no_bundle(tmp_path: Path, bundle: ModelBundle) -> None:
    trained = put(tmp_path / "outputs", bundle, "2026-01-01-train")
    (tmp_path / "backbone").mkdir()
    (tmp_path / "backbone" / "config.json").write_text("{}")
    folder = put(tmp_path / "outputs", None, "2026-01-02-pretrain", backbone=tmp_path / "backbone", model_card="# A")
    assert {path.name for path in folder.iterdir()} == {"backbone", "report.html", "metrics.json", "run.json"}
    assert {path.name for path in (folder / "backbone").iterdir()} == {"config.json", "README.md"}
    assert (folder / "backbone" / "README.md").read_text() == "# A"
    assert (tmp_path / "outputs" / "latest").resolve() == folder.resolve()
    assert latest_bundle(tmp_path / "outputs") == (trained / "bundle").resolve()
    later = put(tmp_path / "outputs", bundle, "2026-01-03-train")
    put(tmp_path / "outputs", None, "2026-01-04-pretrain", backbone=tmp_path / "backbone")
    assert latest_bundle(tmp_path / "outputs") == (later / "bundle").resolve()


def test_no_run_yet_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no bundle yet.*run\.py --pipeline train.*--set bundle="):
        latest_bundle(tmp_path)


def _bundle_that_vanished(folder: Path, bundle: ModelBundle, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(bundle.path)
    put(folder, bundle, "second")


def _metrics_that_are_no_json(folder: Path, bundle: ModelBundle, patch: pytest.MonkeyPatch) -> None:
    put(folder, bundle, "second", metrics={"accuracy": math.nan})


def _full_disk(folder: Path, bundle: ModelBundle, patch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(28, "No space left on device")

    patch.setattr(os, "fsync", fsync)
    put(folder, bundle, "second")


def _interrupted(folder: Path, bundle: ModelBundle, patch: pytest.MonkeyPatch) -> None:
    def copytree(source: Path, target: Path, **_: object) -> None:
        (target / "clip_har").mkdir(parents=True)
        (target / "config.json").write_text("half")
        raise KeyboardInterrupt

    patch.setattr(shutil, "copytree", copytree)
    put(folder, bundle, "second")


@pytest.mark.parametrize("fail", [_bundle_that_vanished, _metrics_that_are_no_json, _full_disk, _interrupted])
def test_a_failure_leaves_nothing_half_written(tmp_path: Path, bundle: ModelBundle, fail) -> None:
    outputs = tmp_path / "outputs"
    first = put(outputs, bundle, "first")
    before = {path.name: path.lstat().st_mtime_ns for path in outputs.rglob("*") if path.is_file()}
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises((OSError, ValueError, KeyboardInterrupt, shutil.Error)),
    ):
        fail(outputs, bundle, patch)
    assert {path.name for path in outputs.iterdir()} == {"first", "latest"}
    assert {path.name: path.lstat().st_mtime_ns for path in outputs.rglob("*") if path.is_file()} == before
    assert latest_bundle(outputs) == (first / "bundle").resolve()
    assert ModelBundle.load(first / "bundle").labels == ("a", "b")


def test_equal_runs_give_equal_bytes(tmp_path: Path, bundle: ModelBundle) -> None:
    first = put(tmp_path, bundle, metrics={"a": 1.0, "b": 2.0}, record={"seconds": 1})
    second = put(tmp_path, bundle, metrics={"b": 2.0, "a": 1.0}, record={"seconds": 2})
    assert (first / "metrics.json").read_bytes() == (second / "metrics.json").read_bytes()


def test_a_published_bundle_is_linked_and_both_are_whole(tmp_path: Path, bundle: ModelBundle) -> None:
    outputs = tmp_path / "outputs"
    first = put(outputs, bundle, "train")
    assert not os.path.samefile(first / "bundle" / "config.json", bundle.path / "config.json")
    second = put(outputs, ModelBundle.load(first / "bundle"), "evaluate")
    assert os.path.samefile(first / "bundle" / "config.json", second / "bundle" / "config.json")
    made = ModelBundle.load(second / "bundle").attach("reports", lambda folder: (folder / "a.txt").write_text("a"))
    assert made.is_dir()
    assert not (first / "bundle" / "attachments").exists()
    shutil.rmtree(first)
    assert ModelBundle.load(second / "bundle").model_id == bundle.model_id


def test_a_fixed_folder_is_replaced_as_a_whole(tmp_path: Path, bundle: ModelBundle) -> None:
    fixed = tmp_path / "dvc" / "train"
    first = put(
        tmp_path / "outputs", bundle, "one", fixed=fixed, files={"plots/a.csv": "a\n1\n", "version.json": b"{}"}
    )
    assert first == fixed
    assert (fixed / "plots" / "a.csv").read_text() == "a\n1\n"
    second = put(tmp_path / "outputs", None, "two", fixed=str(fixed), report="second")
    assert second == fixed
    assert {path.name for path in fixed.iterdir()} == {"report.html", "metrics.json", "run.json"}
    assert read_record(fixed)["run"] == "two"
    assert (tmp_path / "outputs" / "latest").resolve() == fixed.resolve()
    assert [path.name for path in fixed.parent.iterdir()] == ["train"]


def test_what_a_killed_run_left_beside_a_fixed_folder_is_in_nobodys_way(tmp_path: Path, bundle: ModelBundle) -> None:
    fixed = tmp_path / "train"
    for name in (".train.new", ".train.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("")
    put(tmp_path / "outputs", bundle, fixed=fixed)
    put(tmp_path / "outputs", bundle, fixed=fixed)
    assert {path.name for path in tmp_path.iterdir()} == {"artifact", "outputs", "train"}


def test_a_failure_leaves_the_fixed_folder_as_it_was(tmp_path: Path, bundle: ModelBundle) -> None:
    fixed = put(tmp_path / "outputs", bundle, fixed=tmp_path / "train", report="first")
    with pytest.raises(ValueError, match="JSON"):
        put(tmp_path / "outputs", bundle, fixed=tmp_path / "train", report="second", metrics={"a": math.nan})
    assert (fixed / "report.html").read_text() == "first"
