"""A report on very many captured rows, in a process of its own: how long it takes, and the most memory that it has at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measuring import PROJECT, seconds

sys.path.insert(0, str(PROJECT))

DIMENSIONS, CLASSES, REFERENCE = 512, 15, 1600


def measure(rows: int) -> dict[str, float]:
    """Seconds and gigabytes of a report on so many rows: collected, checked, by Evidently, and our page."""
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        _prepare(work, rows)
        command = [sys.executable, __file__, str(work), str(rows)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        return json.loads(done.stdout.splitlines()[-1])


def report(work: Path, rows: int) -> dict[str, float]:
    """The report itself, written as `monitor` publishes it; in this process."""
    from clip_har.models.bundle import ModelBundle
    from clip_har.monitoring.checking import check_window
    from clip_har.monitoring.collecting import collect
    from clip_har.monitoring.config import MonitorConfig
    from clip_har.monitoring.evidently_report import evidently_report
    from clip_har.monitoring.page import render_drift
    from clip_har.monitoring.profile import ReferenceProfile

    config, spent = MonitorConfig(since=None, most=rows), {}
    whole, cpu = time.perf_counter(), time.process_time()
    bundle = ModelBundle.load(work / "bundle")
    profile = ReferenceProfile.of(bundle)
    made: dict[str, Any] = {}

    def lap(name: str, action: Any) -> None:
        spent[f"{name}_s"] = seconds(lambda: made.update({name: action()}))

    lap("collect", lambda: collect(config, bundle, work))
    lap("check", lambda: check_window(profile, made["collect"], config))
    lap("evidently", lambda: evidently_report(profile.observations, made["collect"], made["check"], config))
    lap("page", lambda: render_drift(made["check"], links={"evidently": "evidently.html"}))
    made["evidently"].write(work / "report")
    (work / "report" / "report.html").write_text(made["page"])
    spent["report_s"], spent["report_cpu_s"] = time.perf_counter() - whole, time.process_time() - cpu
    assert len(made["collect"]) == rows, f"{len(made['collect'])} of {rows} rows were collected"
    return spent


def _prepare(work: Path, rows: int) -> None:
    """A model of 15 classes with embeddings of ViT-B's length, its profile, and a capture of a week."""
    from clip_har.capture.config import CaptureConfig
    from clip_har.capture.prediction import CapturedPrediction
    from clip_har.capture.writer import CaptureWriter
    from clip_har.monitoring.config import ProfileConfig
    from clip_har.monitoring.profile import ReferenceProfile
    from clip_har.progress import progress
    from tests.monitoring.observed import observations

    profile_config = ProfileConfig()
    drawn = observations(REFERENCE, classes=CLASSES, dimensions=DIMENSIONS, start=None)
    bundle = _bundle(work / "bundle", drawn)
    reference = _of(bundle, drawn)
    with progress("reference profile") as shown:
        ReferenceProfile.made_of(
            reference, profile_config, splits=profile_config.splits, runtime="onnx", progress=shown
        ).attach(bundle)
    writer = CaptureWriter(work / "capture", CaptureConfig(buffer=2 * rows))
    week, now, part = 7 * 86_400, time.time(), 5000
    with progress("capturing rows") as shown:
        for start in range(0, rows, part):
            count = min(part, rows - start)
            seen = observations(count, seed=1 + start, classes=CLASSES, dimensions=DIMENSIONS, darker=0.3, start=None)
            order = np.argsort(-seen.probabilities, axis=1)[:, :5]
            for row in range(count):
                pixels = max(float(seen.figures["megapixels"][row]), 0.01) * 1e6  # drawn from a bell: some are negative
                width = max(1, round((pixels * max(float(seen.figures["aspect"][row]), 0.3)) ** 0.5))
                height = max(1, round(pixels / width))
                writer.record(
                    CapturedPrediction(
                        id=f"{start + row:032x}",
                        time=now - week * (1 - (start + row) / rows),
                        model_id=bundle.model_id,
                        encoder_hash=bundle.info.encoder_hash,
                        embedding=seen.embeddings[row],
                        labels=tuple(bundle.labels[place] for place in order[row]),
                        scores=tuple(map(float, seen.probabilities[row, order[row]])),
                        calibrated=True,
                        abstained=bool(seen.abstained[row]),
                        probabilities=seen.probabilities[row],
                        width=width,
                        height=height,
                        format="JPEG",
                        bytes=max(1, round(abs(float(seen.figures["bits_per_pixel"][row])) * width * height / 8)),
                        statistics={name: float(values[row]) for name, values in seen.figures.items()},
                        seconds=0.02,
                        surface="rest",
                        role="champion",
                    )
                )
            writer.flush()
            shown(start + count, rows)
    writer.close()
    assert writer.dropped == 0, f"{writer.dropped} rows were dropped"


def _of(bundle: Any, drawn: Any) -> Any:
    """Drawn observations as the bundle's answers."""
    from dataclasses import replace

    return replace(drawn, model_id=bundle.model_id, encoder_hash=bundle.info.encoder_hash, labels=bundle.labels)


def _bundle(folder: Path, drawn: Any) -> Any:
    """A bundle of the tiny CLIP's files whose class matrix has the length of the drawn embeddings: nothing is encoded here."""
    from clip_har.models.backbone import ModelConfig
    from clip_har.models.bundle import BundleInfo, ModelBundle, OpenVocabulary
    from clip_har.models.calibration import Calibration
    from clip_har.models.dual_encoder import DualEncoder
    from clip_har.models.head import TextHead
    from clip_har.samples import HAR_ACTIONS

    info = BundleInfo(
        labels=HAR_ACTIONS,
        head="text",
        method="zero_shot",
        recipe={},
        backbone="none",
        backbone_hash="",
        encoder_hash=drawn.encoder_hash,
        data_hash="",
        data_revision="",
        config_hash="",
        open_vocabulary=OpenVocabulary(word="kept", basis="a benchmark"),
        metrics={},
    )
    return ModelBundle.create(
        folder,
        save_encoder=DualEncoder.load(ModelConfig(backbone="tiny-clip")).save,
        info=info,
        head=TextHead(100.0),
        class_matrix=np.eye(CLASSES, DIMENSIONS, dtype=np.float32),
        prompts={"single": "a photo of {}.", "templates": ["a photo of {}."], "class_names": {}, "texts": {}},
        calibration=Calibration(temperature=1.0, split="none", samples=0, data_hash=""),
    )


if __name__ == "__main__":
    from data import memory_of_this_process

    found = report(Path(sys.argv[1]), int(sys.argv[2]))
    print(json.dumps(found | {"report_gb": memory_of_this_process() / 1e9}))
