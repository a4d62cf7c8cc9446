"""What would stop `monitor`, found in a second."""

from pathlib import Path

from clip_har.config import RunConfig
from clip_har.data.sources.base import CURRENT
from clip_har.errors import ConfigError
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.checks import checks_named
from clip_har.monitoring.collecting import CAPTURED
from clip_har.monitoring.collecting.captured import window_of
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.profile import ReferenceProfile


def check_monitoring(config: RunConfig, bundle: ModelBundle) -> None:
    """Check that there is a reference and something to compare with it, and that training again could work.

    Raises:
        ClipHarError: for the first thing that would stop it.
    """
    monitor = config.monitor
    checks_named(monitor.checks)
    _check_window(monitor, config.workspace.path)
    ReferenceProfile.of(bundle)
    if monitor.retrain == "always":
        if config.data.version != CURRENT:
            raise ConfigError(
                f"monitor.retrain: always, but data.version names {config.data.version!r}: new labels cannot become part of a "
                f"version that exists. Train on the source: --set data.version={CURRENT}"
            )
        for name in ("model", "adaptation"):
            if getattr(config, name) is None:
                raise ConfigError(f"{name}: training again needs this section, and the configuration has none.")


def _check_window(monitor: MonitorConfig, workspace: str) -> None:
    if monitor.source != CAPTURED:
        if not Path(monitor.source).expanduser().exists():
            raise MonitoringError(
                f"monitor.source: there is no {monitor.source!r} (looked in {Path(monitor.source).absolute().parent}). Name "
                f"{CAPTURED!r}, a table of `batch` (.parquet), or a folder of pictures."
            )
        return
    window_of(monitor)
    folder = Path(monitor.capture).expanduser() if monitor.capture else Path(workspace) / "capture"
    if not folder.is_dir():
        raise MonitoringError(
            f"monitor.source: nothing has been captured in {folder}. A running service captures there (make serve); "
            "otherwise name another folder (monitor.capture), a table of `batch`, or a folder of pictures (monitor.source)."
        )
