"""A search in the pipeline: what it finds is what is fitted, bundled, shown and tracked; killed, it goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from clip_har.tracking.replay import journals, replay
from tests.command import Finished, Workplace
from tests.e2e.conftest import TRAIN, small_config

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

SEARCHED = {
    "adaptation": {
        "methods": ["zero_shot", "adapter"],
        "adapter": {
            "method": "clip_adapter",
            "ratios": [0.2],
            "training": {"epochs": 2, "batch_size": 16, "learning_rate": 1e-6},
        },
        "comparison": {"select_by": "log_loss"},
    },
    "search": {
        "candidate": "adapter",
        "fields": {"training": {"learning_rate": {"low": 1e-6, "high": 0.1, "log": True}}, "ratios": [[0.2], [0.8]]},
        "trials": 7,
        "select_by": "log_loss",
    },
}


@pytest.fixture
def place(first_run: tuple[Workplace, Finished], tmp_path: Path) -> Workplace:
    """With data and embeddings, and a configuration that asks for a search."""
    place = first_run[0].copy(tmp_path / "place")
    (place.folder / "config.yaml").write_text(yaml.safe_dump(small_config() | SEARCHED))
    return place


def ended(database: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')").fetchone()[0]
    except sqlite3.OperationalError:
        return 0  # not there yet, or busy


def test_a_killed_search_goes_on_and_what_it_finds_is_in_the_bundle(place: Workplace) -> None:
    process = subprocess.Popen(
        place.command("train", *TRAIN),
        cwd=place.folder,
        env=place.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    databases: list[Path] = []
    while process.poll() is None and not (databases and ended(databases[0]) >= 2):
        databases = list((place.workspace / "searches").glob("*.db"))
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = ended(databases[0])
    assert 2 <= before < 7

    done = place.run("train", *TRAIN)
    assert done.code == 0, done.err
    assert list((place.workspace / "searches").glob("*.db")) == databases
    assert ended(databases[0]) == 7

    found = place.metrics()["search"]["adapter"]
    assert sum(found["trials"].values()) == 7
    assert found["own"]["log_loss"] > found["best"]["log_loss"]
    about = json.loads((place.latest / "bundle" / "clip_har" / "bundle.json").read_text())
    assert about["method"] == "clip_adapter"
    assert about["recipe"]["training"]["learning_rate"] == found["settings"]["training.learning_rate"]
    assert about["recipe"]["ratios"] == found["settings"]["ratios"]
    assert place.metrics()["validation"]["adapter"]["log_loss"]["value"] == pytest.approx(found["best"]["log_loss"])
    report = (place.latest / "report.html").read_text()
    assert "The search for settings" in report
    assert "search of 7 trials on the validation split found" in report

    for state in journals(place.workspace / "tracking"):  # what the killed process did not get out
        assert replay(place.workspace / "tracking", state.name) == {"mlflow": None}
    trials = nested_runs(place)
    assert sorted({int(run.data.tags["trial"]) for run in trials}) == list(range(7))
    parents = {run.data.tags["mlflow.parentRunId"] for run in trials}
    assert len(parents) == 2  # that of the killed run, and that of the one that went on

    again = place.run("train", *TRAIN)
    assert again.code == 0, again.err
    assert place.statuses()["search_adapter"] == "cached"
    assert len(nested_runs(place)) == len(trials)


def nested_runs(place: Workplace) -> list:
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{place.workspace / 'mlflow.db'}")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run for run in client.search_runs(experiments) if "mlflow.parentRunId" in run.data.tags]
