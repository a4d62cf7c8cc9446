"""Reports about the served model, and about what the service saw: from its bundle, its runs, and the workspace."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from clip_har.errors import did_you_mean
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.runs import LATEST
from clip_har.serving.errors import NotFound
from clip_har.storage import write_atomic, write_json

FOLDER = "reports"
"""Of a bundle's attachments, and of a workspace: `<name>.json` and `<name>.html`."""

Format = Literal["json", "html"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NO_REPORTS = ("attachment",)
_LARGEST = 50_000_000
_FRESH_SECONDS = 5.0
# All that an evaluation found: confusion matrix, curves, reliability, examples; `metrics.json` has its figures alone.
_WHOLE = "evaluation.json"
# What else a run leaves: name of the report → its files, and the part of `metrics.json` that shows that it is there.
_OF_RUNS = {
    "export": ("export_report.json", "export_report.html", "export"),
    "promotion": ("promotion_report.json", "promotion.html", "promotion"),
}


@dataclass(frozen=True)
class Entry:
    """A report.

    Attributes:
        name: of the report.
        files: what it is there as; with each the file, and the member of it that is the report (None: all of it).
        source: bundle, workspace, or the name of a run.
    """

    name: str
    files: dict[Format, tuple[Path, str | None]]
    source: str


class ReportShelf:
    """Finds reports. They are read from disk when asked for: what was made since shows up.

    Args:
        workspace: whose `reports/` are shown (drift, say).
        outputs: folder of published runs, of which those of the served model are looked at.
    """

    def __init__(self, workspace: Path | None = None, outputs: Path | None = None) -> None:
        self._workspace, self._outputs = workspace, outputs
        self._known: tuple[str, float, list[Entry]] | None = None

    def entries(self, bundle: ModelBundle) -> list[Entry]:
        """The reports that there are, by name."""
        known, now = self._known, time.monotonic()
        if known is not None and known[0] == bundle.model_id and now - known[1] < _FRESH_SECONDS:
            return known[2]
        found = {entry.name: entry for entry in self._of_runs(bundle)}
        found |= {entry.name: entry for entry in _in_folder(bundle.path / ATTACHMENTS / FOLDER, "bundle")}
        if self._workspace is not None:
            found |= {entry.name: entry for entry in _in_folder(self._workspace / FOLDER, "workspace")}
        listed = [found[name] for name in sorted(found)]
        self._known = (bundle.model_id, now, listed)
        return listed

    def read(self, bundle: ModelBundle, name: str, wanted: Format | None = None) -> tuple[Entry, Format, Any]:
        """A report: its entry, the format, and the page or what the JSON says.

        Args:
            wanted: format; JSON, where there is any, if not given.

        Raises:
            NotFound: if it is not there, or not in that format.
        """
        entries = {entry.name: entry for entry in self.entries(bundle)}
        entry = entries.get(name)
        if entry is None:
            raise NotFound(f"There is no report {name[:64]!r}. {did_you_mean(name[:64], entries)}", field="name")
        chosen: Format = wanted or ("json" if "json" in entry.files else "html")
        if chosen not in entry.files:
            raise NotFound(f"The report {name!r} is there as {', '.join(entry.files)} only.", field="format")
        try:
            return entry, chosen, _content(*entry.files[chosen])
        except (OSError, ValueError, KeyError):  # replaced or removed since it was listed
            self._known = None
            raise NotFound(f"The report {name!r} is not there any more.", field="name") from None

    def pack(self, bundle: ModelBundle, folder: Path) -> list[str]:
        """Write all reports as a bundle's attachment has them; their names. For a bundle that is served elsewhere."""
        for entry in self.entries(bundle):
            for kind in entry.files:
                content = _content(*entry.files[kind])
                place = folder / f"{entry.name}.{kind}"
                write_json(place, content) if kind == "json" else write_atomic(place, content)
        return [entry.name for entry in self.entries(bundle)]

    def _of_runs(self, bundle: ModelBundle) -> Iterator[Entry]:
        """Of the model's runs, the oldest first."""
        runs = []
        for file in self._records(bundle):
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                metrics = json.loads((file.parent / "metrics.json").read_text(encoding="utf-8"))
                if record["model_id"] == bundle.model_id:
                    runs.append((str(record.get("started") or ""), file.parent.name, file.parent, metrics))
            except (OSError, ValueError, KeyError, TypeError):  # another program's, or one that is being removed
                continue
        for _, name, folder, metrics in sorted(runs, key=lambda run: run[:2]):
            page = {"html": (folder / "report.html", None)} if (folder / "report.html").is_file() else {}
            figures = folder / "metrics.json"
            if any(isinstance(part, dict) and part.get("split") == split for split, part in metrics.items()):
                yield Entry("evaluation", {"json": (figures, None), **page}, name)
                if (folder / _WHOLE).is_file():
                    yield Entry("evaluation_details", {"json": (folder / _WHOLE, None)}, name)
            if isinstance(metrics.get("validation"), dict) and "winner" in metrics["validation"]:
                yield Entry("leaderboard", {"json": (figures, "validation"), **page}, name)
            for report, (data, html, part) in _OF_RUNS.items():
                files = {kind: (folder / file, None) for kind, file in (("json", data), ("html", html))}
                there = {kind: place for kind, place in files.items() if place[0].is_file()}
                if part in metrics and there:
                    yield Entry(report, there, name)

    def _records(self, bundle: ModelBundle) -> list[Path]:
        found = {bundle.path.parent / "run.json"}
        if self._outputs is not None:
            for pattern in ("*/run.json", "*/*/run.json"):  # the second: of the stages of dvc.yaml
                for file in self._outputs.glob(pattern):
                    parts = file.relative_to(self._outputs).parts
                    if parts[0] != LATEST and not any(part.startswith(".") for part in parts):
                        found.add(file)
        return [file for file in found if file.is_file()]


def _in_folder(folder: Path, source: str) -> Iterator[Entry]:
    """`<name>.json` and `<name>.html` in a folder."""
    if not folder.is_dir():
        return
    files: dict[str, dict[Format, tuple[Path, str | None]]] = {}
    for kind in ("json", "html"):
        for file in sorted(folder.glob(f"*.{kind}")):
            if _NAME.fullmatch(file.stem) and file.stem not in _NO_REPORTS and file.is_file():
                files.setdefault(file.stem, {})[kind] = (file, None)
    for name, there in files.items():
        yield Entry(name, there, source)


def _content(file: Path, member: str | None) -> Any:
    """A page's bytes, or what a JSON file (or one member of it) says."""
    if file.stat().st_size > _LARGEST:
        raise ValueError("too large")
    if file.suffix == ".html":
        return file.read_bytes()
    content = json.loads(file.read_text(encoding="utf-8"))
    content = content if member is None else content[member]
    if not isinstance(content, dict | list):
        raise ValueError("no report")
    return content
