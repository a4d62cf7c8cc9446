"""One of the processes of a training run: `python -m clip_har.training.worker FOLDER`, as a launcher starts it.

FOLDER is one that `clip_har.training.launch.Job` wrote.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from clip_har.errors import ClipHarError
from clip_har.storage import write_json
from clip_har.training.distributed import World, joined
from clip_har.training.launch import PROGRESS, ROWS, Job, save_outcome
from clip_har.training.trainer import Trainer

_SECONDS_BETWEEN_NOTES = 0.5
_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def main(folder: Path) -> None:
    """Train as the folder says, with the other processes."""
    import torch

    _end_with_parent()
    job = Job.read(folder)
    place = World.from_environment()
    device = torch.device("cuda", place.local_rank) if job.device == "cuda" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))
    with joined(device, job.config.distributed.timeout) as world:
        torch.manual_seed(job.seed)
        task = job.recipe.build(device)
        workspace = None if job.workspace is None else Path(job.workspace)
        trainer = Trainer(job.config, device, job.seed, key=job.key, workspace=workspace)
        result = trainer.fit(task, _noting(folder / PROGRESS), _collecting(folder / ROWS))
        save_outcome(folder, task, result, world)


def _noting(file: Path) -> Callable[[int, int, str], None]:
    """Writes progress down for whoever started the processes, now and then and at the end."""
    last = 0.0

    def note(done: int, total: int, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_NOTES or done == total:
            last = now
            write_json(file, [done, total, words])

    return note


def _collecting(file: Path) -> Callable[[dict[str, float]], None]:
    """Writes the history's new rows down for whoever started the processes."""
    rows: list[dict[str, float]] = []

    def note(row: dict[str, float]) -> None:
        rows.append(row)
        write_json(file, rows)

    return note


def _end_with_parent() -> None:
    """SIGTERM for this process if its launcher is killed: or it would go on, and write where the next run does."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    from torch.distributed.elastic.multiprocessing.errors import record

    try:
        record(main)(Path(sys.argv[1]))
    except ClipHarError as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
