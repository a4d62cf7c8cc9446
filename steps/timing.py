"""How long the steps of the running pipeline took."""

from datetime import UTC, datetime
from typing import Any

from zenml import get_step_context
from zenml.client import Client
from zenml.enums import ExecutionStatus


def describe_current_run() -> dict[str, Any]:
    """Name, ids, start, and a row a step (name, status, seconds) of the run that the calling step belongs to.

    A cached step's seconds are those of the time when it ran. Outside a pipeline there is only a name.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    try:
        context = get_step_context()
    except RuntimeError:
        return {"name": f"{now:%Y-%m-%d_%H-%M-%S}", "pipeline": None, "steps": [], "started": now.isoformat()}
    run = Client().get_pipeline_run(context.pipeline_run.id)
    steps = []
    for name, done in sorted(run.steps.items(), key=lambda item: item[1].start_time or now):
        measured = done
        if done.status == ExecutionStatus.CACHED and done.original_step_run_id is not None:
            measured = Client().get_run_step(done.original_step_run_id)
        end = measured.end_time or now
        seconds = (end - measured.start_time).total_seconds() if measured.start_time else 0.0
        steps.append({"name": name, "status": done.status.value, "seconds": round(seconds, 3)})
    return {
        "name": run.name,
        "pipeline": run.pipeline.name if run.pipeline else None,
        "run_id": str(run.id),
        "model_version": run.model_version.name if run.model_version else None,
        "started": run.start_time.isoformat() if run.start_time else None,
        "steps": steps,
    }
