"""The tracker that the active stack names; asked for when a step runs, never at import."""

from __future__ import annotations

from clip_har.tracking import TRACKERS, Tracker


def active_tracker() -> Tracker | None:
    """A tracker for the active stack's experiment tracker, or None if it has none.

    Raises:
        ConfigError: if no tracker is known for the stack's flavor.
    """
    from zenml.client import Client

    component = Client().active_stack.experiment_tracker
    if component is None:
        return None
    settings = {name: getattr(component.config, name) for name in type(component.config).model_fields}
    return TRACKERS.get(component.flavor).from_settings(settings)
