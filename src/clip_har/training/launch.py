"""Training over several processes, started from within one: a folder says what to do, torch's elastic launcher does it.

What the processes are told is JSON: the settings, and a recipe by which each builds the task for itself. They leave the
result as JSON and the parameters as safetensors. On other machines that share the folder, processes join by hand:

    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-id clip-har --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m clip_har.training.worker FOLDER
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.component import validated
from clip_har.errors import TrainingError
from clip_har.storage import write_json
from clip_har.training.config import TrainerConfig
from clip_har.training.distributed import World
from clip_har.training.interruption import TrainingInterrupted
from clip_har.training.run_state import named_tensors
from clip_har.training.task import TrainingResult, TrainingTask
from clip_har.training.trainer import Trainer

if TYPE_CHECKING:
    import torch
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

Progress = Callable[[int, int, str], None]
OnValidation = Callable[[dict[str, float]], None]

JOB, RESULT, PARAMETERS, PROGRESS = "job.json", "result.json", "parameters.safetensors", "progress.json"
ROWS, LOGS, MATERIAL = "rows.json", "logs", "material"
_RUN = "clip-har"  # what the agents of a run on several machines know it by
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_END = 120  # to finish a step and write a checkpoint after SIGTERM


@dataclass(frozen=True)
class Recipe:
    """How to build a task in another process.

    Attributes:
        function: "package.module:function", called as `function(device=…, **arguments)`; gives a `TrainingTask`.
        arguments: JSON (paths of manifests and models, dumped configs).
    """

    function: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def build(self, device: torch.device) -> TrainingTask:
        """The task.

        Raises:
            TrainingError: if there is no such function.
        """
        module, _, name = self.function.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise TrainingError(
                f"There is no function {self.function!r} that builds a training task: {error}"
            ) from None
        return function(device=device, **self.arguments)


@dataclass(frozen=True)
class Job:
    """A training run as a folder describes it.

    Attributes:
        recipe: of the task.
        config, seed, key, workspace: as `Trainer` takes them.
        device: "cpu" or "cuda"; with cuda each process takes the GPU of its number.
    """

    recipe: Recipe
    config: TrainerConfig
    seed: int
    key: str
    workspace: str | None
    device: str

    def write(self, folder: Path) -> None:
        """Write `job.json`."""
        about = {
            "task": self.recipe.function,
            "arguments": self.recipe.arguments,
            "training": self.config.model_dump(mode="json"),
            "seed": self.seed,
            "key": self.key,
            "workspace": self.workspace,
            "device": self.device,
        }
        write_json(folder / JOB, about)

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read what `write` wrote.

        Raises:
            TrainingError: if there is no job in the folder.
        """
        try:
            about = json.loads((folder / JOB).read_text(encoding="utf-8"))
        except OSError as error:
            raise TrainingError(f"{folder} describes no training run: {error}") from None
        return cls(
            Recipe(about["task"], about["arguments"]),
            validated(TrainerConfig, about["training"], "training"),
            about["seed"],
            about["key"],
            about["workspace"],
            about["device"],
        )


def train(
    task: TrainingTask,
    recipe: Recipe,
    config: TrainerConfig,
    device: torch.device,
    seed: int,
    *,
    key: str = "",
    workspace: Path | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    on_validation: OnValidation | None = None,
) -> TrainingResult:
    """Train a task in this process, or by `config.distributed` in several; its parameters are then those of the best state.

    Args:
        task: this process's own; the others build theirs by the recipe.
        folder: one from `job_folder`, where the recipe needs files in it.
        progress, on_validation: as `Trainer.fit` takes them.

    Raises:
        TrainingError: as `Trainer.fit`; or what the first process that failed said.
    """
    if config.distributed.mode == "single":
        return Trainer(config, device, seed, key=key, workspace=workspace).fit(task, progress, on_validation)
    with contextlib.ExitStack() as made:
        folder = folder or made.enter_context(job_folder(config))
        place = None if workspace is None else str(workspace.resolve())
        Job(recipe, config, seed, key, place, device.type).write(folder)
        launch(folder, config, number_of_processes(config, device), progress, on_validation)
        result = load_outcome(folder, task)
    task.train_mode(False)
    return result


@contextmanager
def job_folder(config: TrainerConfig) -> Iterator[Path | None]:
    """The folder by which the processes of a run are told what to do; None if there is one process only.

    A recipe's own files go into `MATERIAL` in it.

    Raises:
        TrainingError: if `config.distributed.folder` holds files that are not of an earlier run.
    """
    if config.distributed.mode == "single":
        yield None
    elif config.distributed.folder is None:
        with tempfile.TemporaryDirectory(prefix="clip-har-training-") as scratch:
            yield Path(scratch)
    else:
        folder = Path(config.distributed.folder).resolve()
        earlier = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        strange = sorted(earlier - {JOB, RESULT, PARAMETERS, PROGRESS, ROWS, LOGS, MATERIAL})
        if strange:
            raise TrainingError(
                f"training.distributed.folder: {folder} has other files ({strange[0]}); wanted: an empty folder."
            )
        for name in earlier:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


def number_of_processes(config: TrainerConfig, device: torch.device) -> int:
    """Processes to start on this machine.

    Raises:
        TrainingError: if there are more than GPUs.
    """
    import torch

    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    wanted = config.distributed.processes or gpus or 2
    if gpus and wanted > gpus:
        raise TrainingError(f"training.distributed.processes: {wanted}, and this machine has {gpus} GPUs.")
    return wanted


