"""The ExportReport as a page: one HTML file that opens offline."""

from __future__ import annotations

from typing import Any

from clip_har.export.latency import LatencyReport
from clip_har.export.report import Check, ExportReport, FormReport
from clip_har.pages import environment, keep_together

# Check → heading of its column.
_COLUMNS = {
    "Lowest cosine": "Lowest cosine",
    "Mean cosine": "Mean cosine",
    "Same best label": "Same label",
    "Change in accuracy": "Accuracy, points",
    "Calibration error (ECE)": "ECE",
    "Alone or in a batch": "Batch-mates",
}
_FORMATS = {"onnx": "ONNX", "torch_export": "torch.export", "tensorrt": "TensorRT"}


def render_export_report(
    report: ExportReport, latency: LatencyReport | None = None, run: dict[str, Any] | None = None
) -> str:
    """The whole page, with no request to anywhere.

    Args:
        latency: what the accepted forms take on this machine.
        run: `steps` (name, status, seconds), `facts` (name → text) and `config` (YAML); `promotion` (page, decision) if the
            bundle was compared with the champion.
    """
    found = environment("clip_har.export")
    found.filters["duration"] = lambda seconds: f"{seconds:.1f} s"
    tables = [(encoder, [row for row in report.forms if row.form.encoder == encoder]) for encoder in ("image", "text")]
    seconds = [step["seconds"] for step in (run or {}).get("steps", ())]
    page = found.get_template("export_report.html").render(
        report=report,
        columns=list(_COLUMNS.values()),
        tables=[(encoder, [(row, title(row), cells(row)) for row in rows]) for encoder, rows in tables if rows],
        refused=[(row, title(row)) for row in report.forms if not row.accepted],
        smallest=min(
            (row for row in report.forms if row.accepted and row.form.encoder == "image"), key=_size, default=None
        ),
        title=title,
        quantised=[(row, title(row)) for row in report.forms if row.form.details.get("share_of_work") is not None],
        latency=latency,
        slowest_runtime=max((row.median for row in latency.rows), default=1) if latency else 1,
        run=run,
        slowest=max(seconds, default=0) or 1,
    )
    return keep_together(page)


def title(row: FormReport) -> str:
    """ "ONNX fp16", for people."""
    alone = ", dynamic" if row.form.details.get("scheme") == "dynamic" else ""
    return f"{_FORMATS[row.form.format]} {row.form.precision}{alone}"


def cells(row: FormReport) -> list[Check | None]:
    """The form's checks in the order of the columns."""
    checks = {check.name: check for check in row.checks}
    return [checks.get(name) for name in _COLUMNS]


def _size(row: FormReport) -> int:
    return row.size
