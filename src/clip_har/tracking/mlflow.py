"""MLflow: SQLite here, or a server by its URI."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

_LONGEST_PARAM = 500
_LONGEST_NAME = 250
EXPERIMENT = "clip-har"


class MlflowTracker:
    """Records a run in MLflow.

    Args:
        tracking_uri: `sqlite:///…` or a server's address.
        experiment: name of the experiment.
    """

    def __init__(self, tracking_uri: str, experiment: str = EXPERIMENT) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        self._client = mlflow.MlflowClient(tracking_uri)
        self._uri = tracking_uri
        self._experiment = experiment
        self._run_id: str | None = None
        self._parent_id: str | None = None

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> MlflowTracker:
        """The tracker that a stack's settings describe: `tracking_uri`, and `experiment_name` if there is one."""
        return cls(settings["tracking_uri"], settings.get("experiment_name") or EXPERIMENT)

    def inside(self, parent: MlflowTracker) -> None:
        """Have the run that will be started lie in another tracker's run."""
        self._parent_id = parent._run_id

    def start(self, name: str, params: dict[str, Any], tags: dict[str, str]) -> None:
        from mlflow.entities import Param

        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            identity = found.experiment_id
        else:
            identity = self._client.create_experiment(self._experiment, artifact_location=self._artifacts())
        if self._parent_id is not None:
            tags = {**tags, "mlflow.parentRunId": self._parent_id}
        run = self._client.create_run(identity, run_name=name, tags=tags)
        self._run_id = run.info.run_id
        texts = [Param(key, str(value)[:_LONGEST_PARAM]) for key, value in _named(params).items()]
        self._client.log_batch(self._run_id, params=texts)

    def _artifacts(self) -> str | None:
        """Beside a SQLite file; a server knows its own place."""
        if not self._uri.startswith("sqlite:///"):
            return None
        return (Path(self._uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, step) for key, value in _named(values).items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def artifact(self, path: Path, folder: str = "") -> None:
        self._client.log_artifact(self._run_id, str(path), folder or None)

    def finish(self, succeeded: bool = True) -> None:
        self._client.set_terminated(self._run_id, "FINISHED" if succeeded else "FAILED")

    def link(self) -> str | None:
        return f"mlflow ui --backend-store-uri {self._uri}" if self._uri.startswith("sqlite:") else self._uri


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """The same values under names that MLflow takes; labels are part of them, and may hold anything."""
    return {re.sub(r"[^\w.\- ]", "_", name)[:_LONGEST_NAME]: value for name, value in values.items()}
