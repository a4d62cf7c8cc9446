"""Stacks are registered from their files: twice without a question, and changed where the file has changed."""

from __future__ import annotations

import importlib.util
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
from clip_har.errors import ConfigError
from stacks.register import activate, known_stacks, register
from stacks.tracking import active_trackers
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
dvc = seen
del os.environ["CLIP_HAR_ARTIFACT_REMOTE"]

def look_at_all():
    return {
        stack.name: [str(stack.id), str(stack.updated), {
            str(kind): [[str(part.id), str(part.updated), part.configuration] for part in parts]
            for kind, parts in stack.components.items()
        }]
        for stack in client.list_stacks(hydrate=True, size=50).items
    }

seen = []
for _ in range(2):
    for name in known_stacks():
        register(name)
    seen.append(look_at_all())
trackers, imported = {}, None
for name in [name for name in known_stacks() if name != "kubernetes"]:
    activate(name)
    trackers[name] = sorted(active_trackers(sys.argv[1]))
    imported = imported or (name, sorted({"mlflow", "wandb"} & sys.modules.keys()))
before = client.active_stack_model.name
try:
    activate("kubernetes")
    refused = ""
except ConfigError as error:
    refused = str(error)
os.environ.update(CLIP_HAR_S3_PATH="s3://other/place", WANDB_ENTITY="a team")
os.environ.pop("AWS_ENDPOINT_URL_S3")
register("kubernetes")
register("dual")
os.environ.pop("WANDB_ENTITY")
changed = look_at_all()
register("dual")
os.environ["CLIP_HAR_S3_PATH"] = "no address"
try:
    register("kubernetes")
    wrong = ""
except ConfigError as error:
    wrong = str(error)
