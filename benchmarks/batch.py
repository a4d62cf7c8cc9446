"""How fast a batch job is beside the Predictor itself, and whether its memory grows with the folder.

Speed: the same photographs, the same model, loading included, in turn within one process; the job finds, hashes, recognises and
writes them. Memory: the highest of a process of its own that recognises a folder of hard links, writes the table and makes
the summary, for two sizes of the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundles import make_bundle, photographs
from measuring import HAR_DUAL_ENCODER, PROJECT, finish, pairs, parser, ratio, seconds, show

sys.path.insert(0, str(PROJECT))

_DISTINCT = 500  # photographs that the links lead to
_RUNTIME = "onnx"


def settings(folder: Path) -> tuple[Any, Any]:
    """The configs of a job over a folder."""
    from clip_har.batch.config import BatchConfig
    from clip_har.component import validated
    from clip_har.models.backbone import ComputeConfig

    batch = validated(BatchConfig, {"source": str(folder), "runtime": _RUNTIME})
    return batch, ComputeConfig(device="cpu")


def job(bundle: Path, folder: Path, workspace: Path, *, summarised: bool) -> int:
    """A whole job; its number of rows."""
    from clip_har.batch.job import run_job
    from clip_har.batch.page import render_summary
    from clip_har.batch.publishing import finish as tidy
    from clip_har.batch.publishing import summary_of, write_result
    from clip_har.models.bundle import ModelBundle

    batch, compute = settings(folder)
    done = run_job(ModelBundle.load(bundle), batch, compute, workspace, say=lambda text: None)
    write_result(done, batch, workspace)
    rows = 0
    if summarised:
        summary = summary_of(done, batch)
        rows = summary.images
        render_summary(summary, {"Source": "photographs", "Method": "zero_shot"})
    tidy(done, batch)
    return rows


def speed(count: int, turns: int) -> tuple[list[float], list[float]]:
    """Images a second of the Predictor and of the job, in turn."""
    from clip_har.inference.predictor import Predictor
    from clip_har.models.bundle import ModelBundle

    model = "har_dual_encoder" if HAR_DUAL_ENCODER.is_dir() else "tiny-clip"
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        bundle, _ = make_bundle(model, work, (_RUNTIME,))
        (work / "photographs").mkdir()
        for number, data in enumerate(photographs(count)):
            (work / "photographs" / f"{number:05}.jpg").write_bytes(data)
        files = sorted((work / "photographs").iterdir())

        def itself() -> None:
            predictor = Predictor.load(ModelBundle.load(bundle.path), _RUNTIME, device="cpu")
            assert len(predictor.predict(files)) == len(files)

        def whole() -> None:
            job(bundle.path, work / "photographs", work / "workspace", summarised=False)

        def rate(action: Callable[[], None]) -> Callable[[], float]:
            return lambda: len(files) / seconds(action)

        itself(), whole()
        return pairs(rate(itself), rate(whole), turns)


def memory(sizes: tuple[int, int]) -> list[int]:
    """The most bytes that a job over so many files had at one time."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        bundle, _ = make_bundle("tiny-clip", work, (_RUNTIME,))
        (work / "distinct").mkdir()
        for number, data in enumerate(photographs(_DISTINCT)):
            (work / "distinct" / f"{number}.jpg").write_bytes(data)
        distinct, peaks = sorted((work / "distinct").iterdir()), []
        for size in sizes:
            folder = work / f"of_{size}"
            folder.mkdir()
            for number in range(size):
                os.link(distinct[number % len(distinct)], folder / f"{number:06}.jpg")
            command = [sys.executable, __file__, "--child", *map(str, (bundle.path, folder, work / "workspace"))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
            found = json.loads(done.stdout.splitlines()[-1])
            assert found["rows"] == size, found
            peaks.append(found["peak"])
            shutil.rmtree(folder)
        return peaks


def child(bundle: str, folder: str, workspace: str) -> None:
    """A job in a process of its own; prints its rows and its peak."""
    from data import memory_of_this_process

    rows = job(Path(bundle), Path(folder), Path(workspace), summarised=True)
    print(json.dumps({"rows": rows, "peak": memory_of_this_process()}))


def main() -> None:
    """Measure, show, and print the line."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    made = parser(__doc__)
    made.add_argument("--only", choices=("speed", "memory"), help="measure one of the two")
    options = made.parse_args()
    figures: dict[str, Any] = {"benchmark": "batch"}
    if options.only != "memory":
        itself, whole = speed(200 if options.quick else 1500, 3 if options.quick else 7)
        share = ratio(whole, itself)
        rows = [
            ("the Predictor itself", f"{statistics.median(itself):.1f}", ""),
            ("batch job", f"{statistics.median(whole):.1f}", f"{share:.3f}"),
        ]
        show("Photographs a second, loading included", rows, ("", "a second", "share"))
        figures |= {
            "predictor_per_second": statistics.median(itself),
            "batch_per_second": statistics.median(whole),
            "share_of_predictor": share,
        }
    if options.only != "speed":
        sizes = (600, 3000) if options.quick else (6000, 60_000)
        peaks = memory(sizes)
        shown = [(f"{size:,} files", f"{peak / 1e6:.0f}") for size, peak in zip(sizes, peaks, strict=True)]
        show("Highest memory of a job", shown, ("", "MB"))
        figures |= {"files": sizes[1], "peak_mb": peaks[1] / 1e6, "memory_growth": peaks[1] / peaks[0]}
    finish(figures)


if __name__ == "__main__":
    main()
