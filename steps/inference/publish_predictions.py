"""Step: the table and its summary, published. Never cached: nothing else has side effects."""

import json
from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.batch.config import BatchConfig
from clip_har.batch.job import FinishedJob
from clip_har.batch.page import render_summary
from clip_har.batch.publishing import finish, summary_of, write_result
from clip_har.environment import describe_environment
from clip_har.models.bundle import ModelBundle
from clip_har.runs import publish
from steps.code import PROJECT
from steps.recording import record_published
from steps.scratch import scratch_folder
from steps.timing import describe_current_run


@step(enable_cache=False)
def publish_predictions(
    bundle: ModelBundle, job: str, batch: BatchConfig, outputs: str, folder: str | None, settings: str
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/` with the table (unless it is wanted elsewhere) and the page, and tidy up.

    Args:
        job: what `predict_images` gave.
        folder: the run's folder, if it is to be a certain one.
        settings: the composed configuration as YAML, to be written down.
    """
    finished = FinishedJob(**json.loads(job))
    run = describe_current_run()
    environment = describe_environment(PROJECT)
    summary = summary_of(finished, batch)
    table = write_result(finished, batch, Path(scratch_folder())) if batch.output is None else None
    facts = {
        "Source": batch.named_source.path,
        "Method": bundle.info.method,
        "Model": bundle.model_id,
        "Labels": "its own" if batch.labels is None else ", ".join(batch.labels),
        "Recognised with": f"{finished.runtime}, engine {batch.engine}",
        "Table": table.name if table is not None else f"in parts, in {batch.output}",
        "Run": run["name"],
        "Git revision": environment["git_revision"] or "not in Git",
    }
    published = publish(
        outputs,
        run["name"],
        report=render_summary(summary, facts),
        metrics={"batch": summary.figures()},
        record={
            **run,
            "model_id": bundle.model_id,
            "method": bundle.info.method,
            "data_hash": bundle.info.data_hash,
            "environment": environment,
            "settings": settings,
            "leaderboard": None,
            "batch": {
                "kept": finished.kept,
                "runtime": finished.runtime,
                "table": table.name if table is not None else batch.output,
                "asked": batch.asked(),
            },
        },
        files={table.name: table} if table is not None else None,
        fixed=folder,
    )
    finish(finished, batch)
    record_published(published)
    return str(published)
