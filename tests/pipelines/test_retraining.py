"""What follows a decision: the exit code, the data with labels in them, and when nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from clip_har.config import RunConfig, load_config
from clip_har.data.sources.folder import FolderSourceConfig
from clip_har.errors import ConfigError, DataError
from clip_har.labelling.labelled import LabelledStore
from clip_har.monitoring.history import History, Retraining
from clip_har.monitoring.labels import LabelsAtHand
from clip_har.monitoring.report import Decided
from clip_har.runs import read_record
from pipelines.retraining import exit_code, retrain, with_labelled
from tests.command import PROJECT
from tests.monitoring.reports import drift_report
from tests.tiny_models import colour_photos


def config(tmp_path: Path, *overrides: str) -> RunConfig:
    places = (f"workspace.path={tmp_path / 'workspace'}", f"paths.outputs={tmp_path / 'outputs'}")
    return load_config(PROJECT / "configs" / "sample.yaml", (*places, *overrides))


def published(tmp_path: Path, state: str = "retrain", *, new: int = 0) -> Path:
    """The folder of a run of `monitor`, as far as what follows looks at it; the history has it too."""
    folder = tmp_path / "outputs" / "run-1"
    folder.mkdir(parents=True)
    config_ = config(tmp_path)
    report = History(config_.workspace.path).decide(
        "run-1", drift_report(alarm=state != "ok"), config_.monitor.decision
    )
    report = report.model_copy(update={"decided": Decided(state=state)})
    (folder / "drift_report.json").write_text(report.model_dump_json())
    labels = LabelsAtHand(new=new, wanted=20, said=("Labels are missing.",))
    monitor = {"decided": {"state": state}, "labels": labels.model_dump(), "retraining": None, "alert": None}
    (folder / "run.json").write_text(json.dumps({"name": "run-1", "run": "run-1", "monitor": monitor}))
    return folder


def never(*_: object) -> Path:
    raise AssertionError("nothing is to be run")


@pytest.mark.parametrize(
    ("state", "exit_on", "outcome", "code"),
    [
        ("ok", "watch", None, 0),
        ("watch", "retrain", None, 0),
        ("watch", "watch", None, 3),
        ("retrain", "watch", None, 3),
        ("retrain", "retrain", None, 3),
        ("retrain", "retrain", "kept", 3),
        ("retrain", "retrain", "labels wanted", 3),
        ("retrain", "retrain", "promoted", 0),
        ("retrain", "never", None, 0),
    ],
)
def test_the_exit_code(tmp_path: Path, state: str, exit_on: str, outcome: str | None, code: int) -> None:
    folder = published(tmp_path, state)
    if outcome is not None:
        record = json.loads((folder / "run.json").read_text())
        record["monitor"]["retraining"] = Retraining(outcome=outcome).model_dump()
        (folder / "run.json").write_text(json.dumps(record))
    assert exit_code(folder, config(tmp_path, f"monitor.alert.exit_on={exit_on}")) == code


def test_the_exit_code_of_a_run_that_was_published_elsewhere(tmp_path: Path) -> None:
    assert exit_code(tmp_path / "not-here", config(tmp_path)) == 0


@pytest.mark.parametrize(
    ("state", "retraining"), [("ok", "auto"), ("watch", "auto"), ("retrain", "never"), ("ok", "never")]
)
def test_nothing_follows_where_it_is_not_asked_for(tmp_path: Path, state: str, retraining: str) -> None:
    folder = published(tmp_path, state, new=100)
    before = (folder / "run.json").read_text()
    assert retrain(folder, config(tmp_path, f"monitor.retrain={retraining}"), never) is None
    assert (folder / "run.json").read_text() == before


def test_too_few_labels(tmp_path: Path) -> None:
    folder = published(tmp_path, new=19)
    done = retrain(folder, config(tmp_path), never)
    assert (done.outcome, done.labels, done.wanted, done.said) == ("labels wanted", 19, 20, ("Labels are missing.",))
    assert read_record(folder)["monitor"]["retraining"]["outcome"] == "labels wanted"
    assert History(config(tmp_path).workspace.path).rows()[0].retraining == done


def test_a_version_that_is_named_cannot_get_new_labels(tmp_path: Path) -> None:
    folder = published(tmp_path, new=100)
    done = retrain(folder, config(tmp_path, "data.version=v1"), never)
    assert done.outcome == "not possible"
    assert "data.version names 'v1'" in done.said[0]
    assert "--set data.version=workspace" in done.said[0]


def test_a_training_that_fails_is_written_down_and_raised(tmp_path: Path) -> None:
    folder = published(tmp_path, new=100)

    def fails(pipeline: str, _: RunConfig) -> Path:
        raise DataError("There is no space left.")

    photos = colour_photos(tmp_path / "photos", ("running", "sitting"), 3)
    data = FolderSourceConfig(path=str(photos))
    own = config(tmp_path).model_copy(update={"data": data})
    with pytest.raises(DataError, match="no space"):
        retrain(folder, own, fails)
    done = History(own.workspace.path).rows()[0].retraining
    assert done.outcome == "failed"
    assert "There is no space left." in done.said[0]


def test_labelled_pictures_become_a_part_of_the_data(tmp_path: Path) -> None:
    own = config(tmp_path, "data.version=workspace")
    assert with_labelled(own) is own, "there are none yet"
    store = LabelledStore.of(own.workspace.path)
    store.add(b"a picture", "running", "feedback")
    combined = with_labelled(own).data
    assert [part.source for part in combined.parts] == ["samples", "csv"]
    assert combined.parts[1].path == str(store.folder)
    again = with_labelled(own.model_copy(update={"data": combined})).data
    assert again == combined, "it is in already"


def test_what_must_be_there_for_always(tmp_path: Path) -> None:
    from pipelines.monitoring_checks import check_monitoring

    (tmp_path / "workspace" / "capture").mkdir(parents=True)
    own = config(tmp_path, "monitor.checks=[brigtness]")
    with pytest.raises(ConfigError, match="Did you mean 'brightness'"):
        check_monitoring(own, None)
