"""The run that a pipeline's steps record into: with the trackers of the active stack, asked for when a step runs."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.tracking.trackers import trackers_of

if TYPE_CHECKING:
    from clip_har.tracking.outbox import Outbox
    from clip_har.tracking.tracker import Tracker

_PROJECT = Path(__file__).parents[1]
_SECONDS_TO_FAIL = 15.0  # for the trackers to hear that a run failed: somebody waits for the prompt
_opened: dict[str, Outbox] = {}  # by the pipeline run's name: what this process has open; one at most
_closing: list[tuple[str, Outbox, threading.Thread]] = []


def pipeline_outbox() -> Outbox | None:
    """Where the running pipeline's steps record; None outside a pipeline, or if the active stack has no tracker.

    One for all steps of a run in a process, opened by the first that asks; params and tags of the run are then recorded.
    A step in another process (a pod) goes on with the same run.

    Raises:
        ConfigError: if no tracker is known for the stack's flavor.
    """
    from zenml import get_step_context

    try:
        run = get_step_context().pipeline_run
    except RuntimeError:
        return None
    if run.name in _opened:
        return _opened[run.name]
    parameters = _parameters(run)
    make = active_trackers(parameters.get("workspace"))
    if not make:
        return None
    _opened[run.name] = _open(run, parameters, make)
    return _opened[run.name]


def active_trackers(workspace: str | None = None) -> dict[str, Callable[[], Tracker]]:
    """What makes the trackers of the active stack; nothing if it has none.

    Args:
        workspace: where W&B's offline runs lie, unless the component says otherwise.

    Raises:
        ConfigError: if no tracker is known for the stack's flavor.
    """
    from zenml.client import Client

    component = Client().active_stack.experiment_tracker
    if component is None:
        return {}
    settings = {name: getattr(component.config, name) for name in type(component.config).model_fields}
    return trackers_of(component.flavor, with_environment(settings, workspace))


def with_environment(settings: Mapping[str, Any], workspace: str | None) -> dict[str, Any]:
    """A component's settings, with what is never written into ZenML's database or is not its matter."""
    place = workspace or os.environ.get("CLIP_HAR_WORKSPACE")
    ours = {
        "api_key": os.environ.get("WANDB_API_KEY"),
        "base_url": os.environ.get("WANDB_BASE_URL"),
        "folder": str(Path(place) / "wandb") if place else None,
    }
    given = {name: value for name, value in settings.items() if value not in (None, "")}
    return {name: value for name, value in ours.items() if value} | given


def finish_run() -> None:
    """Close what this process has open of a run, when all is recorded; the trackers are told in the background."""
    while _opened:
        name, outbox = _opened.popitem()
        closing = threading.Thread(target=outbox.finish, name=f"closing {name}", daemon=True)
        closing.start()
        _closing.append((name, outbox, closing))


def fail_run() -> None:
    """Close what this process has open of a run as failed."""
    for outbox in _opened.values():
        outbox.patience = outbox.patience.model_copy(update={"finish_seconds": _SECONDS_TO_FAIL})
    while _opened:
        _opened.popitem()[1].finish(succeeded=False)


def settle() -> dict[str, dict[str, str]]:
    """Wait until the trackers have what was closed, or were given up.

    Returns:
        Name of each run → where each tracker that opened it shows it.
    """
    closed = _closing.copy()
    _closing.clear()  # before the wait: who interrupts it does not want another one
    for _, _, closing in closed:
        closing.join()
    return {name: outbox.links() for name, outbox, _ in closed}


def _leave() -> None:
    """A process that ends before the run does (a pod) lets the others go on with it."""
    while _opened:
        _opened.popitem()[1].leave()
    settle()


def _open(run: Any, parameters: Mapping[str, Any], make: Mapping[str, Callable[[], Tracker]]) -> Outbox:
    import yaml

    from clip_har.environment import describe_environment
    from clip_har.tracking.outbox import JOURNALS, Outbox
    from clip_har.tracking.tracker import RunIdentity

    environment = describe_environment(_PROJECT)
    revision = environment.pop("git_revision") or "not in Git"
    config = yaml.safe_load(parameters.get("settings") or "{}")
    tags = {
        "pipeline": run.pipeline.name if run.pipeline else run.name,
        "stack": run.stack.name if run.stack else "",
        "zenml_run": str(run.id),
        "git_revision": revision,
    }
    workspace = parameters.get("workspace") or os.environ.get("CLIP_HAR_WORKSPACE") or "workspace"
    atexit.register(_leave)
    outbox = Outbox(Path(workspace) / JOURNALS, RunIdentity.of(run.name, tags=tags), make)
    environment["cpu_flags"] = " ".join(environment["cpu_flags"])
    outbox.params(
        {
            **config,
            "git_revision": revision,
            "data_version": parameters.get("version") or "the source itself",
            "environment": environment,
        }
    )
    return outbox


def _parameters(run: Any) -> dict[str, Any]:
    """What the pipeline was called with."""
    return dict(run.config.parameters or {})