print(json.dumps({
    "imported": imported, "dvc": dvc, "known": known_stacks(), "seen": seen, "trackers": trackers, "refused": refused, "wrong": wrong,
    "remote_made": (Path(sys.argv[1]) / "artifact-remote").exists(),
    "active": [before, client.active_stack_model.name], "changed": changed, "again": look_at_all(),
}))
"""
SERVER = {
    "MLFLOW_TRACKING_URI": "http://127.0.0.1:1",
    "KUBERNETES_CONTEXT": "cluster",
    "CLIP_HAR_S3_PATH": "s3://bucket/folder",
    "AWS_ENDPOINT_URL_S3": "http://store.example.org:9000",
    "CLIP_HAR_CONTAINER_REGISTRY": "registry.example.org/clip-har",
}


@pytest.fixture(scope="module")
def all_registered(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """What a process saw that registered all stacks twice, used those that it could, and changed some."""
    folder = tmp_path_factory.mktemp("all")
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{PROJECT / 'src'}", "COLUMNS": "200"} | SERVER
    for name in ("WANDB_API_KEY", "WANDB_ENTITY", "CLIP_HAR_ARTIFACT_REMOTE"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder / "workspace"), str(PROJECT)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_registering_again_changes_nothing_and_asks_nothing(all_registered: dict) -> None:
    first, second, local, back, elsewhere, renewed = all_registered["dvc"]
    assert first == second == back
    assert (first["kind"], first["remote"], first["count"]) == ("DvcArtifactStore", "artifact-remote", 1)
    assert first["flavors"][0][2:] == ["stacks.flavors.dvc_artifact_store.DvcArtifactStoreFlavor", True]
    assert local["kind"] == "LocalArtifactStore"
    assert (elsewhere["store"][0], elsewhere["remote"]) == (first["store"][0], "/elsewhere")
    assert renewed["flavors"][0][0] == first["flavors"][0][0]
    assert renewed["flavors"][0][2:] == first["flavors"][0][2:], "a flavor of an older checkout is brought up to date"
    assert not all_registered["remote_made"], "registering touches no remote"


@pytest.mark.slow
def test_all_stacks_are_registered_twice_without_a_question(all_registered: dict) -> None:
    assert all_registered["known"] == ["dual", "dvc", "kubernetes", "local", "mlflow", "wandb"]
    first, second = all_registered["seen"]
    assert set(all_registered["known"]) <= set(first)
    assert first == second


@pytest.mark.slow
def test_each_stack_has_its_trackers(all_registered: dict) -> None:
    assert all_registered["trackers"] == {
        "dual": ["mlflow", "wandb"],
        "dvc": ["mlflow"],
        "local": ["mlflow"],
        "mlflow": ["mlflow"],
        "wandb": ["wandb"],
    }


@pytest.mark.slow
def test_dual_imports_its_clients_before_anything_runs(all_registered: dict) -> None:
    """By threads, while steps import other things, W&B could end up half imported."""
    assert all_registered["imported"] == ["dual", ["mlflow", "wandb"]]


@pytest.mark.slow
def test_stacks_of_this_machine_share_their_artifacts(all_registered: dict) -> None:
    stores = [all_registered["seen"][0][name][2]["artifact_store"] for name in ("local", "mlflow", "wandb", "dual")]
    assert all(store == stores[0] for store in stores)


@pytest.mark.slow
def test_kubernetes_says_what_it_lacks_and_leaves_the_active_stack(all_registered: dict) -> None:
    refused = all_registered["refused"]
    if importlib.util.find_spec("kubernetes") is None:
        assert "--stack kubernetes needs packages that are not installed" in refused
        assert "pip install -c constraints.txt 'kubernetes>=21.7,<26' 's3fs" in refused
    else:  # then it is the ZenML server that is missing
        assert "zenml login" in refused
    before, after = all_registered["active"]
    assert before == after == "wandb"


@pytest.mark.slow
def test_a_changed_file_or_variable_changes_its_component_alone(all_registered: dict) -> None:
    before, changed, again = all_registered["seen"][0], all_registered["changed"], all_registered["again"]
    (store,), (dual,) = changed["kubernetes"][2]["artifact_store"], changed["dual"][2]["experiment_tracker"]
    assert store[0] == before["kubernetes"][2]["artifact_store"][0][0]
    assert store[2] == {"path": "s3://other/place", "client_kwargs": {}}
    assert dual[2] == {**before["dual"][2]["experiment_tracker"][0][2], "entity": "a team"}
    assert again["dual"][2]["experiment_tracker"][0][2] == before["dual"][2]["experiment_tracker"][0][2], "gone again"
    assert changed["wandb"] == before["wandb"]


@pytest.mark.slow
def test_what_zenml_refuses_is_said_with_the_file(all_registered: dict) -> None:
    assert "stacks/kubernetes.yaml: ZenML refuses the artifact_store" in all_registered["wrong"]
    assert "no address" in all_registered["wrong"]


@pytest.mark.slow
def test_no_key_is_in_zenmls_database(all_registered: dict) -> None:
    assert all_registered["seen"][0]["wandb"][2]["experiment_tracker"][0][2]["api_key"] == ""
    assert (
        all_registered["seen"][0]["mlflow"][2]["experiment_tracker"][0][2]["tracking_token"] == "from-the-environment"
    )


def test_values_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some.yaml").write_text(
        "components: {a: '${PLACE}/x', b: '${OTHER:-by default}', c: '${EMPTY:-}', d: '${OTHER:-in ${PLACE}}'}\n"
    )
    (tmp_path / "plain.yaml").write_text(
        "components: {a: ['${SECOND}', 3], b: '${PLACE}'}\nsettings: {a: '${PLACE}'}\n"
    )
    (tmp_path / "wrong.yaml").write_text("component: {}\n")
    monkeypatch.setattr(register, "_FOLDER", tmp_path)
    for name in ("PLACE", "OTHER", "EMPTY", "SECOND"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"some\.yaml needs the environment variable PLACE, which is not set"):
        read_stack("some")
    with pytest.raises(ConfigError, match=r"--stack plain: .*variables SECOND, PLACE, which are not set"):
        read_stack("plain")
    monkeypatch.setenv("PLACE", "here: #1 {x}")  # which would mean something to YAML
    found = read_stack("some")["components"]
    assert found == {"a": "here: #1 {x}/x", "b": "by default", "c": None, "d": "in here: #1 {x}"}
    monkeypatch.setenv("OTHER", "there")
    assert read_stack("some")["components"]["b"] == "there"
    assert read_stack("plain", {"SECOND": "2", "PLACE": "p"})["components"] == {"a": ["2", 3], "b": "p"}
    with pytest.raises(ConfigError, match="Did you mean 'some'"):
        read_stack("somme")
    with pytest.raises(ConfigError, match=r"unknown key 'component'\. Did you mean 'components'"):
        read_stack("wrong")


def test_every_stack_names_its_variables_at_once() -> None:
    for name in register.known_stacks():
        description, missing = register.describe_stack(name, {})
        assert description["name"] == name
        if missing:
            with pytest.raises(ConfigError, match=", ".join(missing)):
                read_stack(name, {})
