"""The registry as ZenML's Model Control Plane shows it; mended from the pointer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from tests.command import PROJECT

pytestmark = pytest.mark.slow

SCRIPT = """
import json, sys
from pathlib import Path
from pipelines.launch import prepare_environment
workspace = Path(sys.argv[1])
prepare_environment(workspace)
from zenml.client import Client
from clip_har.registry.champion import Registry
from clip_har.registry.mirrors import reconcile
from stacks.model_control_plane import ModelControlPlane, main

registry, client = Registry.of(workspace), Client()
seen = []

def look(outcome):
    versions = client.list_model_versions(model="clip-har", hydrate=True).items
    roles = {one.name: [one.stage, sorted(tag.name for tag in one.tags)] for one in versions}
    accuracy = {one.name: (one.run_metadata or {}).get("test_accuracy") for one in versions}
    seen.append({"roles": roles, "accuracy": accuracy, "changes": outcome.changes, "problem": outcome.problem})

def mend():
    (outcome,) = reconcile(registry, [ModelControlPlane])
    look(outcome)

client.create_model("clip-har")
client.create_model_version("clip-har", "of somebody else")
mend()
mend()
registry.rollback()
registry.annotate(registry.pointer.model_id, metrics={"accuracy": 0.25})
assert main(["--workspace", str(workspace)]) == 0
mend()
print("\\n" + json.dumps(seen))
"""


def test_stages_and_tags_follow_the_pointer(
    three_bundles: tuple[ModelBundle, ModelBundle, ModelBundle], tmp_path: Path
) -> None:
    first, second, third = (bundle.model_id[:12] for bundle in three_bundles)
    registry = Registry.of(tmp_path / "workspace")
    before = None
    for bundle in three_bundles[:2]:
        registry.add(bundle)
        before = registry.promote(bundle.model_id, instead_of=before).champion
    registry.add(three_bundles[2])
    registry.keep(three_bundles[2].model_id)

    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "workspace")]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    made, again, mended = json.loads(done.stdout.splitlines()[-1])
    other = {"of somebody else": [None, []]}
    assert made["roles"] == other | {
        first: ["archived", ["previous"]],
        second: ["production", ["champion"]],
        third: ["staging", ["challenger"]],
    }
    assert made["changes"]
    assert (again["changes"], again["problem"]) == ([], ""), "once is enough"
    assert mended["roles"] == other | {
        first: ["production", ["champion"]],
        second: ["archived", ["previous"]],
        third: ["archived", []],
    }
    assert mended["accuracy"][first] == "0.25"
    assert mended["changes"] == [], "it was done by hand"
    assert f"{first} is champion" in done.stdout
