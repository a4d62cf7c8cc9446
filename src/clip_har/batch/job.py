"""A batch job: it goes on where an earlier run of it was killed, and ends with the same table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clip_har.batch.config import BatchConfig
from clip_har.batch.engines import BATCH_ENGINES, Gap
from clip_har.batch.filling import Filler
from clip_har.batch.parts import PartStore
from clip_har.batch.sources import build_batch_source
from clip_har.errors import ClipHarError, DataError
from clip_har.hashing import sha256_json
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from clip_har.storage import exclusive

_FORMAT = 1
_FOLDER = "batch"
_WAIT = 5.0
_IDENTITY = {
    "format": "the way that parts are written",
    "source": "the source's settings",
    "digest": "the source",
    "model_id": "the model",
    "asked": "the settings",
}


@dataclass(frozen=True)
class FinishedJob:
    """Where the parts of a whole table are.

    Attributes:
        url: of the parts.
        identity: hash of what they belong to.
        kept: rows that an earlier run had left.
        runtime: what ran the image encoder.
    """

    url: str
    identity: str
    kept: int
    runtime: str


def check_batch(config: BatchConfig) -> None:
    """Find what can be found wrong in a moment.

    Raises:
        ClipHarError: for the first thing.
    """
    source = build_batch_source(config.named_source, config.limits)
    source.check()
    BATCH_ENGINES.get(config.engine).check()
    if config.output is not None:
        PartStore(config.output)


def place_of(config: BatchConfig, workspace: str | Path) -> tuple[str, Path]:
    """(where the parts of a job are made, the lock of that place)."""
    source = build_batch_source(config.named_source, config.limits)
    name = sha256_json([config.output, config.named_source.kind, str(source.place)])[:16]
    folder = Path(workspace).absolute() / _FOLDER / name
    return config.output or str(folder), folder.with_name(f"{name}.lock")


def run_job(
    bundle: ModelBundle,
    config: BatchConfig,
    compute: ComputeConfig,
    workspace: str | Path,
    say: Callable[[str], None] | None = None,
) -> FinishedJob:
    """Recognise everything in a source; what an earlier run of the same job left is kept.

    Args:
        say: given sentences about what is kept or begun anew; standard error if None.

    Raises:
        ClipHarError: if the source, the model or a setting cannot be used.
    """
    say = say or (lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    url, lock = place_of(config, workspace)
    with exclusive(lock, wait=_WAIT):
        return _run(bundle, config, compute, PartStore(url), say)


def _run(
    bundle: ModelBundle, config: BatchConfig, compute: ComputeConfig, store: PartStore, say: Callable[[str], None]
) -> FinishedJob:
    source = build_batch_source(config.named_source, config.limits)
    source.check()
    if source.place.is_dir() and store.is_inside(source.place):
        raise DataError(
            f"batch.source: {config.named_source.path!r} holds the place that results are written to ({store.url}). Name the "
            "folder of the pictures, or another workspace.path or batch.output."
        )
    engine = BATCH_ENGINES.get(config.engine)
    engine.check()
    with progress("looking at what there is"):
        found = source.fingerprint()
    if found.count == 0:
        raise DataError(f"batch.source: there is nothing in {config.named_source.path}.")
    filler = Filler(source, bundle.path, config, compute, config.runtime, store)
    identity = {
        "format": _FORMAT,
        "source": config.named_source.model_dump(mode="json") | {"place": str(source.place)},
        "digest": found.digest,
        "model_id": bundle.model_id,
        "asked": config.asked() | {"batch_size": compute.batch_size, "span": filler.span},
    }
    there = store.manifest()
    changed = [word for key, word in _IDENTITY.items() if there is not None and there.get(key) != identity[key]]
    if there is not None and not changed:
        filler, changed = _as_before(filler, there, config.engine == "local")
    if there is None or changed:
        if changed and store.numbers():
            say(f"Starting anew: {', '.join(changed)} changed since the last run of this job.")
        store.begin(identity)
    gaps, kept = _gaps(store, filler.span, found.count, source.random_access)
    if kept:
        total = f" of {found.count:,}" if found.count is not None else ""
        say(f"Going on: {kept:,}{total} are done.")
    if gaps and config.engine == "local":
        filler.score  # noqa: B018 - loads the model, and refuses what cannot be asked of it
        filler = filler.with_runtime(filler.predictor.runtime.name)
    store.write_manifest(identity | {"runtime": filler.runtime})
    _fill(engine, filler, gaps, kept, found.count)
    if not store.numbers():
        raise DataError(f"batch.source: there is nothing in {config.named_source.path}.")
    return FinishedJob(store.url, sha256_json(identity), kept, filler.runtime)


def _as_before(filler: Filler, there: dict[str, Any], load: bool) -> tuple[Filler, list[str]]:
    """The filler with the runtime that the earlier run used, or why it cannot be had any more."""
    runtime = there.get("runtime", filler.runtime)
    if runtime == filler.runtime:
        return filler, []
    before = replace(filler, runtime=runtime)
    if load:
        try:
            before.predictor  # noqa: B018
        except ClipHarError:
            return filler, [f"the form for the runtime {runtime}"]
    return before, []


def _fill(engine: Any, filler: Filler, gaps: Sequence[Gap], kept: int, count: int | None) -> None:
    done, started = 0, time.monotonic()
    with progress("recognising") as report:

        def filled(rows: int) -> None:
            nonlocal done
            done += rows
            rate = done / max(time.monotonic() - started, 1e-6)
            expected = count or filler.source.expected or 0
            report(done, max(expected - kept, done), f"{rate:.0f} a second")

        engine.run(filler, gaps, filled)


def _gaps(store: PartStore, span: int, count: int | None, random_access: bool) -> tuple[list[Gap], int]:
    """What is missing, and the number of rows that are there. What is damaged, or lies behind a gap in a stream, is removed."""
    rows = {number: store.rows(number) for number in store.numbers()}
    if count is not None and random_access:
        parts = -(-count // span)
        whole = {number for number, found in rows.items() if found == min(span, count - number * span) > 0}
        _remove(store, rows.keys() - whole)
        missing = [number for number in range(parts) if number not in whole]
        gaps: list[Gap] = []
        for number in missing:
            first, length = gaps[-1] if gaps else (-1, 0)
            if gaps and first + length == number:
                gaps[-1] = (first, length + 1)
            else:
                gaps.append((number, 1))
        return gaps, sum(rows[number] for number in whole)
    first = 0
    while rows.get(first) == span:
        first += 1
    if 0 < rows.get(first, 0) < span:  # the last: only the end of the source leaves one that is short
        _remove(store, rows.keys() - set(range(first + 1)))
        return [], first * span + rows[first]
    _remove(store, rows.keys() - set(range(first)))
    return [(first, None)], first * span


def _remove(store: PartStore, numbers: Any) -> None:
    for number in sorted(numbers):
        store.remove(number)
