"""`run.py --list-stacks`: every stack, its components, and whether each can be reached from here."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from stacks.reachability import Reachability, look_at
from tests.command import PROJECT, Workplace

TRACKER, STORE, ORCHESTRATOR = "experiment_tracker", "artifact_store", "orchestrator"


class Server(HTTPServer):
    """Answers every GET with a status, and remembers the paths."""

    status = 200

    def __init__(self) -> None:
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), _Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"CLIP_HAR_WORKSPACE": str(tmp_path / "workspace"), "HOME": str(tmp_path)}


def look(name: str, kind: str, environment: dict[str, str]) -> Reachability:
    (report,) = look_at([name], environment)
    return next(part.reachability for part in report.components if part.kind == kind)


def test_the_default_is_usable_and_nothing_is_made(environment: dict[str, str], tmp_path: Path) -> None:
    (report,) = look_at(["local"], environment)
    assert report.usable
    assert [(part.kind, part.flavor) for part in report.components] == [
        (ORCHESTRATOR, "local"),
        (STORE, "local"),
        (TRACKER, "mlflow"),
    ]
    assert {part.reachability.state for part in report.components} == {"yes"}
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_not_reachable(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("a file where a folder is wanted")
    for kind in (STORE, TRACKER):
        found = look("local", kind, environment)
        assert found.state == "no"
        assert "cannot be written" in found.note


def test_an_mlflow_server_is_asked_for_its_health(environment: dict[str, str], server: Server) -> None:
    environment["MLFLOW_TRACKING_URI"] = f"{server.url}/mlflow/"
    assert look("mlflow", TRACKER, environment).state == "yes"
    assert server.paths == ["/mlflow/health"]
    server.status = 503
    found = look("mlflow", TRACKER, environment)
    assert (found.state, "answers 503" in found.note) == ("no", True)


def test_a_server_that_is_not_there(environment: dict[str, str], server: Server) -> None:
    url = server.url.replace("://", "://somebody:hidden@")
    server.server_close()
    server.shutdown()
    found = look("mlflow", TRACKER, environment | {"MLFLOW_TRACKING_URI": url})
    assert (found.state, "does not answer" in found.note) == ("no", True)
    assert "hidden" not in found.note


def test_a_server_that_never_answers_is_not_waited_for(environment: dict[str, str]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        environment["MLFLOW_TRACKING_URI"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        assert look("mlflow", TRACKER, environment).state == "no"
        assert time.monotonic() - started < 8


def test_missing_variables_are_named(environment: dict[str, str]) -> None:
    (report,) = look_at(["mlflow"], environment)
    assert report.missing == ("MLFLOW_TRACKING_URI",)
    assert not report.usable
    assert look("mlflow", TRACKER, environment).state == "no"


def test_wandb_is_offline_without_a_key_and_online_with_one(environment: dict[str, str], server: Server) -> None:
    found = look("wandb", TRACKER, environment)
    assert (found.state, found.note) == ("yes", f"W&B offline, {environment['CLIP_HAR_WORKSPACE']}/wandb")
    online = {**environment, "WANDB_API_KEY": "k", "WANDB_BASE_URL": server.url}
    found = look("wandb", TRACKER, online)
    assert (found.state, found.note) == ("yes", f"W&B online, {server.url}")
    assert look("wandb", TRACKER, {**online, "WANDB_MODE": "offline"}).note.startswith("W&B offline")
    assert look("wandb", TRACKER, {**online, "WANDB_BASE_URL": "http://127.0.0.1:1"}).state == "no"


def test_dual_is_as_reachable_as_the_worse_of_both(environment: dict[str, str]) -> None:
    assert look("dual", TRACKER, environment).state == "yes"
    found = look("dual", TRACKER, environment | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"})
    assert found.state == "no"
    assert "does not answer" in found.note
    assert "W&B offline" in found.note


def test_dvc_knows_folders_and_does_not_look_at_others(environment: dict[str, str]) -> None:
    assert look("dvc", STORE, environment).state == "yes"
    found = look("dvc", STORE, environment | {"CLIP_HAR_ARTIFACT_REMOTE": "s3://bucket/folder"})
    assert (found.state, "s3://bucket/folder" in found.note) == ("unknown", True)


def test_kubernetes_contexts_come_from_the_kubeconfig(
    environment: dict[str, str], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.reachability._package", lambda name: None)
    assert look("kubernetes", ORCHESTRATOR, environment).note == "no context"
    environment["KUBERNETES_CONTEXT"] = "cluster"
    found = look("kubernetes", ORCHESTRATOR, environment)
    assert (found.state, "there is none" in found.note) == ("no", True)
    config = {
        "clusters": [
            {"name": "c", "cluster": {"server": server.url}},
            {"name": "gone", "cluster": {"server": "http://127.0.0.1:1"}},
        ],
        "contexts": [
            {"name": "cluster", "context": {"cluster": "c"}},
            {"name": "other", "context": {"cluster": "gone"}},
        ],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    environment["KUBECONFIG"] = f"{tmp_path / 'nothing'}:{tmp_path / 'kubeconfig'}"
    assert look("kubernetes", ORCHESTRATOR, environment).state == "yes"
    assert look("kubernetes", ORCHESTRATOR, environment | {"KUBERNETES_CONTEXT": "other"}).state == "no"
    found = look("kubernetes", ORCHESTRATOR, environment | {"KUBERNETES_CONTEXT": "third"})
    assert (found.state, "there are: cluster, other" in found.note) == ("no", True)


def test_the_rest_of_kubernetes(
    environment: dict[str, str], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacks.reachability._package", lambda name: None)
    environment |= {"CLIP_HAR_S3_PATH": "s3://b/f", "DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    assert look("kubernetes", STORE, environment).state == "unknown"
    assert look("kubernetes", STORE, environment | {"AWS_ENDPOINT_URL_S3": server.url}).state == "yes"
    assert look("kubernetes", STORE, environment | {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}).state == "no"
    registry = f"127.0.0.1:{server.server_port}/clip-har"
    assert (
        look("kubernetes", "container_registry", environment | {"CLIP_HAR_CONTAINER_REGISTRY": registry}).state == "yes"
    )
    assert look("kubernetes", "image_builder", environment).state == "no"
    (tmp_path / "docker.sock").touch()
    assert look("kubernetes", "image_builder", environment).state == "yes"


def test_packages_that_are_absent_are_named(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for kind, name in ((ORCHESTRATOR, "kubernetes"), (STORE, "s3fs")):
        assert f"the package {name} is not installed" in look("kubernetes", kind, environment).note


def test_the_command_shows_all_of_it_quickly_and_without_zenml(tmp_path: Path) -> None:
    place = Workplace(tmp_path)
    script = (
        "import sys, run\n"
        "code = run.main(['--list-stacks', '--set', 'workspace.path=here'])\n"
        "assert not {'zenml', 'torch', 'mlflow', 'wandb'} & sys.modules.keys()\n"
        "sys.exit(code)"
    )
    environment = place.environment(PYTHONPATH=f"{PROJECT}:{PROJECT / 'src'}")
    for name in ("MLFLOW_TRACKING_URI", "WANDB_API_KEY", "KUBERNETES_CONTEXT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for word in ("local", "mlflow", "wandb", "dual", "dvc", "kubernetes", "here/artifacts", "W&B offline", "reachable"):
        assert word in done.stdout
    assert "mlflow needs in the environment: MLFLOW_TRACKING_URI" in done.stdout
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"
