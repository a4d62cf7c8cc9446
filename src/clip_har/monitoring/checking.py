"""A window against the reference profile: all checks, one level, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from clip_har.hashing import sha256_json
from clip_har.monitoring.accuracy import accuracy_figures
from clip_har.monitoring.checks import checks_named
from clip_har.monitoring.checks.base import Check, Values
from clip_har.monitoring.checks.comparison import Comparison
from clip_har.monitoring.checks.exact import ExactCheck
from clip_har.monitoring.checks.naming import cause_of, sentences
from clip_har.monitoring.checks.pool import Pool, joined
from clip_har.monitoring.classes import class_changes
from clip_har.monitoring.config import MonitorConfig
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.monitoring.report import CheckResult, DriftReport, Example, WindowFacts
from clip_har.monitoring.thresholds import Judged, Thresholds, statistics_of
from clip_har.monitoring.timeline import changed_at, iso_time, timeline

if TYPE_CHECKING:
    from clip_har.monitoring.profile import ReferenceProfile

_EXACT_SHARE = 0.05  # of the rate of false alarms that each exact test may use


@dataclass(frozen=True)
class _Verdicts:
    """Results of all checks, what was looked at picture by picture, and the probability of the whole."""

    results: tuple[CheckResult, ...]
    values: dict[str, Values]
    p_value: float | None
    tested: int


def check_window(
    profile: ReferenceProfile, window: Observations, config: MonitorConfig, *, method: str = ""
) -> DriftReport:
    """Compare a window with the reference of the model that answered; everything but the decision and the pictures of examples.

    Args:
        window: of the same model.
        method: the model's adaptation method, for the report.

    Raises:
        ConfigError: if a check that is asked for does not exist.
        MonitoringError: if the window is another model's.
    """
    reference = profile.observations
    if (window.model_id, window.labels) != (reference.model_id, reference.labels):
        raise MonitoringError(
            f"The window was answered by the model {window.model_id[:12]}, and the reference profile is that of "
            f"{reference.model_id[:12]}: a window is compared with the reference of its own model."
        )
    comparison = Comparison(reference, window, profile.config)
    verdicts = _verdicts(profile.thresholds, comparison, config)
    cause = cause_of(verdicts.results)
    first, last = (None, None) if window.times is None or not len(window) else (window.times.min(), window.times.max())
    since = None
    if cause is not None and first is not None:
        values = verdicts.values.get(cause)
        since = changed_at(window.times, values.window) if values is not None else None
    accuracy = accuracy_figures(comparison)
    nearest, farthest = _examples(comparison, config.examples)
    told = {name: of.window for name, of in verdicts.values.items()}
    return DriftReport(
        model_id=reference.model_id,
        method=method,
        window=WindowFacts(
            source=window.source,
            id=sha256_json([reference.model_id, list(window.ids), window.errors]),
            pictures=len(window),
            tested=verdicts.tested,
            refused=sum(window.errors.values()),
            errors=window.errors,
            skipped=window.skipped,
            first=None if first is None else iso_time(first),
            last=None if last is None else iso_time(last),
            labelled=accuracy.labelled if accuracy else 0,
            images=sum(map(bool, window.pictures or ())),
        ),
        reference_pictures=len(reference),
        reference_splits=profile.splits,
        partitions=profile.thresholds.partitions,
        false_alarm_rate=config.false_alarm_rate,
        p_value=verdicts.p_value,
        checks=verdicts.results,
        cause=cause,
        said=sentences(verdicts.results, accuracy, None if since is None else iso_time(since), first is not None),
        changed_since=None if cause is None or first is None else iso_time(first if since is None else since),
        accuracy=accuracy,
        per_class=class_changes(reference, window),
        timeline=timeline(window.times, told) if window.times is not None else (),
        farthest=farthest,
        nearest=nearest,
    )


def _verdicts(thresholds: Thresholds, comparison: Comparison, config: MonitorConfig) -> _Verdicts:
    checks, exact_checks = checks_named(config.checks)
    reference, window = comparison.reference, comparison.window
    exact_lacks = {check.name: check.lacks(reference, window) for check in exact_checks}
    exact_made = sum(not lacks for lacks in exact_lacks.values())
    rate, exact_level = config.false_alarm_rate, config.false_alarm_rate * _EXACT_SHARE
    size = thresholds.size_for(len(window))
    statistics, why = _statistics(checks, thresholds, comparison, config)
    left = 1 - _EXACT_SHARE * exact_made
    judged = thresholds.judge(size, statistics, rate * left) if size and statistics else Judged({}, {}, {}, 1.0)
    results, values, smallest = [], {}, [judged.p_value / left] if statistics else []
    for check in checks:
        if check.name in statistics:
            values[check.name] = check.values(comparison)
            results.append(_result(check, statistics[check.name], judged, values[check.name]))
        else:
            results.append(_not_checked(check, why[check.name]))
    for check in exact_checks:
        if exact_lacks[check.name]:
            results.append(_not_checked(check, exact_lacks[check.name]))
            continue
        tested = check.test(reference, window, config, exact_level)
        smallest.append(tested.p_value / _EXACT_SHARE)
        drift = tested.statistic > tested.threshold
        of_pictures = check.values(reference, window)
        if of_pictures is not None:
            values[check.name] = of_pictures
        results.append(
            CheckResult(
                **_about(check),
                statistic=tested.statistic,
                threshold=tested.threshold,
                p_value=tested.p_value,
                excess=tested.excess,
                reference=tested.reference,
                current=tested.current,
                verdict="drift" if drift else "ok",
                said=tested.findings + ("." if drift else ": no more than chance gives."),
            )
        )
    p_value = min(1.0, *smallest) if smallest else None
    return _Verdicts(tuple(results), values, p_value, size if size and statistics else 0)


def _statistics(
    checks: tuple[Check, ...], thresholds: Thresholds, comparison: Comparison, config: MonitorConfig
) -> tuple[dict[str, float], dict[str, str]]:
    """The statistic of each check that can be made, and in words why another cannot.

    They are computed as the thresholds were, of as many pictures: a random sample of the window beside a fixed part of the reference.
    """
    reference, window = comparison.reference, comparison.window
    size = thresholds.size_for(len(window))
    statistics: dict[str, float] = {}
    why = {check.name: _why_not(check, reference, window, thresholds, size) for check in checks}
    if size is None:
        return statistics, why
    seed = comparison.config.seed
    kept = np.sort(np.random.default_rng([seed, size, 1]).permutation(len(reference))[size:])
    beside = reference.take(kept)
    order = np.random.default_rng([config.seed, len(window)]).permutation(len(window))
    pools: dict[bytes, Pool] = {}
    is_window = np.arange(len(reference))[None] >= len(kept)
    for check in checks:
        if why[check.name]:
            continue
        known = check.known(window)
        rows = np.sort((order if known is None else order[known[order]])[:size])
        pool = pools.get(rows.tobytes())
        if pool is None:
            pool = pools[rows.tobytes()] = Pool(joined(beside, window.take(rows)), comparison.config)
        statistics[check.name] = float(statistics_of(check, pool, is_window)[0])
    return statistics, why


def _why_not(
    check: Check, reference: Observations, window: Observations, thresholds: Thresholds, size: int | None
) -> str:
    """In words why a check cannot be made; empty if it can."""
    if size is None:
        if thresholds.smallest is None:
            return f"The reference has {len(reference)} pictures, too few for thresholds."
        return f"The window has {len(window)} pictures, and thresholds begin at {thresholds.smallest}."
    lacks = check.lacks(window)
    if lacks:
        told = (
            " A table of `batch` has them with --set batch.details=true." if window.source.endswith(".parquet") else ""
        )
        return f"The window has no {lacks}.{told}"
    lacks = check.lacks(reference)
    if lacks:
        return f"The reference profile has no {lacks}."
    if not thresholds.has(check.name):
        return "The reference profile has no thresholds for it; `deploy` makes a new one."
    known = check.known(window)
    if known is not None and known.sum() < size:
        return f"It is known for {int(known.sum())} of {len(window)} pictures only."
    return ""


def _about(check: Check | ExactCheck) -> dict[str, str]:
    return {name: getattr(check, name) for name in ("name", "title", "kind", "statistic_name", "unit")}


def _not_checked(check: Check | ExactCheck, why: str) -> CheckResult:
    return CheckResult(**_about(check), verdict="not checked", said=why)


def _result(check: Check, statistic: float, judged: Judged, values: Values) -> CheckResult:
    threshold = judged.thresholds[check.name]
    drift = statistic > threshold
    reference, current = values.means
    return CheckResult(
        **_about(check),
        statistic=statistic,
        threshold=threshold,
        p_value=judged.p_values[check.name],
        excess=judged.excess[check.name],
        reference=reference,
        current=current,
        verdict="drift" if drift else "ok",
        said=check.said(values, drift),
    )


def _examples(comparison: Comparison, count: int) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """The pictures nearest to the reference, and the farthest ones."""
    window = comparison.window
    if window.embeddings is None or comparison.reference.embeddings is None or not len(window):
        return (), ()
    distances = comparison.window_distances
    order = np.argsort(distances, kind="stable")
    count = min(count, -(-len(order) // 2))

    def example(row: int) -> Example:
        return Example(
            id=window.ids[row],
            label=window.labels[window.predicted[row]],
            confidence=float(window.confidence[row]),
            distance=max(float(distances[row]), 0.0),
            time=None if window.times is None else iso_time(window.times[row]),
        )

    farthest = order[::-1][:count]
    nearest = [row for row in order[:count] if row not in set(farthest.tolist())]
    return tuple(example(row) for row in nearest), tuple(example(row) for row in farthest)
