"""Stacks are registered from their files: twice without a question, and changed where the file has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clip_har.errors import ConfigError
from stacks import register
from stacks.register import read_stack
from tests.command import PROJECT

SCRIPT = """
import json, os, sys
from pathlib import Path
from pipelines.launch import prepare_environment
prepare_environment(Path(sys.argv[1]))
from zenml.client import Client
from zenml.enums import StackComponentType
from zenml.models import FlavorUpdate
from zenml.utils import source_utils
from stacks.register import activate
source_utils.set_custom_source_root(sys.argv[2])
client = Client()

def look():
    stack = client.active_stack_model  # what a run would use
    store = stack.components[StackComponentType.ARTIFACT_STORE][0]
    flavors = client.list_flavors(name="dvc", type=StackComponentType.ARTIFACT_STORE).items
    flavor = client.get_flavor(flavors[0].id)
    return {
        "stack": [stack.name, str(stack.id), str(stack.updated)],
        "store": [str(store.id), str(store.updated)],
        "remote": store.configuration.get("remote"),
        "flavors": [[str(flavor.id), str(flavor.updated), flavor.source, "grace_hours" in str(flavor.config_schema)]],
        "kind": type(client.active_stack.artifact_store).__name__,
        "count": len(flavors),
    }

seen = []
for name in ("dvc", "dvc", "local", "dvc"):
    activate(name)
    seen.append(look())
os.environ["CLIP_HAR_ARTIFACT_REMOTE"] = "/elsewhere"
activate("dvc")
seen.append(look())
flavor = client.list_flavors(name="dvc", type=StackComponentType.ARTIFACT_STORE).items[0]
client.zen_store.update_flavor(flavor.id, FlavorUpdate(source="stacks.flavors.older.Flavor", config_schema={}))
activate("dvc")
seen.append(look())
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_registering_again_changes_nothing_and_asks_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'src'}", "COLUMNS": "200"}
    environment.pop("CLIP_HAR_ARTIFACT_REMOTE", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "workspace"), str(PROJECT)],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    first, second, local, back, elsewhere, renewed = json.loads(done.stdout.splitlines()[-1])
    assert first == second == back
    assert (first["kind"], first["remote"], first["count"]) == ("DvcArtifactStore", "artifact-remote", 1)
    assert first["flavors"][0][2:] == ["stacks.flavors.dvc_artifact_store.DvcArtifactStoreFlavor", True]
    assert local["kind"] == "LocalArtifactStore"
    assert (elsewhere["store"][0], elsewhere["remote"]) == (first["store"][0], "/elsewhere")
    assert renewed["flavors"][0][0] == first["flavors"][0][0]
    assert renewed["flavors"][0][2:] == first["flavors"][0][2:], "a flavor of an older checkout is brought up to date"
    assert not (tmp_path / "workspace" / "artifact-remote").exists(), "registering touches no remote"


def test_values_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.yaml").write_text("a: ${PLACE}\nb: ${OTHER:-by default}\nc: '${EMPTY:-}'\n")
    monkeypatch.setattr(register, "_FOLDER", tmp_path)
    for name in ("PLACE", "OTHER", "EMPTY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"some\.yaml needs the environment variable PLACE"):
        read_stack("some")
    monkeypatch.setenv("PLACE", "here")
    assert read_stack("some") == {"a": "here", "b": "by default", "c": ""}
    monkeypatch.setenv("OTHER", "there")
    assert read_stack("some")["b"] == "there"
    with pytest.raises(ConfigError, match="Did you mean 'some'"):
        read_stack("somme")
