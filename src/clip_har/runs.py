"""What a run leaves for people: `outputs/<run>/` with `bundle/` or `backbone/`, `report.html`, `metrics.json`, `run.json`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clip_har.errors import DataError
from clip_har.models.bundle import ModelBundle
from clip_har.storage import new_folder, point_link, write_atomic, write_json

LATEST = "latest"


def publish(
    outputs: str | Path,
    name: str,
    *,
    report: str,
    metrics: dict[str, Any],
    record: dict[str, Any],
    bundle: ModelBundle | None = None,
    backbone: Path | None = None,
    model_card: str | None = None,
    files: Mapping[str, bytes | str | Path] | None = None,
    folders: Mapping[str, Path] | None = None,
    fixed: str | Path | None = None,
) -> Path:
    """Publish a run whole or not at all, and point `outputs/latest` at it.

    Args:
        name: the run's name; a second run of the same name gets a number.
        report: HTML.
        metrics: for `metrics.json`: figures only, no times and no ids, so that equal runs give equal bytes.
        record: for `run.json`: times, ids, environment, config.
        bundle: becomes `bundle/`.
        backbone: a Hugging Face folder, which becomes `backbone/`.
        model_card: its README.md.
        files: further files: path below the run's folder → content, or a file to copy.
        folders: further folders: path below the run's folder → what is copied there.
        fixed: the run's folder, instead of one below `outputs` with the run's name; what an earlier run published there
            is replaced as a whole. For DVC's stages.

    Returns:
        The run's folder.
    """
    outputs = Path(outputs)
    target = _free_place(outputs, name) if fixed is None else Path(fixed)
    made = target if fixed is None else _beside(target, "new")
    with new_folder(made) as folder:
        if bundle is not None:
            _copy_bundle(bundle.path, folder / "bundle", link=bundle.path.resolve().is_relative_to(outputs.resolve()))
        if backbone is not None:
            shutil.copytree(backbone, folder / "backbone")
            write_atomic(folder / "backbone" / "README.md", model_card or "")
        write_atomic(folder / "report.html", report)
        write_json(folder / "metrics.json", metrics)
        for path, content in (files or {}).items():
            if isinstance(content, Path):
                shutil.copyfile(content, folder / path)
            else:
                write_atomic(folder / path, content)
        for path, source in (folders or {}).items():
            shutil.copytree(source, folder / path)
        write_json(folder / "run.json", record | {"run": target.name if fixed is None else name})
    if fixed is not None:
        _replace(target, made)
    outputs.mkdir(parents=True, exist_ok=True)
    point_link(outputs / LATEST, target)
    return target


def _free_place(outputs: Path, name: str) -> Path:
    target = outputs / name
    number = 2
    while target.exists():
        target = outputs / f"{name}-{number}"
        number += 1
    return target


def _beside(target: Path, what: str) -> Path:
    """A hidden folder beside `target`, cleared of what a killed run left in it."""
    place = target.with_name(f".{target.name}.{what}")
    shutil.rmtree(place, ignore_errors=True)
    return place


def _replace(target: Path, made: Path) -> None:
    """Put a folder in another's place; killed between the two renames, the old one is still there under a hidden name."""
    old = _beside(target, "old")
    if target.exists():
        target.rename(old)
    made.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _copy_bundle(source: Path, target: Path, *, link: bool) -> None:
    """Copy a bundle; one that was published before is linked file by file, since its core never changes."""
    shutil.copytree(source, target, copy_function=os.link if link else shutil.copy2)


def latest_bundle(outputs: str | Path) -> Path:
    """The bundle of the newest run that has one (a run of `pretrain` has none).

    Raises:
        DataError: if there is none.
    """
    outputs = Path(outputs)
    found = outputs / LATEST / "bundle"
    if not found.is_dir():
        others = [path for path in outputs.glob("*/bundle") if not path.parent.name.startswith(".")]
        found = max(others, key=lambda path: path.parent.name, default=found)  # names begin with the time
    if not found.is_dir():
        raise DataError(
            f"There is no bundle yet: {found} does not exist. Train one first (python run.py --pipeline train), or name "
            "one with --set bundle=FOLDER."
        )
    return found.resolve()


def read_record(folder: str | Path) -> dict[str, Any]:
    """The `run.json` of a published run."""
    return json.loads((Path(folder) / "run.json").read_text())


def amend_record(folder: str | Path, **changes: Any) -> dict[str, Any]:
    """Replace keys of a published run's `run.json`, for what is known only when it is published; gives the whole."""
    record = read_record(folder) | changes
    write_json(Path(folder) / "run.json", record)
    return record
