"""Where the registry is shown besides: the MLflow of the active stack, ZenML's Model Control Plane, and BentoML's store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clip_har.registry.mirrors import Mirror

_WITH_MLFLOW = ("mlflow", "dual")


def active_mirrors(workspace: str | Path) -> list[Callable[[], Mirror]]:
    """Mirrors to reconcile, made when they are asked for; without an MLflow in the stack, that of the workspace."""
    from clip_har.registry.mlflow_mirror import MlflowMirror
    from clip_har.serving.packaging.mirror import BentoMirror
    from stacks.model_control_plane import ModelControlPlane

    return [lambda: MlflowMirror(_tracking_uri(workspace)), ModelControlPlane, lambda: BentoMirror(workspace)]


def _tracking_uri(workspace: str | Path) -> str:
    from zenml.client import Client

    from clip_har.registry.mlflow_mirror import workspace_uri

    component = Client().active_stack.experiment_tracker
    if component is not None and component.flavor in _WITH_MLFLOW:
        return getattr(component.config, "tracking_uri", None) or workspace_uri(workspace)
    return workspace_uri(workspace)
