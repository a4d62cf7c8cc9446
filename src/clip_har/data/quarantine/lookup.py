"""What a person means: which rows of the queue, and which reasons."""

from __future__ import annotations

from collections.abc import Sequence

from clip_har.data.quarantine.table import Entry
from clip_har.errors import DataError, did_you_mean

DISCARDED = "discarded"
_SHORTEST_PREFIX = 4
_OF_CLASSES = ("class_size", "imbalance")  # checks that are not about single samples


def rows_meant(text: str, rows: list[Entry]) -> list[Entry]:
    """The rows that a person means by a uri, an id, a key, the beginning of one, or a kept file.

    Raises:
        DataError: if nothing is meant, or it could be more than one.
    """
    exact = [row for row in rows if text and text in (row.uri, row.id, row.key, row.file, row.file.rpartition("/")[2])]
    found = exact
    if not exact and len(text) >= _SHORTEST_PREFIX:
        names = {name for row in rows for name in (row.key, row.id) if name.startswith(text.lower())}
        if len(names) > 1:
            raise DataError(
                f"{text!r} could be {', '.join(sorted(name[:16] for name in names)[:6])}: more of it is needed."
            )
        found = [row for row in rows if names & {row.key, row.id}]
    if not found:
        raise DataError(
            f"{text!r} is no uri, id or key in the rejection queue. {did_you_mean(text, {row.uri for row in rows})}"
        )
    return [row for row in found if row.status != "resolved"] or found


def rows_of_reason(rows: list[Entry], reason: str | None) -> list[Entry]:
    """The rows of a reason, or all if it is None.

    Raises:
        DataError: if there is no such reason.
    """
    if reason is None:
        return rows
    found = [row for row in rows if row.reason == reason]
    if not found:
        check_reasons([reason])
    return found


def check_reasons(reasons: Sequence[str]) -> None:
    """Refuse what is no reason for rejection, naming the nearest.

    Raises:
        DataError: if one does not exist.
    """
    from clip_har.data.validation import REASONS

    for reason in reasons:
        if reason not in REASONS:
            raise DataError(f"There is no reason {reason!r} for rejection. {did_you_mean(reason, REASONS)}")


def check_waivers(reasons: Sequence[str]) -> None:
    """Refuse reasons that nobody can waive.

    Raises:
        DataError: if one does not exist, or leaves no sample that could be used.
    """
    from clip_har.data.validation.config import REASONS, FirmCheck, ValidationConfig

    check_reasons(reasons)
    fields = ValidationConfig.model_fields
    checks = [name for name in REASONS if name in fields and fields[name].annotation is not FirmCheck]
    known = [*(name for name in checks if name not in _OF_CLASSES), "near_duplicate_label_conflict"]
    for reason in reasons:
        if reason not in known:
            raise DataError(
                f"{reason} cannot be waived: such a sample cannot be used as it is. Mend the file or its listing, give the "
                f"right label (--label), or discard what is wrong. What can be waived: {', '.join(known)}."
            )
