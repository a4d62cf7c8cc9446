"""The tracker that the active stack names; asked for when a step runs, never at import."""

from __future__ import annotations

from clip_har.tracking.tracker import Tracker


def active_tracker() -> Tracker | None:
    """A tracker for the active stack's experiment tracker, or None if it has none."""
    from zenml.client import Client

    component = Client().active_stack.experiment_tracker
    if component is None:
        return None
    if component.flavor == "mlflow":
        from clip_har.tracking.mlflow import MlflowTracker

        return MlflowTracker(component.get_tracking_uri())
    raise NotImplementedError(f"no tracker is known for the experiment tracker flavor {component.flavor!r}")
