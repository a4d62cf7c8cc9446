"""Which of the checks that found drift says best what changed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from clip_har.monitoring.checks import CHECKS, EXACT_CHECKS
from clip_har.monitoring.checks.base import percent
from clip_har.monitoring.report import AccuracyFigures, CheckResult

_CAUSES = {
    "contrast": ("brightness",),
    "sharpness": ("brightness", "contrast"),
    "red": ("brightness",),
    "green": ("brightness",),
    "blue": ("brightness",),
    "out_of_vocabulary": ("sharpness", "brightness", "contrast", "saturation", "bits_per_pixel"),
    "predicted_labels": ("sharpness", "brightness", "contrast", "saturation", "bits_per_pixel"),
    "bits_per_pixel": ("sharpness", "brightness", "contrast", "saturation"),
}
"""Figure → those that it follows: measured on photographs, darkening by a half halves contrast and sharpness too."""
# Times the logarithm of the factor; files that were written anew are smaller by themselves.
_TIMES, _COMPRESSION = 1.5, 3.0
# Share of pictures that are otherwise (a distance of distributions) from which on a model may be lost for it alone, and
# beside the share of those that are out of vocabulary: brightness that moved a little did not make all of them strange.
_MANY, _EXPLAINED = 1 / 3, 0.6
_SLACK, _LEAST = 0.05, 1e-4


def cause_of(checks: Sequence[CheckResult]) -> str | None:
    """Name of the check that names what changed; None without drift."""
    ranked = ranked_causes(checks)
    return ranked[0].name if ranked else None


def ranked_causes(checks: Sequence[CheckResult]) -> list[CheckResult]:
    """The checks that found drift, the most telling first.

    Those that say what changed come before those that only say that something did, and of the former those first that follow from
    no other; among them, by how far beyond chance they are. A darker picture has less contrast, a blurred one makes a smaller file.
    """
    alarmed = [check for check in checks if check.verdict == "drift"]
    by_name = {check.name: check for check in alarmed}

    def follows(check: CheckResult) -> bool:
        return any(_follows(check, by_name[cause]) for cause in _CAUSES.get(check.name, ()) if cause in by_name)

    return sorted(alarmed, key=lambda check: (not _names_cause(check.name), follows(check), -(check.excess or 0.0)))


def _follows(check: CheckResult, cause: CheckResult) -> bool:
    """Whether a figure changed as it does when another one does: the same way, and by no more than so many times the factor.

    What the model makes of pictures follows where many are otherwise: blurred and noisy photographs are far from sharp ones.
    """
    if check.kind != "image":
        strange = (check.current or 0.0) - (check.reference or 0.0) if check.kind == "vocabulary" else 0.0
        return (cause.statistic or 0.0) >= max(_MANY, _EXPLAINED * strange)
    changes = [_change(check), _change(cause)]
    if changes[0] * changes[1] <= 0:
        return False
    most = _COMPRESSION if check.name == "bits_per_pixel" else _TIMES
    return abs(changes[0]) <= most * abs(changes[1]) + _SLACK


def _change(check: CheckResult) -> float:
    """Logarithm of the factor that its figure changed by."""
    before, after = (max(value or 0.0, _LEAST) for value in (check.reference, check.current))
    return math.log(after / before)


def _names_cause(name: str) -> bool:
    return (CHECKS if name in CHECKS else EXACT_CHECKS).get(name).names_cause


def sentences(
    checks: Sequence[CheckResult], accuracy: AccuracyFigures | None, since: str | None, timed: bool
) -> tuple[str, ...]:
    """What changed: the cause, when it began, what it does to the accuracy, and the most telling check of every other kind.

    Args:
        since: time of a change within the window.
        timed: whether the pictures have times.
    """
    ranked = ranked_causes(checks)
    if not ranked:
        return ()
    told = [ranked[0].said]
    if timed:
        told.append(f"It began at {since}." if since else "It began before the window, or with it.")
    if (
        accuracy is not None
        and accuracy.estimated is not None
        and not any(check.kind == "accuracy" for check in ranked)
    ):
        estimated, before = accuracy.estimated.value, accuracy.reference.value
        told.append(f"Accuracy, estimated without labels, is {percent(estimated)}, {percent(before)} in the reference.")
    seen = {ranked[0].kind}
    for check in sorted(ranked, key=lambda check: (check.kind != "accuracy", check.name != "accuracy")):
        if check.kind not in seen:
            seen.add(check.kind)
            told.append(check.said)
    return tuple(told)
