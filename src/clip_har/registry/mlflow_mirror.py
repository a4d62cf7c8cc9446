"""The registry in MLflow's model registry: a version for each bundle, with tags; aliases champion, challenger, previous.

On SQLite a version's source is the bundle in the workspace's registry. A server takes no folder of another machine: there the
bundle is uploaded, as the artifact of a run of its own, and the version's source is that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.registry.champion import Version
from clip_har.registry.mirrors import MODEL_NAME, facts_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ALIASES = ("champion", "challenger", "previous")
EXPERIMENT = "clip-har-registry"
_UPLOADED = "bundle"
# A server that is down or hangs must not hold a promotion up; one that has answered may take its time with a bundle.
_ASKING = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
_SENDING = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "120", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}


class MlflowMirror:
    """The registered model in one MLflow.

    Args:
        tracking_uri: `sqlite:///…` or a server's address.
        model: name of the registered model.
    """

    def __init__(self, tracking_uri: str, model: str = MODEL_NAME) -> None:
        self.name = "MLflow"
        self._uri = tracking_uri
        self._model = model
        self._local = tracking_uri.startswith("sqlite:")

    def reconcile(self, versions: Sequence[Version], roles: dict[str, str]) -> list[str]:
        if not versions:
            return []
        with _environment(MLFLOW_DISABLE_TELEMETRY="true"):
            import mlflow

            client = mlflow.MlflowClient(self._uri, self._uri)
        with _environment(**_ASKING):
            known = self._registered(client)
        with _environment(**_SENDING):
            return self._reconcile(client, known, versions, roles)

    def _reconcile(
        self,
        client: MlflowClient,
        known: dict[str, ModelVersion],
        versions: Sequence[Version],
        roles: dict[str, str],
    ) -> list[str]:
        changes = []
        for version in versions:
            there = known.get(version.model_id)
            if there is not None and self._is_stale(there, version):
                client.delete_model_version(self._model, there.version)
                there = None
            facts = facts_of(version)
            if there is None:
                source, run_id = self._source(client, version, facts)
                there = client.create_model_version(
                    self._model, source, run_id=run_id, tags=facts, description=_description(facts)
                )
                known[version.model_id] = there
                changes.append(f"{version.model_id[:12]} is version {there.version}")
                continue
            told = {key: value for key, value in facts.items() if there.tags.get(key) != value}
            for key, value in told.items():
                client.set_model_version_tag(self._model, there.version, key, value)
            if told:
                changes.append(f"tags of version {there.version}")
        wanted = {role: known[model_id].version for model_id, role in roles.items() if model_id in known}
        return changes + self._set_aliases(client, wanted)

    def _registered(self, client: MlflowClient) -> dict[str, ModelVersion]:
        """Model id → its version; the registered model is made if it is not there."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

        try:
            client.create_registered_model(
                self._model, description="Versions of clip-har. The registry in the workspace decides; this shows it."
            )
            return {}
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
        found: dict[str, Any] = {}
        token = None
        while True:
            page = client.search_model_versions(f"name = '{self._model}'", max_results=200, page_token=token)
            for one in page:
                if "model_id" in one.tags:
                    found.setdefault(one.tags["model_id"], one)
            token = page.token
            if not token:
                return found

    def _is_stale(self, there: ModelVersion, version: Version) -> bool:
        """Whether a version names a folder that the bundle has moved away from."""
        return self._local and there.source != str(version.path)

    def _source(self, client: MlflowClient, version: Version, facts: dict[str, str]) -> tuple[str, str | None]:
        """(source, run) of a new version."""
        if self._local:
            return str(version.path), None
        experiment = client.get_experiment_by_name(EXPERIMENT)
        identity = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT)
        query = f"tags.model_id = '{version.model_id}' and tags.uploaded = 'true'"
        if earlier := client.search_runs([identity], query, max_results=1):
            run = earlier[0]
        else:
            run = client.create_run(identity, run_name=version.model_id[:12], tags=facts)
            client.log_artifacts(run.info.run_id, str(version.path), _UPLOADED)
            client.set_tag(run.info.run_id, "uploaded", "true")  # a killed upload is begun again in another run
            client.set_terminated(run.info.run_id)
        return f"{run.info.artifact_uri}/{_UPLOADED}", run.info.run_id

    def _set_aliases(self, client: MlflowClient, wanted: dict[str, Any]) -> list[str]:
        """The champion's first: whoever asks while aliases move finds one."""
        present = client.get_registered_model(self._model).aliases
        changes = []
        for alias in ALIASES:
            if alias in wanted and str(present.get(alias)) != str(wanted[alias]):
                client.set_registered_model_alias(self._model, alias, wanted[alias])
                changes.append(f"{alias} is version {wanted[alias]}")
            elif alias in present and alias not in wanted:
                client.delete_registered_model_alias(self._model, alias)
                changes.append(f"no {alias}")
        return changes


def _description(facts: dict[str, str]) -> str:
    return f"{facts['method']} of {facts['backbone']}, trained on the data {facts.get('data_version', '')[:12]}".strip()


def workspace_uri(workspace: str | Path) -> str:
    """The MLflow of a workspace whose stack names no other."""
    return f"sqlite:///{Path(workspace).absolute()}/mlflow.db"


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    """Set what MLflow's client reads at each request, unless the user has set it; put back afterwards."""
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
