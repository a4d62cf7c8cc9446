"""Checkpoints of a training run: safetensors and JSON, made under another name and renamed, checked when read.

    FOLDER/step-00000040/checkpoint.json        numbers, and the sha256 of every file
                         whole.safetensors      tensors that every process has
                         random-0000.safetensors  generators of random numbers, of each process
                         sharded/               tensors shared out by fsdp, a file a process
    FOLDER/best-00000030/whole.safetensors, sharded/   the best state, which the checkpoints refer to

The sharded ones are written by torch.distributed.checkpoint in its safetensors format.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.errors import TrainingError
from clip_har.hashing import sha256_file
from clip_har.storage import write_atomic

if TYPE_CHECKING:
    import torch

    from clip_har.training.distributed import World

FORMAT = 1
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_WHOLE, _SHARDED, _ABOUT = "whole.safetensors", "sharded", "checkpoint.json"


@dataclass(frozen=True)
class Snapshot:
    """A run at the end of a step.

    Attributes:
        step: of which it is.
        numbers: JSON.
        tensors: by name; sharded ones as DTensors.
        random: this process's generators.
        best_step, best: the best state so far.
    """

    step: int
    numbers: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    random: dict[str, torch.Tensor]
    best_step: int
    best: dict[str, torch.Tensor]


class CheckpointStore:
    """The checkpoints of one run.

    Args:
        folder: of this run only; made when the first checkpoint is.
        keep: how many are kept.
        world: the processes that save together.
    """

    def __init__(self, folder: Path, keep: int, world: World) -> None:
        self.folder, self._keep, self._world = folder, keep, world

    def save(self, snapshot: Snapshot) -> bool:
        """Write a checkpoint; all processes call this. Whether it was written.

        A full disk is reported, and the checkpoints that are there stay.
        """
        best = f"best-{snapshot.best_step:08d}"
        name = f"step-{snapshot.step:08d}"
        numbers = snapshot.numbers | {"best_folder": best}
        if not (self._exists(best) or self._write(best, snapshot.best, {}, {})):
            return False
        if not (self._exists(name) or self._write(name, snapshot.tensors, snapshot.random, numbers)):
            return False
        if self._world.first:
            self._prune()
        return True

    def _exists(self, name: str) -> bool:
        return self._world.of_first((self.folder / name).is_dir())

    def _write(
        self, name: str, tensors: dict[str, torch.Tensor], random: dict[str, torch.Tensor], numbers: dict[str, Any]
    ) -> bool:
        partial = self.folder / f".{name}.partial"
        steps = [
            lambda: self._start(partial),
            lambda: self._write_own(partial, tensors, random),
            lambda: self._write_sharded(partial, tensors),
            lambda: self._finish(partial, self.folder / name, numbers),
        ]
        for step in steps:
            problem = _full_disk(step)
            if self._world.any(problem is not None):
                if self._world.first:
                    shutil.rmtree(partial, ignore_errors=True)
                    warnings.warn(
                        f"The checkpoint {self.folder / name} could not be written: "
                        f"{problem or 'the disk of another process is full'}. Training goes on; the checkpoints before it stay. "
                        "Make room, or set training.checkpoint.folder to a larger disk.",
                        stacklevel=4,
                    )
                return False
        return True

    def _start(self, partial: Path) -> None:
        if self._world.first:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)

    def _write_own(self, partial: Path, tensors: dict[str, torch.Tensor], random: dict[str, torch.Tensor]) -> None:
        if self._world.first:
            _save(partial / _WHOLE, {name: tensor for name, tensor in tensors.items() if not _is_sharded(tensor)})
        if random:
            _save(partial / f"random-{self._world.rank:04d}.safetensors", random)

    def _write_sharded(self, partial: Path, tensors: dict[str, torch.Tensor]) -> None:
        sharded = {name: tensor for name, tensor in tensors.items() if _is_sharded(tensor)}
        if not sharded:
            return
        import torch.distributed.checkpoint as dcp

        with _quiet_dcp():
            writer = dcp.HuggingFaceStorageWriter(str(partial / _SHARDED), save_distributed=True)
            dcp.save(sharded, storage_writer=writer)

    def _finish(self, partial: Path, target: Path, numbers: dict[str, Any]) -> None:
        if not self._world.first:
            return
        about = {"format": FORMAT, "files": _hashes(partial), "processes": self._world.size, **numbers}
        write_atomic(partial / _ABOUT, json.dumps(about, indent=1) + "\n")
        os.replace(partial, target)
        with contextlib.suppress(OSError):  # not every file system can
            descriptor = os.open(target.parent, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _prune(self) -> None:
        """Remove checkpoints before the last `keep`, and best states that no checkpoint refers to."""
        steps = self._steps()
        for folder in steps[: -self._keep]:
            shutil.rmtree(folder, ignore_errors=True)
        referred = set()
        for folder in steps[-self._keep :]:
            with contextlib.suppress(OSError, ValueError, KeyError):
                referred.add(json.loads((folder / _ABOUT).read_text())["best_folder"])
        for folder in [*self.folder.glob("best-*"), *self.folder.glob(".*.partial")]:
            if folder.name not in referred:
                shutil.rmtree(folder, ignore_errors=True)

    def _steps(self) -> list[Path]:
        return sorted(self.folder.glob("step-*"))

    def last(self) -> SavedRun | None:
        """The newest checkpoint that is whole; None if there is none. All processes call this.

        A damaged one is reported, and the one before it is taken.

        Raises:
            TrainingError: if it is of another number of processes.
        """
        name = None
        if self._world.first:
            for folder in reversed(self._steps()):
                problem = _damage(folder)
                if problem is None:
                    name = folder.name
                    break
                warnings.warn(
                    f"The checkpoint {folder} is damaged and is left out: {problem}. The one before it is used, if any.",
                    stacklevel=2,
                )
                shutil.rmtree(folder, ignore_errors=True)
            else:  # a best state that none of them refers to may be damaged too
                shutil.rmtree(self.folder, ignore_errors=True)
        name = self._world.of_first(name)
        if name is None:
            return None
        saved = SavedRun(self.folder / name, self._world.rank)
        if saved.about["processes"] != self._world.size:
            raise TrainingError(
                f"{saved.folder} is a checkpoint of {saved.about['processes']} processes, and this run has "
                f"{self._world.size}. Run it with as many as before, or remove {self.folder} to begin anew."
            )
        return saved


class SavedRun:
    """A checkpoint on disk.

    Attributes:
        about: its numbers.
    """

    def __init__(self, folder: Path, rank: int = 0) -> None:
        self.folder, self._rank = folder, rank
        self.about: dict[str, Any] = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))

    def tensors(self, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The tensors by name; those that are sharded in `like` are sharded as there. All processes call this."""
        return _read(self.folder, like)

    def best(self, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The same for the best state."""
        return _read(self.folder.parent / self.about["best_folder"], like)

    def random(self) -> dict[str, torch.Tensor]:
        """This process's generators of random numbers."""
        from safetensors.torch import load_file

        return load_file(self.folder / f"random-{self._rank:04d}.safetensors")


def consolidate(folder: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint's or a best state's folder, whole, in one process: sharded ones are put together."""
    import torch
    import torch.distributed.checkpoint as dcp
    from safetensors.torch import load_file

    folder = Path(folder)
    tensors = load_file(folder / _WHOLE)
    if (folder / _SHARDED).is_dir():
        with _quiet_dcp():
            reader = dcp.HuggingFaceStorageReader(str(folder / _SHARDED))
            stored = reader.read_metadata().state_dict_metadata
            whole = {name: torch.empty(about.size, dtype=about.properties.dtype) for name, about in stored.items()}
            dcp.load(whole, storage_reader=reader, no_dist=True)
        tensors |= whole
    return tensors


def _read(folder: Path, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / _WHOLE)
    sharded = {name: torch.zeros_like(tensor) for name, tensor in like.items() if _is_sharded(tensor)}
    if sharded:
        import torch.distributed.checkpoint as dcp

        with _quiet_dcp():
            dcp.load(sharded, storage_reader=dcp.HuggingFaceStorageReader(str(folder / _SHARDED)))
    return tensors | sharded


def _is_sharded(tensor: torch.Tensor) -> bool:
    return hasattr(tensor, "full_tensor")


def _save(file: Path, tensors: dict[str, torch.Tensor]) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, file)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(file)) from None
    with open(file, "rb") as written:
        os.fsync(written.fileno())


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _damage(folder: Path) -> str | None:
    """What is wrong with a checkpoint or with its best state; None if nothing is."""
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        best = folder.parent / about["best_folder"]
        listed = [(folder, about), (best, json.loads((best / _ABOUT).read_text(encoding="utf-8")))]
        if about["format"] != FORMAT:
            return f"it is of format {about['format']}, wanted: {FORMAT}"
        for place, its in listed:
            for name, expected in its["files"].items():
                if sha256_file(place / name) != expected:
                    return f"{place.name}/{name} is not as it was written"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _full_disk(work: Callable[[], None]) -> OSError | None:
    """Do some work; the error if it failed for want of space."""
    try:
        work()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return error
    except Exception as error:
        # torch.distributed.checkpoint raises one error on all processes, with each one's own inside
        causes = [cause for cause, _ in getattr(error, "failures", {}).values()]
        full = [cause for cause in causes if isinstance(cause, OSError) and cause.errno in _FULL]
        if not full:
            raise
        return full[0]
    return None


@contextlib.contextmanager
def _quiet_dcp() -> Iterator[None]:
    """Without torch's warnings about its own defaults."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.distributed")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.distributed")
        yield
