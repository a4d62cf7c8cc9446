"""The report of a pretrained backbone: one HTML file that opens offline."""

from __future__ import annotations

from typing import Any

from clip_har.evaluation.plots import learning_curves
from clip_har.evaluation.report import axis_of, confusion_rows, template
from clip_har.evaluation.zero_shot import ZeroShotReport
from clip_har.pages import keep_together

_GROUPS = {
    "all": "All actions",
    "seen": "Actions that pretraining saw",
    "unseen": "Actions that pretraining never saw",
}


def render_zero_shot(
    zero_shot: ZeroShotReport,
    *,
    histories: dict[str, list[dict[str, float]]] | None = None,
    run: dict[str, Any] | None = None,
) -> str:
    """The whole report as HTML, with no request to anywhere.

    Args:
        histories: name → history of a training run.
        run: `steps` (name, status, seconds), `facts` (name → text) and `config` (YAML).
    """
    seconds = [step["seconds"] for step in (run or {}).get("steps", ())]
    everything = zero_shot.groups[0].among_themselves
    page = template("zero_shot.html").render(
        zero_shot=zero_shot,
        accuracy=everything,
        groups=[(_GROUPS[group.name], group) for group in zero_shot.groups],
        axis=axis_of(
            [estimate for group in zero_shot.groups for estimate in (group.among_themselves, group.among_all)]
        ),
        confusion=confusion_rows(zero_shot.labels, zero_shot.confusion),
        learning=learning_curves(histories or {}),
        run=run,
        slowest=max(seconds, default=0) or 1,
    )
    return keep_together(page)
