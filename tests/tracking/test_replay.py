"""What a tracker missed is in the journal, and a command delivers it: once, however often it is asked to."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from clip_har.cli import main
from clip_har.errors import DataError
from clip_har.tracking import DeliveryConfig, Outbox, RunIdentity
from clip_har.tracking.replay import journals, replay
from tests.command import PROJECT
from tests.tracking.memory_tracker import Server
from tests.tracking.recording_process import STEPS

RUN = RunIdentity(id="run-1", name="run 1")
QUICK = DeliveryConfig(first_wait=0.01, interval=0.0, finish_seconds=20.0, system_seconds=0.0)


def killed(workspace: Path, flavor: str) -> None:
    """Have a process record, and kill it in the middle."""
    picture = io.BytesIO()
    Image.new("RGB", (6, 4), (9, 99, 199)).save(picture, "PNG")
    (workspace / "figure.png").write_bytes(picture.getvalue())
    (workspace / "report.html").write_text("<p>report</p>")
    command = [sys.executable, "-m", "tests.tracking.recording_process", str(workspace), flavor]
    # Without the address of this process's W&B service, which would keep the run open for it.
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "recorded\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)
    (workspace / "report.html").unlink()


def test_an_unfinished_journal_ends_as_failed_and_twice_changes_nothing(tmp_path: Path) -> None:
    server = Server()

    def refuse(name: str, number: int) -> None:
        if name == "metrics" and number > 1:
            raise ConnectionError

    server.fails = refuse
    box = Outbox(tmp_path / "tracking", RUN, {"one": server.tracker}, QUICK)
    trial = box.nested(RUN.inner("trial"))
    for step in range(5):
        box.metrics({"loss": float(step)}, step)
    assert not box.flush(20)
    with pytest.raises(DataError, match="in use by a running process"):
        replay(tmp_path / "tracking", "run-1", make={"one": server.tracker})
    box._journal.close()  # as if the process had been killed
    del trial

    def refuse_the_last(name: str, number: int) -> None:
        if name == "metrics" and number > 3:
            raise ConnectionError

    server.fails = refuse_the_last
    failures = replay(tmp_path / "tracking", "run-1", make={"one": server.tracker}, patience=QUICK)
    assert failures["one"].startswith("ConnectionError")
    assert server.runs["run-1"]["status"] == "running"
    server.fails = lambda name, number: None
    assert replay(tmp_path / "tracking", "run-1", make={"one": server.tracker}, patience=QUICK) == {"one": None}
    values = {(key, step): value for (key, step, _), value in server.runs["run-1"]["metrics"].items()}
    assert values == {("loss", step): float(step) for step in range(5)}
    assert len(server.runs["run-1"]["metrics"]) == 5  # the times are those of the recording
    assert [server.runs[run]["status"] for run in ("run-1", "run-1-trial")] == ["failed", "failed"]
    assert journals(tmp_path / "tracking") == []


def test_an_unknown_journal(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no tracking journal 'run-1'"):
        replay(tmp_path / "tracking", "run-1")


def test_the_command_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["tracking", "replay", "--workspace", str(tmp_path / "nowhere")]) == 2
    assert "--workspace: there is no folder" in capsys.readouterr().err
    assert main(["tracking", "replay", "--workspace", str(tmp_path), "run-9"]) == 2
    assert "no tracking journal 'run-9'" in capsys.readouterr().err
    for command in ("list", "replay"):
        assert main(["tracking", command, "--workspace", str(tmp_path)]) == 0
        assert "Trackers have everything." in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_is_whole_in_both_after_the_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    import mlflow

    from clip_har.tracking.wandb_file import runs_in

    killed(tmp_path, "dual")
    assert main(["tracking", "list", "--workspace", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith("killed ")
    assert "mlflow" in listed
    assert "wandb" in listed
    assert main(["tracking", "replay", "--workspace", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["killed: mlflow has everything.", "killed: wandb has everything."]
    assert main(["tracking", "replay", "--workspace", str(tmp_path)]) == 0  # nothing left to do

    expected = {step: 1.0 / (step + 1) for step in range(STEPS)}
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("clip-har").experiment_id])
    points = client.get_metric_history(run.info.run_id, "lora/loss")
    assert len(points) == STEPS
    assert {point.step: point.value for point in points} == expected
    assert (run.info.status, run.data.params) == ("FAILED", {"seed": "3"})
    assert Path(client.download_artifacts(run.info.run_id, "report.html")).read_text() == "<p>report</p>"

    (offline,) = runs_in(tmp_path / "wandb")  # what the killed process left is taken over
    rows = [row for row in offline.history if "lora/loss" in row]
    assert len(rows) == STEPS
    assert {row["lora/step"]: row["lora/loss"] for row in rows} == expected
    assert [row["_timestamp"] for row in rows] == pytest.approx([p.timestamp / 1000 for p in points], abs=1e-3)
    assert (offline.exit_code, offline.config) == (1, {"seed": 3})
    assert offline.read_file("report.html") == b"<p>report</p>"
    assert sum("curves" in row for row in offline.history) == 1
