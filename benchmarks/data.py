"""The data platform's speed and size: ingest and validation, an epoch of the loader, and the search for near-duplicates.

Each figure comes from a process of its own, so that peak memory is that of one job. How time and memory grow is measured on
generated files (small parts of photographs, or of drawn pictures where there are none): the same kind at every size.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import HAR, PROJECT, finish, parser, real_data, seconds, show

sys.path.insert(0, str(PROJECT))

_CLASSES = 6
_ORIGINALS = 600
_SEARCHED = 100_000


def generate(folder: Path, count: int) -> None:
    """Write so many small JPEGs, a sub-folder a class; each shows another part of one of a few hundred pictures."""
    import numpy as np
    from PIL import Image

    from clip_har.samples import HAR_ACTIONS, describe_scene, draw_scene

    if HAR.is_dir():
        pictures = [Image.open(path).convert("RGB") for path in sorted((HAR / "train").iterdir())[:_ORIGINALS]]
    else:
        actions = [HAR_ACTIONS[number % len(HAR_ACTIONS)] for number in range(min(count, _ORIGINALS) // 5)]
        pictures = [draw_scene(describe_scene(action, number)) for number, action in enumerate(actions)]
    for number in range(_CLASSES):
        (folder / f"class_{number}").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(count):
        kind = number % len(pictures)
        picture = pictures[kind]
        width, height = (
            int(side * share) for side, share in zip(picture.size, generator.uniform(0.4, 0.6, 2), strict=True)
        )
        left = int(generator.integers(0, picture.width - width + 1))
        top = int(generator.integers(0, picture.height - height + 1))
        part = picture.crop((left, top, left + width, top + height)).resize((96, 72), Image.Resampling.BILINEAR)
        part.save(folder / f"class_{kind % _CLASSES}" / f"{number:06}.jpg", quality=85)


def memory_of_this_process() -> int:
    """The most bytes that it has had at one time.

    From Linux's /proc: its `getrusage` also counts what the parent had when it started this process.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in status if line.startswith("VmHWM")).split()[1])


def ingest(folder: str, kind: str, place: str) -> dict[str, float]:
    """Ingest, validate and deduplicate; the Manifest is left in `place`."""
    import imagehash  # noqa: F401 - imports are not what is measured
    import scipy.sparse.csgraph  # noqa: F401

    from clip_har.data.fingerprint import fingerprint
    from clip_har.data.sources import build_source, parse_source_config
    from clip_har.data.validation import ValidationConfig, deduplicate, validate

    source = build_source(parse_source_config({"source": kind, "path": folder}), place)
    config = ValidationConfig()
    spent = {"ingest": seconds(lambda: fingerprint(source, []))}
    started = time.perf_counter()
    validated = validate(source, config)
    spent["validate"] = time.perf_counter() - started
    started = time.perf_counter()
    manifest, report = deduplicate(*validated, config)
    spent["deduplicate"] = time.perf_counter() - started
    tables = (validated[0].frame, manifest.frame, validated[2].frame, report.rejections, report.warnings)
    held = int(sum(table.memory_usage(deep=True).sum() for table in tables))
    peak = memory_of_this_process()
    manifest.write(Path(place) / "manifest.parquet")
    pairs = len(report.near_duplicates)
    return {**spent, "found": report.found, "accepted": report.accepted, "pairs": pairs, "peak": peak, "tables": held}


def epoch(place: str) -> dict[str, float]:
    """One epoch of training pixels of a Manifest: shuffled, augmented, 224 × 224."""
    import numpy as np

    from clip_har.data.augmentation import AugmentationConfig
    from clip_har.data.manifest import Manifest
    from clip_har.models.preprocessing import PreprocessingConfig
    from clip_har.training.pixels import TrainingPixels

    manifest = Manifest.read(Path(place) / "manifest.parquet")
    preprocessing = PreprocessingConfig(
        resize_shortest_edge=224,
        resize_to=None,
        resample=3,
        crop=(224, 224),
        scale=1 / 255,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
    )
    pixels = TrainingPixels(manifest, preprocessing, AugmentationConfig(), seed=0)
    order = np.random.default_rng(0).permutation(len(manifest))
    started, number, waited, early = time.perf_counter(), 0, 0.0, 0
    for positions, _ in pixels.batches(order, 0, 32):
        if not number:  # let what is decoded ahead pile up as far as it may, so that the peak is no matter of luck
            waited = seconds(lambda: time.sleep(2))
        number += len(positions)
        if not early and 8 * number >= len(manifest):
            early = memory_of_this_process()
    spent = time.perf_counter() - started - waited
    return {"epoch": spent, "accepted": number, "early": early, "peak": memory_of_this_process()}


