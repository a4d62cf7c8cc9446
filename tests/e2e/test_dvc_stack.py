"""`train` on the DVC-backed store: another machine with an empty disk loads everything; garbage collection fits ZenML."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import PROJECT, Workplace
from tests.e2e.conftest import TRAIN

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

PREPARE = """
import json, sys
from pathlib import Path
from pipelines.launch import prepare_environment
prepare_environment(Path(sys.argv[1]))
from zenml.client import Client
from zenml.utils import source_utils
from zenml.utils.pagination_utils import depaginate
source_utils.set_custom_source_root(sys.argv[2])
client = Client()
"""

LOAD = """
from zenml.log_stores.artifact.artifact_log_store import fetch_log_records
loaded, pages, lines = {}, 0, 0
for run in depaginate(client.list_pipeline_runs):
    for step in run.steps.values():
        for outputs in step.outputs.values():
            for version in outputs:
                loaded[str(version.id)] = type(version.load()).__name__
                for number in range(len(version.visualizations or [])):
                    from zenml.artifacts.utils import load_artifact_visualization
                    pages += len(load_artifact_visualization(version, number, client.zen_store).value)
        for log in step.log_collection or []:
            lines += len(fetch_log_records(client.active_stack.artifact_store, log.uri, 1000))
print(json.dumps({"loaded": loaded, "pages": pages, "lines": lines}))
"""

FORGET = """
from stacks.flavors.collect import store_of
from stacks.flavors.garbage import collect_garbage
for run in depaginate(client.list_pipeline_runs):
    client.delete_pipeline_run(run.id)
store = store_of("dvc")
client.prune_artifacts(only_versions=True, delete_from_artifact_store=False)
collect_garbage(store, grace=0)
print(json.dumps({"left": [folder for folder, _, files in store.walk(store.path) if files]}))
"""


def machine(script: str, workspace: Path, database: Path, remote: Path) -> dict:
    """Run a script on a machine with a workspace of its own; the JSON that it prints last."""
    place = Workplace(workspace.parent)
    environment = place.environment(
        ZENML_CONFIG_PATH=str(database), CLIP_HAR_ARTIFACT_REMOTE=str(remote), PYTHONPATH=f"{PROJECT}:{PROJECT / 'src'}"
    )
    command = [sys.executable, "-c", PREPARE + script, str(workspace), str(PROJECT)]
    done = subprocess.run(command, cwd=workspace.parent, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_train_on_the_dvc_stack_and_load_everything_elsewhere(furnished: Path, tmp_path: Path) -> None:
    shutil.copytree(furnished, tmp_path / "first")
    (tmp_path / "second").mkdir()
    place, remote = Workplace(tmp_path / "first"), tmp_path / "remote"
    database = place.workspace / "zenml"
    done = place.run("train", *TRAIN, "--stack", "dvc", CLIP_HAR_ARTIFACT_REMOTE=str(remote))
    assert done.code == 0, done.err
    assert not (place.workspace / "artifacts").exists(), "nothing went to a local store"
    record = place.record()

    shutil.rmtree(place.workspace / "artifact-cache")
    found = machine(LOAD, tmp_path / "second" / "workspace", database, remote)
    assert {"Manifest", "EmbeddingSet", "ModelBundle", "EvaluationReport"} < set(found["loaded"].values())
    assert len(found["loaded"]) >= len(record["steps"])
    assert found["pages"] > 1000
    assert found["lines"] >= len(record["steps"])
    assert list((tmp_path / "second" / "workspace" / "artifact-cache").rglob("*")), "from the remote, by its own cache"

    collected = subprocess.run(
        [sys.executable, "-m", "stacks.flavors.collect", "--workspace", str(place.workspace), "--grace-hours", "0"],
        cwd=PROJECT,
        env=place.environment(CLIP_HAR_ARTIFACT_REMOTE=str(remote)),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert collected.returncode == 0, collected.stderr
    assert re.match(r"removed 0 files", collected.stdout), "all is of a run"
    (tmp_path / "third").mkdir()
    again = machine(LOAD, tmp_path / "third" / "workspace", database, remote)
    assert again == found

    forgotten = machine(FORGET, place.workspace, database, remote)
    assert forgotten["left"] == []
    objects = remote / "zenml-artifacts" / "files" / "md5"
    assert not [path for path in objects.rglob("*") if path.is_file()]
