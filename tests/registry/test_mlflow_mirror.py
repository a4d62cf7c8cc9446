"""The registry as MLflow shows it, on SQLite and on a server: versions, tags, aliases; mended from the pointer."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clip_har.cli import main
from clip_har.models.bundle import ModelBundle
from clip_har.registry.champion import Registry
from clip_har.registry.mirrors import reconcile
from clip_har.registry.mlflow_mirror import MlflowMirror, workspace_uri

Bundles = tuple[ModelBundle, ModelBundle, ModelBundle]
MODEL = "clip-har"


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables: making them takes seconds."""
    import mlflow

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_registered_models()
    return file


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder


@pytest.fixture
def server(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's own server, in this process; it takes artifacts, and no folder of a client's machine as a source."""
    from mlflow.server import (
        ARTIFACT_ROOT_ENV_VAR,
        ARTIFACTS_DESTINATION_ENV_VAR,
        BACKEND_STORE_URI_ENV_VAR,
        SERVE_ARTIFACTS_ENV_VAR,
        app,
        handlers,
    )
    from werkzeug.serving import make_server

    for name, value in {
        BACKEND_STORE_URI_ENV_VAR: workspace_uri(workspace),
        ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        ARTIFACTS_DESTINATION_ENV_VAR: (workspace / "kept").as_uri(),
        SERVE_ARTIFACTS_ENV_VAR: "true",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
        monkeypatch.setattr(handlers, name, None, raising=False)
    serving = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}"
    serving.shutdown()


def filled(workspace: Path, bundles: Bundles) -> Registry:
    """A registry with a predecessor, a champion and a challenger that was refused."""
    registry = Registry.of(workspace)
    before = None
    for bundle in bundles[:2]:
        registry.add(bundle, git_revision="abc", report="run/promotion.html")
        registry.promote(bundle.model_id, instead_of=before)
        before = bundle.model_id
    registry.add(bundles[2])
    registry.keep(bundles[2].model_id)
    registry.annotate(bundles[1].model_id, metrics={"accuracy": 0.75})
    return registry


def shown(uri: str) -> tuple[dict[str, str], dict[str, Any]]:
    """(alias → model id, model id → version) as MLflow's own client sees them."""
    import mlflow

    client = mlflow.MlflowClient(uri, uri)
    versions = {one.tags["model_id"]: one for one in client.search_model_versions(f"name='{MODEL}'")}
    names = {str(one.version): model_id for model_id, one in versions.items()}
    aliases = client.get_registered_model(MODEL).aliases
    return {alias: names[str(version)] for alias, version in aliases.items()}, versions


def fetched(uri: str, alias: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelBundle:
    """The bundle that an alias names, as anybody with MLflow fetches it."""
    import mlflow

    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    mlflow.set_tracking_uri(uri)
    try:
        got = mlflow.artifacts.download_artifacts(f"models:/{MODEL}@{alias}", dst_path=str(folder))
        return ModelBundle.load(got)
    finally:
        mlflow.set_tracking_uri(None)


def test_sqlite(
    workspace: Path, three_bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    first, second, third = three_bundles
    registry, uri = filled(workspace, three_bundles), workspace_uri(workspace)
    assert main(["registry", "reconcile", "--workspace", str(workspace)]) == 0
    assert "champion is version 2" in capsys.readouterr().out
    aliases, versions = shown(uri)
    assert aliases == {"previous": first.model_id, "champion": second.model_id, "challenger": third.model_id}
    assert [str(versions[bundle.model_id].version) for bundle in three_bundles] == ["1", "2", "3"]
    tags = versions[second.model_id].tags
    assert (
        tags.items()
        >= {
            "method": "zero_shot",
            "data_version": second.info.data_revision,
            "git_revision": "abc",
            "report": "run/promotion.html",
            "validation_accuracy": "0.5",
            "test_accuracy": "0.75",
        }.items()
    )
    assert fetched(uri, "champion", tmp_path / "fetched", monkeypatch).model_id == second.model_id
    assert MlflowMirror(uri).reconcile(registry.versions()[::-1], registry.roles()) == [], "once is enough"

    registry.rollback()  # and nobody told MLflow
    registry.annotate(third.model_id, metrics={"accuracy": 0.25})
    (outcome,) = reconcile(registry, [lambda: MlflowMirror(uri)])
    assert not outcome.problem
    aliases, versions = shown(uri)
    assert aliases == {"previous": second.model_id, "champion": first.model_id}
    assert versions[third.model_id].tags["test_accuracy"] == "0.25"
    assert len(versions) == 3

    moved = workspace.with_name("moved")
    workspace.rename(moved)
    (outcome,) = reconcile(Registry.of(moved), [lambda: MlflowMirror(workspace_uri(moved))])
    assert not outcome.problem
    assert fetched(workspace_uri(moved), "champion", tmp_path / "again", monkeypatch).model_id == first.model_id


def test_a_server_gets_the_bundles_themselves(
    server: str, workspace: Path, three_bundles: Bundles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = three_bundles
    registry = filled(workspace, three_bundles)
    (outcome,) = reconcile(registry, [lambda: MlflowMirror(server)])
    assert not outcome.problem
    aliases, versions = shown(server)
    assert aliases == {"previous": first.model_id, "champion": second.model_id, "challenger": third.model_id}
    assert all(one.source.startswith("mlflow-artifacts:/") for one in versions.values())
    shutil.rmtree(registry.folder)
    assert fetched(server, "champion", tmp_path / "fetched", monkeypatch).model_id == second.model_id


def test_a_mirror_that_is_down_is_reported_and_stops_nobody(
    workspace: Path, three_bundles: Bundles, monkeypatch: pytest.MonkeyPatch, caplog: Any, capsys: Any
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = filled(workspace, three_bundles)
    before = dict(os.environ)
    down, up = reconcile(
        registry, [lambda: MlflowMirror("http://127.0.0.1:9"), lambda: MlflowMirror(workspace_uri(workspace))]
    )
    assert down.mirror == "MLflow"
    assert down.problem
    assert up.changes, "the others are brought up to date"
    assert "clip-har registry reconcile" in caplog.text
    assert dict(os.environ) == before
    there = ["--workspace", str(workspace), "--tracking-uri", "http://127.0.0.1:9"]
    assert main(["registry", "reconcile", *there]) == 1
    assert "could not be brought up to date" in capsys.readouterr().err
