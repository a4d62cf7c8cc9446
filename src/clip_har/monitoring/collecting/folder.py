"""All pictures of a folder, observed with the model here and now."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.observing import observe

if TYPE_CHECKING:
    from clip_har.models.backbone import ComputeConfig
    from clip_har.models.bundle import ModelBundle
    from clip_har.monitoring.config import MonitorConfig
    from clip_har.progress import Report

_SYSTEMS = ("__MACOSX", "Thumbs.db", "desktop.ini")


def collect_folder(
    folder: Path,
    config: MonitorConfig,
    bundle: ModelBundle,
    compute: ComputeConfig | None = None,
    progress: Report | None = None,
) -> Observations:
    """What the bundle says of every file below a folder. Names of folders are no labels: who sorted them is not known.

    Raises:
        MonitoringError: if there is no file.
        ClipHarError: if the bundle cannot be used.
    """
    from clip_har.inference.predictor import Predictor
    from clip_har.models.backbone import ComputeConfig

    files = files_below(folder)
    if not files:
        raise MonitoringError(f"monitor.source: there is no picture in {folder}, nor in the folders below it.")
    skipped = {}
    if len(files) > config.most:
        skipped = {f"beyond the {config.most:,} of a random sample (monitor.most)": len(files) - config.most}
        chosen = np.random.default_rng(config.seed).choice(len(files), config.most, replace=False)
        files = [files[row] for row in sorted(chosen)]
    compute = compute or ComputeConfig()
    predictor = Predictor.load(
        bundle,
        config.runtime,
        device=compute.device,
        batch_size=compute.batch_size,
        limits=config.limits,
        threads=compute.threads,
    )
    observed = observe(predictor, files, limits=config.limits, progress=progress)
    return replace(observed, source=str(folder), skipped=skipped)


def files_below(folder: Path) -> list[Path]:
    """All files but hidden ones and a system's own, in the order of their paths; links to folders are not followed."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [Path(place) / name for name in names if not _is_hidden(name)]
    return sorted(found)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in _SYSTEMS
