"""What is looked at: the capture of a time window, a table of `batch`, or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clip_har.monitoring.collecting.captured import CAPTURED, collect_captured
from clip_har.monitoring.collecting.folder import collect_folder
from clip_har.monitoring.collecting.table import collect_table, is_table
from clip_har.monitoring.errors import MonitoringError

if TYPE_CHECKING:
    from clip_har.models.backbone import ComputeConfig
    from clip_har.models.bundle import ModelBundle
    from clip_har.monitoring.config import MonitorConfig
    from clip_har.monitoring.observations import Observations
    from clip_har.progress import Report

__all__ = ["CAPTURED", "collect"]


def collect(
    config: MonitorConfig,
    bundle: ModelBundle,
    workspace: str | Path,
    *,
    compute: ComputeConfig | None = None,
    progress: Report | None = None,
) -> Observations:
    """The window that `config` names, as far as `bundle` answered it.

    Args:
        workspace: where the capture is, if `config` names no other place.
        compute: what a folder of pictures is observed with.

    Raises:
        MonitoringError: if there is nothing, too little, or what another model answered; it says what would be right.
        CaptureError: if the capture cannot be read.
    """
    place = Path(config.source).expanduser()
    if config.source == CAPTURED:
        found = collect_captured(config, bundle, workspace)
    elif is_table(place):
        found = collect_table(place, config, bundle)
    elif place.is_dir():
        found = collect_folder(place, config, bundle, compute, progress)
    elif place.is_file():
        raise MonitoringError(
            f"monitor.source: {config.source!r} is a file, and no table of `batch` (.parquet). Name a table, a folder of "
            f"pictures, or {CAPTURED!r}."
        )
    else:
        raise MonitoringError(
            f"monitor.source: there is no {config.source!r} (looked in {place.absolute().parent}). Name {CAPTURED!r}, a table "
            "of `batch` (.parquet), or a folder of pictures."
        )
    _require_enough(found, config)
    return found


def _require_enough(found: Observations, config: MonitorConfig) -> None:
    if len(found) + sum(found.errors.values()) >= config.minimum:  # that all are refused is to be said, too
        return
    left_out = found.skipped | {f"refused ({reason})": number for reason, number in found.errors.items()}
    aside = ", ".join(f"{number} {reason}" for reason, number in left_out.items())
    wait = (
        "Wait for more, begin the window earlier (monitor.since)" if found.times is not None else "Give more pictures"
    )
    raise MonitoringError(
        f"monitor.source: {len(found)} pictures that the model {found.model_id[:12]} answered are in {found.source}; at least "
        f"{config.minimum} are wanted{f' (left out: {aside})' if aside else ''}. {wait}, or set monitor.minimum lower."
    )