def search(count: int) -> dict[str, float]:
    """Pairs at most 10 bits apart among random hashes, a twentieth of which are copies with up to 10 bits changed."""
    import numpy as np

    from clip_har.data.duplicates import close_pairs

    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, count, dtype=np.uint64)
    copies = np.arange(count - count // 20, count)
    originals = generator.choice(count - len(copies), len(copies), replace=False)
    places = np.argsort(generator.random((len(copies), 64)), axis=1).astype(np.uint64)
    bits = np.where(np.arange(64) < (np.arange(len(copies)) % 11)[:, None], np.uint64(1) << places, np.uint64(0))
    hashes[copies] = hashes[originals] ^ np.bitwise_or.reduce(bits, axis=1)
    spent, pairs = [], np.empty((0, 3))
    for _ in range(3):
        started = time.perf_counter()
        pairs = close_pairs(hashes, 10)
        spent.append(time.perf_counter() - started)
    found = set(map(tuple, pairs[:, :2].tolist()))
    recall = sum(pair in found for pair in zip(originals.tolist(), copies.tolist(), strict=True)) / len(copies)
    return {"search": statistics.median(spent), "recall": recall, "peak": memory_of_this_process()}


_JOBS = {"ingest": ingest, "epoch": epoch, "search": search}


def in_a_process(job: str, *arguments: Any) -> dict[str, float]:
    """Do one job in a process of its own."""
    command = [sys.executable, __file__, "--job", job, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes: list[float], figures: list[float]) -> float:
    """Slope of log(figure) over log(size), by least squares."""
    x, y = [math.log(size) for size in sizes], [math.log(figure) for figure in figures]
    middle, height = statistics.fmean(x), statistics.fmean(y)
    products = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True))
    return products / sum((a - middle) ** 2 for a in x)


def measured(folder: Path, kind: str, place: Path) -> dict[str, float]:
    """All jobs on one folder of pictures."""
    place.mkdir()
    first = in_a_process("ingest", folder, kind, place)
    second = in_a_process("epoch", place)
    return {
        **first,
        "epoch": second["epoch"],
        "validation": first["ingest"] + first["validate"] + first["deduplicate"],
        "memory": first["peak"] - first["tables"],
        "epoch_memory": second["peak"],
        "epoch_memory_early": second["early"],
    }


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default=str(HAR), help="folder in Kaggle's layout")
    arguments.add_argument("--job", nargs="*", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.job is not None:
        name, *rest = options.job
        if name == "search":
            rest = [int(rest[0])]
        print(json.dumps(_JOBS[name](*rest)))
        return
    sizes = [400, 800, 1600] if options.quick else [3000, 6000, 12000, 24000]
    real = real_data() and not options.quick
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        runs = {}
        for size in sizes:
            generate(place / f"pictures-{size}", size)
            runs[size] = measured(place / f"pictures-{size}", "folder", place / f"work-{size}")
        whole = measured(Path(options.data), "csv", place / "work-real") if real else runs[sizes[-1]]
    counts = [12_500, 25_000] if options.quick else [25_000, 50_000, _SEARCHED]
    searches = {count: in_a_process("search", count) for count in counts}
    last = counts[-1]
    near_duplicates = searches[last]["search"] * (_SEARCHED / last) ** 2

    rows = [*((f"{size:,} generated", run) for size, run in runs.items())]
    rows += [(f"{whole['found']:,} photographs", whole)] if real else []
    columns = ("ingest", "validate", "deduplicate", "epoch")
    show(
        "Seconds; peak MB: validation beyond its tables, an eighth of an epoch, all of it",
        [
            (
                name,
                *[f"{run[column]:.1f}" for column in columns],
                run["pairs"],
                *[f"{run[column] / 1e6:.0f}" for column in ("memory", "epoch_memory_early", "epoch_memory")],
            )
            for name, run in rows
        ],
        ("pictures", *columns, "near pairs", "MB", "MB", "MB"),
    )
    show(
        "Near-duplicate search",
        [(f"{n:,}", f"{run['search']:.2f}", f"{run['recall']:.4f}") for n, run in searches.items()],
        ("hashes", "seconds", "recall of planted pairs"),
    )
    if last != _SEARCHED:
        print(
            f"--quick: near_duplicates_100k_s is extrapolated from {last:,} hashes, as if time grew with their square."
        )
    small, large = runs[sizes[0]], runs[sizes[-1]]
    validation = [run["validation"] for run in runs.values()]
    finish(
        {
            "benchmark": "data",
            "photographs": whole["found"],
            "generated": sizes[-1],
            "images_per_second": whole["found"] / whole["validation"],
            "loader_images_per_second": whole["accepted"] / whole["epoch"],
            "generated_images_per_second": large["found"] / large["validation"],
            "time_exponent": exponent(sizes, validation),
            "loader_time_exponent": exponent(sizes, [run["epoch"] for run in runs.values()]),
            "memory_growth": large["memory"] / small["memory"],
            "loader_memory_growth": large["epoch_memory"] / large["epoch_memory_early"],
            "near_duplicates_100k_s": near_duplicates,
            "near_duplicates_measured_at": last,
            "near_duplicates_exponent": exponent(counts, [run["search"] for run in searches.values()]),
            "near_duplicate_recall": min(run["recall"] for run in searches.values()),
        }
    )


if __name__ == "__main__":
    main()
