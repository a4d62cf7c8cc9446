"""One run, recorded once: MLflow and W&B hold the same, key by key, step by step, byte by byte."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clip_har.hashing import sha256_bytes
from clip_har.tracking import DeliveryConfig, Outbox, RunIdentity, trackers_of
from clip_har.tracking.wandb import DIGEST, TAG
from clip_har.tracking.wandb_file import WandbRun, runs_in

pytestmark = pytest.mark.slow

RUN = RunIdentity.of("train-2026_11_26-09_00_00_123", tags={"pipeline": "train"})
LABELS = ("rock'n'roll (live)", "使う", "a/b")


def picture() -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (6, 4), (9, 99, 199)).save(made, "PNG")
    return made.getvalue()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a run that was recorded into both."""
    workspace = tmp_path_factory.mktemp("workspace")
    settings = {"tracking_uri": f"sqlite:///{workspace / 'mlflow.db'}", "folder": str(workspace / "wandb")}
    patience = DeliveryConfig(interval=0.2, system_seconds=0.3)
    box = Outbox(workspace / "tracking", RUN, trackers_of("dual", settings), patience)
    box.params({"seed": 3, "model": {"backbone": "b", "revision": None, "layers": [1, 2]}, "lr": 1e-4, "empty": {}})
    box.params({"flag": True, "text": "x" * 9000, "git_revision": "f00", "prompts": {"a photo of {} (é)": "…"}})
    for step in range(0, 40, 3):
        box.metrics({"lora/loss": 1 / (step + 1), "lora/learning_rate": 1e-5 * step}, step)
        if step % 2 == 0:
            box.metrics({"lora/accuracy": step / 40}, step)
    for number in range(5):  # another part's steps begin again
        box.metrics({"linear_probe/accuracy": number / 7, "linear_probe/inverse_strength": 10.0**number}, number)
    box.metrics(
        {f"test/per_class/{label}/f1": 0.1 * place for place, label in enumerate(LABELS)} | {"test.accuracy": 1}
    )
    box.metrics({"odd/nan": float("nan"), "odd/tiny": 5e-324, "odd/large": 1.7e308, "odd/third": 1 / 3}, 7)
    box.figure("lora/curves", picture())
    box.table("leaderboard", ["name", "accuracy"], [["lora", 0.5], ["zero_shot", None], [LABELS[1], True]])
    (workspace / "report.html").write_text("<p>é</p>")
    (workspace / "plots").mkdir()
    (workspace / "plots" / "curve [1].json").write_text("[1]")
    box.artifact(workspace / "report.html")
    box.artifact(workspace / "plots", "evaluation")
    (workspace / "bundle" / "clip_har").mkdir(parents=True)
    (workspace / "bundle" / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (workspace / "bundle" / "clip_har" / "bundle.json").write_text("{}")
    box.model(workspace / "bundle", "champion")
    trial = box.nested(RUN.inner("search_lora trial 0", {"state": "complete"}))
    trial.params({"rank": 2, "towers": ["image"]})
    trial.metrics({"accuracy": 0.5})
    trial.finish()
    box.tags({"model_id": "abc"})
    box.flush(120)
    box.finish()
    assert not list((workspace / "tracking").iterdir())
    return workspace


@pytest.fixture(scope="module")
def client(recorded: Path) -> Any:
    import mlflow

    return mlflow.MlflowClient(f"sqlite:///{recorded / 'mlflow.db'}")


@pytest.fixture(scope="module")
def in_mlflow(client: Any) -> dict[str, Any]:
    found = client.search_runs([client.get_experiment_by_name("clip-har").experiment_id])
    return {run.info.run_name: run for run in found}


@pytest.fixture(scope="module")
def in_wandb(recorded: Path) -> dict[str, WandbRun]:
    return {run.name: run for run in runs_in(recorded / "wandb")}


def points_of(run: WandbRun) -> dict[str, list[tuple[int, float, int]]]:
    """Key → (step, value, milliseconds), as W&B's file has them; the steps themselves left out."""
    found: dict[str, list[tuple[int, float, int]]] = {}
    for row in run.history:
        for key, value in row.items():
            step = f"{key.partition('/')[0]}/step" if "/" in key else "step"
            if not key.startswith("_") and key != step and not isinstance(value, dict):
                assert run.step_metrics[f"{step.removesuffix('step')}*" if "/" in key else key] == step
                found.setdefault(key, []).append((row[step], float(value), round(row["_timestamp"] * 1000)))
    return found


def test_the_runs_are_the_same(in_mlflow: dict, in_wandb: dict) -> None:
    assert set(in_mlflow) == set(in_wandb) == {RUN.name, f"{RUN.name} search_lora trial 0"}
    for name, run in in_wandb.items():
        assert (in_mlflow[name].info.status, run.exit_code) == ("FINISHED", 0)
        assert in_mlflow[name].data.tags["clip-har.run"] == run.id
    trial = f"{RUN.name} search_lora trial 0"
    assert in_mlflow[trial].data.tags["mlflow.parentRunId"] == in_mlflow[RUN.name].info.run_id
    assert (in_wandb[trial].group, in_wandb[trial].job_type) == (RUN.id, "trial")


def test_metrics_are_the_same_at_each_step(client: Any, in_mlflow: dict, in_wandb: dict) -> None:
    for name, run in in_wandb.items():
        identity = in_mlflow[name].info.run_id
        theirs = points_of(run)
        ours = {
            key: [(point.step, point.value, point.timestamp) for point in client.get_metric_history(identity, key)]
            for key in in_mlflow[name].data.metrics
        }
        assert set(ours) == set(theirs)
        for key, points in ours.items():
            assert [repr(point) for point in sorted(points)] == [repr(point) for point in sorted(theirs[key])], key
    keys = set(points_of(in_wandb[RUN.name]))
    assert {"lora/loss", "linear_probe/accuracy", "test.accuracy", "odd/nan", "system/cpu_percent"} <= keys
    assert {"test/per_class/rock_n_roll _live_/f1", "test/per_class/使う/f1", "test/per_class/a/b/f1"} <= keys
    assert len(points_of(in_wandb[RUN.name])["lora/loss"]) == 14


def test_params_and_tags_are_the_same(in_mlflow: dict, in_wandb: dict) -> None:
    for name, run in in_wandb.items():
        params = {key: str(value) for key, value in run.config.items() if not key.startswith(TAG)}
        assert params == in_mlflow[name].data.params
        tags = {key.removeprefix(TAG): value for key, value in run.config.items() if key.startswith(TAG)}
        own = {
            key: value
            for key, value in in_mlflow[name].data.tags.items()
            if not key.startswith(("mlflow.", "clip-har."))
        }
        assert tags == own
    params = in_mlflow[RUN.name].data.params
    assert (params["model.layers"], params["model.revision"], params["lr"]) == ("[1, 2]", "None", "0.0001")
    assert len(params["text"]) == 6000
    assert in_mlflow[RUN.name].data.tags["model_id"] == "abc"


def test_files_are_the_same(client: Any, in_mlflow: dict, in_wandb: dict, tmp_path: Path) -> None:
    run = in_wandb[RUN.name]
    theirs = {path: run.read_file(path) for path in run.files if not path.startswith("media/")}
    folder = Path(client.download_artifacts(in_mlflow[RUN.name].info.run_id, "", str(tmp_path)))
    ours = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert ours == theirs
    assert set(ours) == {
        "figures/lora/curves.png",
        "tables/leaderboard.json",
        "report.html",
        "evaluation/plots/curve [1].json",
        "models/champion/model.safetensors",
        "models/champion/clip_har/bundle.json",
    }
    assert ours["figures/lora/curves.png"] == picture()
    digests = {key.removeprefix(DIGEST): value for key, value in run.summary.items() if key.startswith(DIGEST)}
    assert {path: sha256_bytes(content) for path, content in ours.items()}.items() <= digests.items()
    assert json.loads(ours["tables/leaderboard.json"])["data"][2] == [LABELS[1], True]
