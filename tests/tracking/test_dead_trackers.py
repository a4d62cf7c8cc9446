"""The real clients with a server that dies in the middle, and on a full disk: the run goes on, a replay fills the gap."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clip_har.cli import main
from clip_har.tracking import DeliveryConfig, Outbox, RunIdentity, trackers_of
from clip_har.tracking.replay import replay
from tests.tracking.mlflow_stand_in import MlflowStandIn

pytestmark = pytest.mark.slow

RUN = RunIdentity(id="run-1", name="run 1")
PATIENCE = DeliveryConfig(first_wait=0.1, interval=0.05, system_seconds=0.0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [entry.message for entry in caplog.records if entry.levelno >= logging.WARNING]


def test_a_server_that_dies_half_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    server = MlflowStandIn(tmp_path / "artifacts")
    (tmp_path / "report.html").write_text("report")
    box = Outbox(tmp_path / "tracking", RUN, trackers_of("mlflow", {"tracking_uri": server.uri}), PATIENCE)
    box.params({"seed": 3})
    for step in range(50):
        box.metrics({"lora/loss": 1 / (step + 1)}, step)
    assert box.flush(60)
    server.kill()
    started = time.monotonic()
    for step in range(50, 100):
        box.metrics({"lora/loss": 1 / (step + 1)}, step)
    box.artifact(tmp_path / "report.html")
    assert time.monotonic() - started < 2
    box.finish()
    (run,) = server.runs.values()
    assert (len(run["metrics"]), run["status"]) == (50, "RUNNING")
    (warning,) = warnings(caplog)
    assert "mlflow failed and is dropped for this run (" in warning
    assert f"clip-har tracking replay --workspace {tmp_path} run-1" in warning

    assert main(["tracking", "replay", "--workspace", str(tmp_path), "run-1"]) == 2  # it is still dead
    assert "run-1: mlflow could not be told" in capsys.readouterr().out
    server.start()
    before = server.requests
    assert main(["tracking", "replay", "--workspace", str(tmp_path)]) == 0
    points = {(key, step): value for key, step, _, value in run["metrics"]}
    assert points == {("lora/loss", step): 1 / (step + 1) for step in range(100)}
    assert (len(run["metrics"]), run["params"], run["status"]) == (100, {"seed": "3"}, "FINISHED")
    assert (tmp_path / "artifacts" / run["id"] / "report.html").read_text() == "report"
    assert server.requests - before < 20  # what it had is not sent again, and the rest is sent together
    assert main(["tracking", "replay", "--workspace", str(tmp_path)]) == 0
    assert len(server.runs) == 1
    server.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(file: Path) -> None:
    """Write until there is no space."""
    with open(file, "wb", buffering=0) as opened:
        while True:
            opened.write(b"x" * 4096)


@pytest.mark.thorough
def test_both_on_a_full_disk(small_disk: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    import mlflow

    from clip_har.tracking.wandb_file import runs_in

    settings = {"tracking_uri": f"sqlite:///{small_disk / 'mlflow.db'}", "folder": str(small_disk / "wandb")}
    box = Outbox(tmp_path / "tracking", RUN, trackers_of("dual", settings), PATIENCE)
    box.metrics({"lora/loss": 1.0}, 0)
    assert box.flush(60)
    with pytest.raises(OSError, match="No space left"):
        fill(small_disk / "filler")
    for step in range(1, 1500):
        box.metrics({f"lora/{key}": 1 / (step + 1) for key in ("loss", "accuracy", "log_loss")}, step)
    box.finish()
    assert sum("failed and is dropped for this run" in warning for warning in warnings(caplog)) == 2
    assert len(warnings(caplog)) == 2

    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    assert replay(tmp_path / "tracking", "run-1", patience=PATIENCE) == {"mlflow": None, "wandb": None}
    client = mlflow.MlflowClient(settings["tracking_uri"])
    (run,) = client.search_runs([client.get_experiment_by_name("clip-har").experiment_id])
    expected = {step: 1 / (step + 1) for step in range(1500)}
    points = client.get_metric_history(run.info.run_id, "lora/loss")
    assert {point.step: point.value for point in points} == expected
    (offline,) = runs_in(small_disk / "wandb")
    assert {row["lora/step"]: row["lora/loss"] for row in offline.history} == expected
    assert (run.info.status, offline.exit_code) == ("FINISHED", 0)
