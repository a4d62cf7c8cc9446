"""A round of labelling: the pictures that were chosen, what was answered so far, and where the answers go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clip_har.capture import CaptureStore
from clip_har.labelling.answers import Answer
from clip_har.labelling.labelled import LabelledStore
from clip_har.labelling.selection import Candidate, Selection, labels_of_model, newest_model, select

SOURCE = "app"


@dataclass
class Round:
    """Pictures to label, and the answers to some of them.

    Attributes:
        capture: where the pictures come from.
        store: where the answers go, each as it is given.
        labels: what can be answered.
        selection: the pictures, the most wanted first.
        answers: prediction id → answer, in the order in which they were given.
        gone: pictures that were deleted meanwhile.
    """

    capture: CaptureStore
    store: LabelledStore
    labels: tuple[str, ...]
    selection: Selection
    answers: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    @property
    def open(self) -> list[Candidate]:
        """Those without an answer, in order."""
        return [one for one in self.selection.chosen if one.id not in self.answers and one.id not in self.gone]

    @property
    def number(self) -> int:
        """How many pictures there are to answer in all."""
        return len(self.selection.chosen) - len(self.gone)

    def picture(self, one: Candidate) -> bytes | None:
        """Its bytes; None, and it is asked about no more, if it was deleted meanwhile."""
        data = self.capture.image_bytes(one.picture)
        if data is None:
            self.gone.add(one.id)
        return data

    def answer(self, said: Mapping[str, str]) -> int:
        """Write answers down: prediction id → label, `skip` or `none of these`; how many could be.

        Raises:
            ClipHarError: if they cannot be written; then none of them counts.
        """
        known = {one.id: one for one in self.selection.chosen}
        now = time.time()
        given = [Answer(one, label, known[one].picture, now) for one, label in said.items()]
        added = self.store.take(given, SOURCE, self.capture)
        left_out = {one.prediction_id for one in given if not self._is_there(one)} if added.unused else set()
        self.gone |= left_out
        for one in given:
            if one.prediction_id not in left_out:
                self.answers.pop(one.prediction_id, None)
                self.answers[one.prediction_id] = one.label
        return len(given) - len(left_out)

    def undo(self) -> Candidate | None:
        """Take the last answer back; its picture is asked about again. None if there is none."""
        if not self.answers:
            return None
        last = next(reversed(self.answers))
        one = next(one for one in self.selection.chosen if one.id == last)
        self.store.take_back(one.picture)
        del self.answers[last]
        return one

    def choices(self, one: Candidate) -> list[str]:
        """All labels, the suggested one first."""
        first = [one.suggested] if one.suggested in self.labels else []
        return [*first, *(label for label in self.labels if label not in first)]

    def _is_there(self, answer: Answer) -> bool:
        return answer.picture.partition(".")[0] in self.store.answered()


def new_round(
    workspace: Path, count: int, *, uncertainty: float, since: float | None, seed: int, labels: tuple[str, ...] = ()
) -> Round:
    """Choose pictures of the workspace's capture.

    Args:
        labels: what can be answered if the captured model's labels cannot be told.

    Raises:
        ClipHarError: if there is nothing to choose from: why, and what would be right.
    """
    from clip_har.labelling.errors import LabellingError

    capture, store = CaptureStore(workspace / "capture"), LabelledStore.of(workspace)
    model_id = newest_model(capture, since)
    selection = select(capture, store, count, uncertainty=uncertainty, seed=seed, since=since, model_id=model_id)
    try:
        labels = labels_of_model(workspace, capture, selection.model_id)
    except LabellingError:
        if not labels:
            raise
    return Round(capture, store, labels, selection)
