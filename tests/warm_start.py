"""Commands started from a process that has the heavy imports behind it and forks.

Each is a process of its own, with its own working folder, environment and streams; what it is spared is the seven seconds
that importing ZenML, MLflow, torch and the like takes each time. Nothing of ours is imported beforehand. Hashes of strings are
the same in all of them: two runs that are to show that no order is left to chance must not both be started here.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any, TextIO

# What a pipeline's process imports of other people's, the slowest first.
_IMPORTED = (
    *("torch", "transformers.models.clip.modeling_clip", "peft", "accelerate"),
    *("zenml.client", "zenml.zen_stores.sql_zen_store", "zenml.orchestrators.local.local_orchestrator"),
    *("zenml.pipelines.pipeline_definition", "zenml.stack.utils", "zenml.orchestrators.step_runner"),
    *("zenml.zen_stores.migrations.backup.sqlalchemy", "zenml.stack.flavor_registry", "zenml.deployers"),
    *("zenml.log_stores.artifact.artifact_log_store", "zenml.integrations.registry", "zenml.sandboxes"),
    *("zenml.integrations.mlflow.experiment_trackers", "mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store"),
    *("zenml.integrations.sklearn.materializers", "sklearn.linear_model", "sklearn.metrics", "scipy.stats"),
    *("matplotlib.figure", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_agg", "jinja2"),
    *("pandas", "pyarrow.parquet", "dvc.repo", "pygit2", "cleanlab", "imagehash", "optuna", "rich.table"),
    *("zenml.integrations.bentoml.model_deployers", "zenml.integrations.bentoml.materializers"),
    *("zenml.integrations.mlflow.services", "mlflow.pyfunc", "dvc.scm", "scmrepo.git", "tabulate", "aiohttp", "httpx"),
    *(f"zenml.integrations.{cloud}.flavors" for cloud in ("aws", "azure", "databricks", "gcp", "kubernetes", "modal")),
    *(
        f"zenml.integrations.{cloud}.flavors"
        for cloud in ("runai", "ssh", "skypilot", "skypilot_aws", "skypilot_azure")
    ),
    *(f"zenml.integrations.skypilot_{cloud}.flavors" for cloud in ("gcp", "kubernetes", "lambda")),
)


class WarmStart:
    """The parent of such commands; it ends with this process."""

    def __init__(self) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", "MLFLOW_LOGGING_LEVEL": "WARNING"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=Path(sys.executable).parent,
            text=True,
        )

    def run(
        self, command: list[str], folder: Path, environment: dict[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run a Python script to its end: (exit code, what it wrote to each of its streams).

        Args:
            command: the interpreter (this one), the script, its arguments.
        """
        with tempfile.TemporaryDirectory() as place:
            streams = [str(Path(place) / name) for name in ("out", "err")]
            asked = {"command": command[1:], "folder": str(folder), "environment": environment, "streams": streams}
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            child = self._answer(None)
            try:
                code = self._answer(time.monotonic() + timeout)
            except TimeoutError:
                os.kill(child, signal.SIGKILL)
                self._answer(None)
                raise subprocess.TimeoutExpired(command, timeout) from None
            return code, *(Path(stream).read_text() for stream in streams)

    def _answer(self, until: float | None) -> int:
        wait = None if until is None else max(0.0, until - time.monotonic())
        if not select.select([self._process.stdout], [], [], wait)[0]:
            raise TimeoutError
        line = self._process.stdout.readline()
        assert line, "the process that starts commands has ended"
        return json.loads(line)


@cache
def warm_start() -> WarmStart:
    """The one of this process."""
    return WarmStart()


def _streams_of_the_parent() -> tuple[TextIO, TextIO]:
    """(what it asks, what it is answered); nothing else may use them, whatever an import prints."""
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return asked, answers


def _serve(asked: TextIO, answers: TextIO) -> dict[str, Any] | None:
    """Fork for every line asked; returns in each child what it is to do, and in the parent, at the end, None."""
    for line in asked:
        child = os.fork()
        if child == 0:
            os.close(asked.fileno())
            os.close(answers.fileno())
            return json.loads(line)
        print(child, file=answers)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=answers)
    return None


def _do_not_wait_for_disks() -> None:
    """Databases are written as always, and not waited for until they are on the disk: a process that is killed loses nothing."""
    from sqlalchemy import Engine, event

    def opened(connection: Any, _: Any) -> None:
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous=OFF")

    event.listen(Engine, "connect", opened)


def _become(asked: dict[str, Any]) -> None:
    """Be the command: streams, folder, environment, script."""
    import runpy

    for number, stream in enumerate(asked["streams"], start=1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["command"]
    search = asked["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [str(Path(sys.argv[0]).parent), *filter(None, search)]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    import gc
    import importlib

    streams = _streams_of_the_parent()
    sys.path[0] = str(Path(sys.executable).parent)  # not this folder, whose modules are no top-level ones
    for name in _IMPORTED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _do_not_wait_for_disks()
    gc.freeze()
    command = _serve(*streams)
    if command is not None:
        _become(command)
