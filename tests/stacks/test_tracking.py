"""One run for all steps of a pipeline: opened by the first that records, closed once, failed where the pipeline failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from stacks import tracking
from stacks.tracking import fail_run, finish_run, pipeline_outbox, settle, with_environment
from tests.tracking.memory_tracker import Server

CONFIG = {"seed": 3, "adaptation": {"lora": {"rank": 4}}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """What the active stack's tracker, in memory, was told."""
    server = Server()
    monkeypatch.setattr(tracking, "active_trackers", lambda workspace=None: {"memory": server.tracker})
    monkeypatch.setattr(tracking.atexit, "register", lambda function: None)
    yield server
    finish_run()  # what a failed case left
    settle()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Has the code run in a step of a pipeline run of that name."""

    def run(name: str) -> None:
        parameters = {"settings": yaml.safe_dump(CONFIG), "workspace": str(tmp_path), "version": "v1"}
        pipeline_run = SimpleNamespace(
            name=name,
            id=f"id of {name}",
            pipeline=SimpleNamespace(name="train"),
            stack=SimpleNamespace(name="dual"),
            config=SimpleNamespace(parameters=parameters),
        )
        monkeypatch.setattr("zenml.get_step_context", lambda: SimpleNamespace(pipeline_run=pipeline_run))

    return run


def test_outside_a_pipeline_nothing_is_recorded() -> None:
    assert pipeline_outbox() is None


def test_a_stack_without_a_tracker_records_nothing(running: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "active_trackers", lambda workspace=None: {})
    running("run")
    assert pipeline_outbox() is None


def test_all_steps_of_a_run_record_into_one(running: Any, server: Server, tmp_path: Path) -> None:
    running("2026-11-26_09-00-00_train_ab12")
    first = pipeline_outbox()
    assert pipeline_outbox() is first
    first.metrics({"lora/loss": 1.0}, 3)
    finish_run()
    assert settle() == {"2026-11-26_09-00-00_train_ab12": {"memory": "http://tracker"}}
    assert (list(server.runs), server.made) == (["2026-11-26-09-00-00-train-ab12"], 1)
    assert settle() == {}
    assert not list((tmp_path / "tracking").iterdir()), "all is delivered"


def test_config_environment_and_versions_are_params(running: Any, server: Server) -> None:
    running("run")
    outbox = pipeline_outbox()
    assert outbox.run.tags == {
        "pipeline": "train",
        "stack": "dual",
        "zenml_run": "id of run",
        "git_revision": outbox.run.tags["git_revision"],
    }
    finish_run()
    settle()
    params = server.runs["run"]["params"]
    assert (params["seed"], params["adaptation.lora.rank"], params["data_version"]) == (3, 4, "v1")
    assert params["git_revision"] == outbox.run.tags["git_revision"]
    assert {
        "environment.python",
        "environment.cpu_flags",
        "environment.gpu",
        "environment.packages.numpy",
    } <= params.keys()


def test_the_next_run_of_the_process_is_another(running: Any, server: Server) -> None:
    running("data")
    pipeline_outbox().metrics({"data/found": 1.0})
    finish_run()
    running("train")
    pipeline_outbox().metrics({"test/accuracy": 1.0})
    finish_run()
    assert list(settle()) == ["data", "train"]
    assert [run["status"] for run in server.runs.values()] == ["finished", "finished"]


def test_a_failed_run_is_closed_as_failed_and_what_was_closed_stays(running: Any, server: Server) -> None:
    running("data")
    pipeline_outbox()
    finish_run()
    running("train")
    pipeline_outbox()
    fail_run()
    settle()
    assert {name: run["status"] for name, run in server.runs.items()} == {"data": "finished", "train": "failed"}
    fail_run()  # nothing is open any more
    assert server.made == 2


def test_what_zenml_does_not_keep_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_BASE_URL", "CLIP_HAR_WORKSPACE"):
        monkeypatch.delenv(name, raising=False)
    assert with_environment({"api_key": "", "entity": None, "project_name": "p"}, None) == {"project_name": "p"}
    monkeypatch.setenv("WANDB_API_KEY", "of the environment")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert with_environment({"api_key": ""}, str(tmp_path)) == {
        "api_key": "of the environment",
        "base_url": "https://wandb.example.org",
        "folder": str(tmp_path / "wandb"),
    }
    given = {"api_key": "of the stack", "base_url": "https://own.example.org", "folder": "elsewhere"}
    assert with_environment(given, str(tmp_path)) == given, "what the stack says goes first"
