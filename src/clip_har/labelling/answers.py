"""What a person may answer about a picture: a label, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from clip_har.errors import did_you_mean

SKIP, NONE = "skip", "none of these"
ASIDE = (SKIP, NONE)
"""Answers that are no label: the picture is set aside, and not asked about again."""


@dataclass(frozen=True)
class Answer:
    """A person's answer about one picture.

    Attributes:
        prediction_id: which prediction the picture belongs to.
        label: the answer; one of `ASIDE` sets the picture aside.
        picture: name of its file, `<sha256>.<format>`.
        time: when, in seconds since 1970.
    """

    prediction_id: str
    label: str
    picture: str
    time: float


class Labels:
    """The labels that are accepted, and how people write them.

    Args:
        known: the model's.
        new: whether others are accepted too.
    """

    def __init__(self, known: Iterable[str], new: bool = False) -> None:
        self.known = tuple(known)
        self.new = new
        self._folded = {_folded(label): label for label in (*self.known, *ASIDE)}

    def accepted(self, text: str) -> str | None:
        """The label that is meant: capitals, spaces and underscores do not matter. None if it is none."""
        label = text.strip()
        return self._folded.get(_folded(label)) or (label or None if self.new else None)

    def said_of(self, text: str) -> str:
        """Why a label is not accepted, and what would be right."""
        return (
            f"{text!r} is none of the model's labels. {did_you_mean(text, (*self.known, *ASIDE))} "
            "(That it becomes a class: labelling.new_labels=true, or --new-labels.)"
        )


def of_names(labels: Labels | Sequence[str]) -> Labels:
    """`Labels`, of the model's if only these are given."""
    return labels if isinstance(labels, Labels) else Labels(labels)


def _folded(text: str) -> str:
    return " ".join(text.replace("_", " ").split()).casefold()
