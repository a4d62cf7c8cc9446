"""Run a pipeline on a stack: check, prepare, activate, run, show."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import uuid
from datetime import datetime
from pathlib import Path

from clip_har.config import RunConfig
from pipelines import MADE_FIRST, RUN_AFTER, console
from pipelines.checks import check, version_of_bundle
from pipelines.interrupt import keep_interrupts
from pipelines.retraining import exit_code, retrain
from stacks.store import FOLDER, prepared_store

_QUIET = {
    "ZENML_ANALYTICS_OPT_IN": "false",
    "ZENML_AUTO_OPEN_DASHBOARD": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "WANDB_SILENT": "true",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def launch(pipeline: str, config: RunConfig, stack: str, settings: str, *, cache: bool = True) -> int:
    """Run a pipeline, and what it asks for afterwards, and show what came of it.

    Args:
        settings: the options that the config came from, as the user gave them, for what to type next.
        cache: whether steps may be taken from earlier runs.

    Returns:
        The exit code: 0, or 3 where `monitor` found what nothing has answered yet.

    Raises:
        ClipHarError: for a mistake of the user's, whether found before or during the run.
    """
    started = time.perf_counter()
    keep_interrupts()
    check(pipeline, config)
    workspace = Path(config.workspace.path).absolute()
    prepare_environment(workspace, config.compute.threads)
    with prepared_store(workspace):
        from zenml.utils import source_utils

        from stacks.register import activate

        source_utils.set_custom_source_root(str(Path(__file__).parents[1]))
        console.quieten()
        activate(stack)
    from stacks.tracking import active_trackers, settle

    active_trackers(str(workspace))  # one that nobody knows is said now, not when all is done
    version = _data_version(pipeline, config, workspace, stack, cache)
    folder = _run(pipeline, config, workspace, stack, cache, version)
    if folder.is_dir():
        console.show_result(folder, time.perf_counter() - started, settings)
    else:
        console.show_elsewhere(folder, stack)
    if pipeline in RUN_AFTER and folder.is_dir():

        def run_after(name: str, changed: RunConfig) -> Path:
            return _run(name, changed, workspace, stack, cache, _data_version(name, changed, workspace, stack, cache))

        retrain(folder, config, run_after)
    console.show_tracking(settle())
    return exit_code(folder, config) if pipeline in RUN_AFTER else 0


def _data_version(pipeline: str, config: RunConfig, workspace: Path, stack: str, cache: bool) -> str | None:
    """The published version that the pipeline works on, made first where it needs one; None for the source itself."""
    from clip_har.data.sources.base import CURRENT
    from pipelines.labelled_data import published_version

    if pipeline in ("data", "publish", "rollback", "batch", "monitor"):
        return None
    if pipeline == "deploy" and (trained_on := version_of_bundle(config)) is not None:
        return trained_on
    anew = config.data.version == CURRENT and not cache
    version = None if anew else published_version(config, str(workspace))
    if version is None and pipeline in MADE_FIRST:
        # in a place of its own: outputs/latest may be named in the configuration
        paths = {"run": None, "outputs": str(Path(config.paths.outputs) / MADE_FIRST[pipeline])}
        apart = config.model_copy(update={"paths": config.paths.model_copy(update=paths)})
        folder = _run(MADE_FIRST[pipeline], apart, workspace, stack, cache, None)
        console.show_data_first(folder)
        version = json.loads((folder / "version.json").read_text())["git_revision"]
    return version


def _run(pipeline: str, config: RunConfig, workspace: Path, stack: str, cache: bool, version: str | None) -> Path:
    """Run one pipeline; the folder that it published."""
    from zenml.exceptions import RunInterruptedException, RunStoppedException

    from stacks.register import run_settings
    from stacks.tracking import fail_run, finish_run

    print(f"{pipeline} on the stack {stack}:", file=sys.stderr)
    module = importlib.import_module(f"pipelines.{pipeline}")
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}_{pipeline}_{uuid.uuid4().hex[:4]}"
    options = {"run_name": name, "enable_cache": cache, "settings": run_settings(stack) or None}
    run = getattr(module, pipeline).with_options(**options)
    outputs = str(Path(config.paths.outputs).absolute())
    try:
        response = run(
            config=config, workspace=str(workspace), outputs=outputs, settings=config.to_yaml(), version=version
        )
    except BaseException as error:
        fail_run()
        if isinstance(error, RunInterruptedException | RunStoppedException):  # ZenML's words for Ctrl-C in a step
            raise KeyboardInterrupt from None
        raise
    finish_run()  # where the publishing step has not done it
    published = response.steps[module.plan(config, version)[-1]]  # publishing is the last step of every pipeline
    return Path(published.outputs["published"][0].load())


def prepare_environment(workspace: Path, threads: int | None = None) -> None:
    """Set what ZenML, MLflow and torch read from the environment; what the user has set stays."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if "WANDB_API_KEY" not in os.environ:
        os.environ.setdefault("WANDB_MODE", "offline")
    os.environ.setdefault("ZENML_CONFIG_PATH", str(workspace / FOLDER))
    os.environ["CLIP_HAR_WORKSPACE"] = str(workspace)
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    workspace.mkdir(parents=True, exist_ok=True)