def launch(
    folder: Path,
    config: TrainerConfig,
    processes: int,
    progress: Progress | None = None,
    on_validation: OnValidation | None = None,
) -> None:
    """Run a job's folder in that many processes on this machine, until all have ended.

    Where other machines take part, theirs are waited for.

    Raises:
        TrainingError: what the first process that failed said.
        TrainingInterrupted: if they were told to end and left a checkpoint.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous.api import RendezvousError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    wanted = config.distributed
    several = wanted.machines > 1
    patience = {"timeout": wanted.timeout, "join_timeout": wanted.timeout}
    settings = LaunchConfig(
        min_nodes=wanted.machines,
        max_nodes=wanted.machines,
        nproc_per_node=processes,
        run_id=_RUN if several else uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=wanted.endpoint if several else "localhost:0",
        rdzv_configs={"is_host": True} | patience if several else {},
        local_addr=wanted.endpoint.rpartition(":")[0] if several else "localhost",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=str(folder / LOGS)),
        shutdown_timeout=_SECONDS_TO_END,
    )
    if several and progress:
        progress(0, 1, f"waiting for {wanted.machines - 1} more at {wanted.endpoint}")
    try:
        with _own_signals(), _shown(folder, progress, on_validation):
            elastic_launch(settings, sys.executable)("-m", "clip_har.training.worker", str(folder))
    except ChildFailedError as error:
        raise _failure(error, processes * wanted.machines) from error
    except RendezvousError as error:
        raise TrainingError(
            f"training.distributed: {wanted.machines} machines did not come together at {wanted.endpoint} within "
            f"{wanted.timeout:g} seconds ({type(error).__name__}: {error}). On each other machine wanted: torchrun --nnodes "
            f"{wanted.machines} --nproc-per-node {processes} --rdzv-id {_RUN} --rdzv-backend c10d --rdzv-endpoint "
            f"{wanted.endpoint} -m clip_har.training.worker {folder}"
        ) from error
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from error
        raise TrainingInterrupted(
            "The run was told to end, and so were its processes; with training.checkpoint it goes on from where it was."
        ) from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Put back the handlers that torch's launcher leaves behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT]
    before = {number: signal.getsignal(number) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(error: ChildFailedError, processes: int) -> TrainingError:
    """The error of the process that failed first, in its own words."""
    rank, failure = error.get_first_failure()
    message = failure.error_file_data["message"]
    words = message["message"] if isinstance(message, dict) else failure.message
    kind, _, rest = words.partition(": ")
    if kind == TrainingInterrupted.__name__:
        return TrainingInterrupted(rest)
    if failure.exitcode == -signal.SIGKILL:
        words += ": somebody ended it, often the system because memory ran out"
    ours = kind.endswith("Error") and kind in _our_errors()
    return TrainingError(f"Process {rank} of {processes} ended the run: {rest if ours else words}")


def _our_errors() -> set[str]:
    """Names of the errors whose message says all."""
    from clip_har import errors

    return {name for name in vars(errors) if name.endswith("Error")}


@contextmanager
def _shown(folder: Path, progress: Progress | None, on_validation: OnValidation | None) -> Iterator[None]:
    """Pass on, for the block, what process 0 writes down; what `on_validation` raises ends the processes."""
    ended, problems = threading.Event(), []
    can_stop = threading.current_thread() is threading.main_thread()  # where torch's launcher listens to signals

    def look() -> None:
        seen, told = None, 0
        while True:
            last = ended.wait(_SECONDS_BETWEEN_LOOKS)
            now, rows = _noted(folder / PROGRESS), _noted(folder / ROWS) or []
            if progress and now is not None and now != seen:
                progress(*now)
                seen = now
            try:
                for row in rows[told:] if on_validation else []:
                    told += 1
                    on_validation(row)
            except BaseException as problem:  # it belongs to the thread that waits for the processes
                problems.append(problem)
                if can_stop and not last:
                    os.kill(os.getpid(), signal.SIGTERM)
                return
            if last:
                return

    watcher = threading.Thread(target=look, name="training progress")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        if problems:
            raise problems[0]


def _noted(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except OSError:  # nothing done yet
        return None


def save_outcome(folder: Path, task: TrainingTask, result: TrainingResult, world: World) -> None:
    """Write what a run left; all processes call this, the first writes."""
    from safetensors.torch import save_file

    tensors, _ = named_tensors(task.parameters(), task.buffers() if hasattr(task, "buffers") else [], [])
    whole = {name: value.full_tensor() if hasattr(value, "full_tensor") else value for name, value in tensors.items()}
    if world.first:
        save_file({name: value.cpu().contiguous() for name, value in whole.items()}, folder / PARAMETERS)
        write_json(folder / RESULT, result.to_json())


def load_outcome(folder: Path, task: TrainingTask) -> TrainingResult:
    """What a run left in its folder: the parameters go into the task.

    Raises:
        TrainingError: if the run left nothing.
    """
    from safetensors.torch import load_file

    if not (folder / RESULT).is_file():
        raise TrainingError(f"The training run in {folder} left no result.")
    load_parameters(task, load_file(folder / PARAMETERS))
    return TrainingResult(**json.loads((folder / RESULT).read_text(encoding="utf-8")))


def load_parameters(task: TrainingTask, tensors: dict[str, torch.Tensor]) -> None:
    """Put whole tensors, by the names of a checkpoint (see `checkpoints.consolidate`), into a task."""
    import torch

    own, _ = named_tensors(task.parameters(), task.buffers() if hasattr(task, "buffers") else [], [])
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
