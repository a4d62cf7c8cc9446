"""Checks of the data set as a whole: which classes there are, and whether they are large enough to learn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from clip_har.data.sources import SourceRecord
from clip_har.data.sources.base import printable
from clip_har.data.validation.config import REASONS, ValidationConfig
from clip_har.data.validation.examining import Finding, Verdict
from clip_har.errors import DataError, did_you_mean

_PLACEHOLDER = "(A test split published with placeholder labels looks like this.)"


def classes_of(wanted: tuple[str, ...] | None, records: Sequence[SourceRecord]) -> tuple[str, ...]:
    """The classes: those that are wanted, or all labels that occur.

    Raises:
        DataError: if one is wanted twice or does not occur, or all labels are one.
    """
    labels = Counter(record.label for record in records if record.label and record.label == printable(record.label))
    if wanted is None:
        if len(labels) == 1:
            label, number = next(iter(labels.items()))
            raise DataError(
                f"All {number} listed photographs are labelled {label!r}: nothing can be learned or measured from one "
                f"class. {_PLACEHOLDER}"
            )
        return tuple(sorted(labels))
    if len(set(wanted)) != len(wanted):
        raise DataError(f"data.labels names a class twice: {', '.join(wanted)}.")
    for label in wanted:
        if label not in labels:
            raise DataError(
                f"data.labels: no photograph is labelled {label!r}. {did_you_mean(label, set(labels) - set(wanted))}"
            )
    return wanted


def require_usable(labels: Sequence[str], reasons: Iterable[str]) -> None:
    """Refuse data of which nothing, or a single class, is left.

    Args:
        labels: of the accepted samples.
        reasons: of the rejections.

    Raises:
        DataError: saying what was rejected and why.
    """
    if not labels:
        counts = Counter(reasons)
        listed = ", ".join(f"{number} × {reason} ({REASONS[reason]})" for reason, number in counts.most_common(3))
        raise DataError(f"None of the {counts.total()} listed photographs can be used: {listed}.")
    if len(set(labels)) < 2:
        raise DataError(
            f"All {len(labels)} accepted photographs are labelled {labels[0]!r}: nothing can be learned or measured from "
            f"one class. {_PLACEHOLDER}"
        )


def check_classes(
    classes: tuple[str, ...], wanted: bool, verdicts: Sequence[Verdict], config: ValidationConfig
) -> tuple[tuple[str, ...], list[tuple[str, Finding]]]:
    """Sizes of the classes.

    Args:
        classes: all of them.
        wanted: whether the config asks for exactly these; else one without any accepted photograph is left out.

    Returns:
        The classes that have photographs, and (class, finding) for each warning.

    Raises:
        DataError: if a class is too small, or much smaller than another, and the check's severity is `reject`; or if a
            class that is asked for has no accepted photograph.
    """
    sizes = Counter(verdict.label for verdict in verdicts if verdict.accepted)
    largest, most = min(sizes.items(), key=lambda item: (-item[1], item[0]))
    found = []
    for label in classes:
        number = sizes[label]
        if number == 0:
            detail = f"none of the photographs labelled {label!r} was accepted: {_why(label, verdicts)}"
            if wanted:
                raise DataError(f"data.labels: {detail}.")
            found.append((label, Finding("class_size", f"{detail}; it is no class of this data set")))
            continue
        if number < config.class_size.minimum:
            detail = f"{number} accepted photographs of {label!r}; {config.class_size.minimum} are wanted"
            found.append((label, Finding("class_size", detail)))
        if most > config.imbalance.max_ratio * number:
            found.append((label, Finding("imbalance", f"{number} photographs of {label!r}, {most} of {largest!r}")))
    refused = [(label, finding) for label, finding in found if config.severity(finding.reason) == "reject"]
    if refused:
        told = "; ".join(f"{finding.detail} ({REASONS[finding.reason]})" for _, finding in refused[:5])
        keys = sorted({f"validation.{finding.reason}" for _, finding in refused})
        raise DataError(f"{', '.join(keys)}: {told}. Add photographs, or leave classes out with data.labels.")
    kept = tuple(label for label in classes if sizes[label])
    return kept, [(label, finding) for label, finding in found if config.severity(finding.reason) == "warn"]


def _why(label: str, verdicts: Sequence[Verdict]) -> str:
    counts = Counter(v.rejection.reason for v in verdicts if v.label == label and v.rejection is not None)
    return ", ".join(f"{number} × {reason}" for reason, number in counts.most_common(3)) or "there are none"
