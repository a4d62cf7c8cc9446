"""MLflow: SQLite here, or a server by its URI."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from clip_har.tracking.tracker import PROJECT, RunIdentity, table_json

RUN_TAG = "clip-har.run"
"""Holds the id of `RunIdentity`, by which other processes find the run."""
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""The client's own default is to try for minutes, on which whoever calls it would hang; whoever calls here tries again."""


class MlflowTracker:
    """Records a run in MLflow. No global state of MLflow is used or changed.

    Args:
        tracking_uri: `sqlite:///…` or a server's address.
        experiment: name of the experiment; the run's project if None.
    """

    durable = True

    def __init__(self, tracking_uri: str, experiment: str | None = None) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        import mlflow

        with _impatient():
            self._client = mlflow.MlflowClient(tracking_uri)
        self._uri = tracking_uri
        self._experiment = experiment
        self._experiment_id: str | None = None
        self._run_id: str | None = None

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> MlflowTracker:
        """The tracker that a stack's settings describe: `tracking_uri`, and `experiment_name` if there is one."""
        return cls(settings["tracking_uri"], settings.get("experiment_name") or None)

    def start(self, run: RunIdentity) -> None:
        with _impatient():
            self._experiment_id = self._experiment_of(self._experiment or run.project or PROJECT)
            self._run_id = self._find(run.id)
            if self._run_id is not None:
                return
            tags = {RUN_TAG: run.id}
            if run.parent is not None:
                parent = self._find(run.parent)
                tags["clip-har.parent"] = run.parent
                if parent is not None:
                    tags["mlflow.parentRunId"] = parent
            self._run_id = self._client.create_run(self._experiment_id, run_name=run.name, tags=tags).info.run_id

    def _experiment_of(self, name: str) -> str:
        """The experiment's id; it is made if it is not there."""
        from mlflow.exceptions import MlflowException

        if (found := self._client.get_experiment_by_name(name)) is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name, artifact_location=self._artifacts())
        except MlflowException:  # another process made it meanwhile, or this is the real trouble
            if (found := self._client.get_experiment_by_name(name)) is None:
                raise
            return found.experiment_id

    def _find(self, run: str) -> str | None:
        """MLflow's id of the run with an id of ours."""
        where = f"tags.`{RUN_TAG}` = '{run}'"
        found = self._client.search_runs([self._experiment_id], where, max_results=1, order_by=["start_time ASC"])
        return found[0].info.run_id if found else None

    def _artifacts(self) -> str | None:
        """Beside a SQLite file; a server knows its own place."""
        if not self._uri.startswith("sqlite:///"):
            return None
        return (Path(self._uri.removeprefix("sqlite:///")).absolute().parent / "mlflow-artifacts").as_uri()

    def params(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        with _impatient():
            recorded = self._client.get_run(self._run_id).data.params  # MLflow refuses a second value
            new = [Param(key, str(value)) for key, value in values.items() if key not in recorded]
            if new:
                self._client.log_batch(self._run_id, params=new)

    def metrics(self, values: dict[str, float], step: int, time: float) -> None:
        self.many_metrics([(values, step, time)])

    def many_metrics(self, points: Sequence[tuple[dict[str, float], int, float]]) -> None:
        """Record figures of several steps in as few requests as MLflow takes them."""
        from mlflow.entities import Metric

        metrics = [
            Metric(key, value, round(moment * 1000), step)
            for values, step, moment in points
            for key, value in values.items()
        ]
        with _impatient():
            self._client.log_batch(self._run_id, metrics=metrics)

    def figure(self, name: str, png: bytes) -> None:
        self._file(f"figures/{name}.png", png)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        path = f"tables/{name}.json"
        self._file(path, table_json(columns, rows))
        with _impatient():
            tags = self._client.get_run(self._run_id).data.tags
            shown = json.loads(tags.get("mlflow.loggedArtifacts", "[]"))  # MLflow's own page shows these as tables
            if {"path": path, "type": "table"} not in shown:
                shown.append({"path": path, "type": "table"})
                self._client.set_tag(self._run_id, "mlflow.loggedArtifacts", json.dumps(shown))

    def _file(self, path: str, content: bytes) -> None:
        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / name).write_bytes(content)
            self.artifact(Path(temporary) / name, folder)

    def artifact(self, path: Path, folder: str = "") -> None:
        with _impatient():
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), f"{folder}/{path.name}".lstrip("/"))
            else:
                self._client.log_artifact(self._run_id, str(path), folder or None)

    def tags(self, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        with _impatient():
            self._client.log_batch(self._run_id, tags=[RunTag(key, str(value)) for key, value in values.items()])

    def model(self, path: Path, name: str) -> None:
        with _impatient():
            self._client.log_artifacts(self._run_id, str(path), f"models/{name}")

    def finish(self, succeeded: bool = True) -> None:
        with _impatient():
            self._client.set_terminated(self._run_id, "FINISHED" if succeeded else "FAILED")

    def link(self) -> str | None:
        if self._uri.startswith("sqlite:"):
            return f"mlflow ui --backend-store-uri {self._uri}"
        place = urlsplit(self._uri)
        address = urlunsplit((place.scheme, place.netloc.rpartition("@")[2], place.path.rstrip("/"), "", ""))
        return address if self._run_id is None else f"{address}/#/experiments/{self._experiment_id}/runs/{self._run_id}"


_calls_lock = threading.Lock()
_calls: list[dict[str, str]] = []
_here = threading.local()
_LOUD = ("mlflow.store.db.utils", "mlflow.utils.rest_utils", "urllib3.connectionpool")


def _not_ours(record: logging.LogRecord) -> bool:
    """Keeps what the client says about our calls off the console: who calls gets it as an error, and reports it once."""
    return not getattr(_here, "calls", 0)


@contextmanager
def _impatient() -> Iterator[None]:
    """Let MLflow's client give up soon and quietly, where the user has not said how patient it is to be.

    It reads that from the environment at each request; this puts it there for the time of a call, for all threads' calls at
    once, and takes it away again.
    """
    with _calls_lock:
        ours = (
            dict(_calls[0]) if _calls else {name: value for name, value in _PATIENCE.items() if name not in os.environ}
        )
        _calls.append(ours)
        os.environ.update(ours)
    for name in _LOUD:
        logging.getLogger(name).addFilter(_not_ours)
    _here.calls = getattr(_here, "calls", 0) + 1
    try:
        yield
    finally:
        _here.calls -= 1
        with _calls_lock:
            _calls.pop()
            if not _calls:
                for name in ours:
                    os.environ.pop(name, None)
