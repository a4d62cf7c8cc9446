"""Weights & Biases without its server: offline runs, read back from W&B's own files."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from clip_har.hashing import sha256_bytes
from clip_har.tracking.tracker import RunIdentity
from clip_har.tracking.wandb import WandbTracker
from clip_har.tracking.wandb_file import runs_in

pytestmark = pytest.mark.slow  # importing wandb and starting its service takes some seconds

RUN = RunIdentity.of("run 1", tags={"method": "lora"})


def png(colour: tuple[int, int, int]) -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (6, 4), colour).save(picture, "PNG")
    return picture.getvalue()


def test_it_is_offline_unless_there_is_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    assert not WandbTracker(tmp_path).online
    assert WandbTracker.from_settings({"folder": str(tmp_path), "api_key": "k" * 40}).online
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert WandbTracker(tmp_path).online
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not WandbTracker(tmp_path).online


def test_a_second_process_takes_over_what_the_first_recorded_and_twice_changes_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    import wandb

    (tmp_path / "report.html").write_text("<p>report</p>")
    for _ in range(2):
        tracker = WandbTracker(tmp_path / "wandb", project="p")
        tracker.start(RUN)
        tracker.params({"seed": 3, "a.b": [1, 2]})
        tracker.tags({"method": "lora"})
        for step in range(5):
            tracker.metrics({"lora/loss": 1.0 / (step + 1)}, step, 1000.125 + step)
        tracker.metrics({"probe/accuracy": 0.5, "test.accuracy": float("nan")}, 1, 2000.0)  # steps go back
        tracker.figure("lora/curves", png((200, 0, 0)))
        tracker.table("leaderboard", ["name", "accuracy"], [["lora", 0.5], [None, "x"]])
        tracker.artifact(tmp_path / "report.html", "pages")
        assert tracker.link().startswith("wandb sync ")
        tracker.leave()
    assert wandb.run is None
    (run,) = runs_in(tmp_path / "wandb")
    assert (run.id, run.name, run.project, run.exit_code) == ("run-1", "run 1", "p", 0)
    assert run.config == {"seed": 3, "a.b": [1, 2], "tags/method": "lora"}
    points = [(row["lora/step"], row["lora/loss"], row["_timestamp"]) for row in run.history if "lora/loss" in row]
    assert points == [(step, 1.0 / (step + 1), 1000.125 + step) for step in range(5)]
    (row,) = [row for row in run.history if "probe/accuracy" in row]
    assert (row["probe/accuracy"], row["probe/step"], row["step"]) == (0.5, 1, 1)
    assert row["test.accuracy"] != row["test.accuracy"]
    assert (run.step_metrics["lora/*"], run.step_metrics["test.accuracy"]) == ("lora/step", "step")
    (picture,) = [row["lora/curves"] for row in run.history if "lora/curves" in row]
    assert run.read_file(picture["path"]) == run.read_file("figures/lora/curves.png") == png((200, 0, 0))
    (table,) = [row["leaderboard"] for row in run.history if "leaderboard" in row]
    assert (table["_type"], table["nrows"]) == ("table-file", 2)
    assert run.read_file(table["path"]) == run.read_file("tables/leaderboard.json")
    assert run.read_file("pages/report.html") == b"<p>report</p>"
    assert run.summary["sha256/pages/report.html"] == sha256_bytes(b"<p>report</p>")
    assert capfd.readouterr() == ("", "")


def test_a_newer_figure_takes_the_place_of_the_older(tmp_path: Path) -> None:
    tracker = WandbTracker(tmp_path / "wandb")
    tracker.start(RunIdentity.of("newer").inner("trial 0"))
    for colour in ((1, 1, 1), (2, 2, 2)):
        tracker.figure("curves", png(colour))
    tracker.finish(succeeded=False)
    (run,) = runs_in(tmp_path / "wandb")
    assert run.read_file("figures/curves.png") == png((2, 2, 2))
    pictures = [row["curves"]["path"] for row in run.history if "curves" in row]
    assert [run.read_file(path) for path in pictures] == [png((1, 1, 1)), png((2, 2, 2))]
    assert (run.exit_code, run.group, run.job_type) == (1, "newer", "trial")
