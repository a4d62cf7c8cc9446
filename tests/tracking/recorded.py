"""What trackers hold of a run, read back from each in the same words: for comparing them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from clip_har.tracking.mlflow import RUN_TAG
from clip_har.tracking.wandb import TAG
from clip_har.tracking.wandb_file import runs_in

_OWN_TAGS = ("mlflow.", RUN_TAG.partition(".")[0] + ".")


@dataclass(frozen=True)
class Recorded:
    """A run.

    Attributes:
        metrics: key → (step, value as Python writes it, milliseconds), sorted.
        files: path → content.
        succeeded: None while it is open.
    """

    params: dict[str, str]
    tags: dict[str, str]
    metrics: dict[str, list[tuple[int, str, int]]]
    files: dict[str, bytes]
    succeeded: bool | None

    def curves(self, *parts: str) -> dict[str, list[tuple[int, str]]]:
        """Key → (step, value) of some parts of the run, without the times; of all but the system's load if none is named."""
        return {
            key: [(step, value) for step, value, _ in points]
            for key, points in self.metrics.items()
            if (key.partition("/")[0] in parts if parts else not key.startswith("system/"))
        }


def in_mlflow(uri: str) -> dict[str, Recorded]:
    """Name of each run in MLflow → what is recorded of it."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow

    client = mlflow.MlflowClient(uri)
    found = {}
    for run in client.search_runs([experiment.experiment_id for experiment in client.search_experiments()]):
        identity = run.info.run_id
        with TemporaryDirectory() as folder:
            place = Path(client.download_artifacts(identity, "", folder))
            files = {
                path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
            }
        found[run.info.run_name] = Recorded(
            params=dict(run.data.params),
            tags={key: value for key, value in run.data.tags.items() if not key.startswith(_OWN_TAGS)},
            metrics={
                key: sorted(
                    (one.step, repr(one.value), one.timestamp) for one in client.get_metric_history(identity, key)
                )
                for key in run.data.metrics
            },
            files=files,
            succeeded={"FINISHED": True, "FAILED": False, "KILLED": False}.get(run.info.status),
        )
    return found


def in_wandb(folder: Path) -> dict[str, Recorded]:
    """Name of each run in W&B's local files → what is recorded of it; figures and tables on its page apart."""
    found = {}
    for run in runs_in(folder):
        metrics: dict[str, list[tuple[int, str, int]]] = {}
        for row in run.history:
            for key, value in row.items():
                step = f"{key.partition('/')[0]}/step" if "/" in key else "step"
                if not key.startswith("_") and key != step and not isinstance(value, dict):
                    point = (row[step], repr(float(value)), round(row["_timestamp"] * 1000))
                    metrics.setdefault(key, []).append(point)
        found[run.name] = Recorded(
            params={key: str(value) for key, value in run.config.items() if not key.startswith(TAG)},
            tags={key.removeprefix(TAG): value for key, value in run.config.items() if key.startswith(TAG)},
            metrics={key: sorted(points) for key, points in metrics.items()},
            files={path: run.read_file(path) for path in run.files if not path.startswith("media/")},
            succeeded=None if run.exit_code is None else run.exit_code == 0,
        )
    return found
