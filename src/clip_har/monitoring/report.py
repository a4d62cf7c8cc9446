"""What was found about a window, as data: pages, gauges, the app and the decision are made from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.estimates import Estimate

Kind = Literal["embeddings", "labels", "confidence", "image", "abstention", "vocabulary", "quality", "accuracy"]
State = Literal["ok", "watch", "retrain"]


class Distribution(ComponentConfig):
    """What a check compares, as shares of pictures in bins: a small drawing."""

    edges: tuple[float, ...] = Field((), description="Ends of the bins, one more than there are; empty for labels.")
    labels: tuple[str, ...] = Field((), description="Names of the bins, where they are labels.")
    reference: tuple[float, ...] = Field(description="Share of the reference's pictures in each.")
    current: tuple[float, ...] = Field(description="The same of the window's.")
    unit: str = Field("", description="What the bins are of, where it is not what the check compares.")


class CheckResult(ComponentConfig):
    """One check of a window against the reference."""

    name: str = Field(description="Of the check, like `brightness`.")
    title: str = Field(description="In words.")
    kind: Kind = Field(description="What it looks at.")
    statistic_name: str = Field("", description="What the statistic is, like `Kolmogorov-Smirnov distance`.")
    statistic: float | None = Field(None, description="Its value; None if it was not checked.")
    threshold: float | None = Field(None, description="Above it, there is drift.")
    p_value: float | None = Field(
        None, description="Share of windows without drift that reach this value, this check alone."
    )
    excess: float | None = Field(
        None, description="Standard deviations, over windows without drift, that the statistic lies above their mean."
    )
    reference: float | None = Field(None, description="What is compared, on average, in the reference.")
    current: float | None = Field(None, description="The same in the window.")
    unit: str = Field("", description="Of these two.")
    verdict: Literal["ok", "drift", "not checked"] = Field(description="The verdict.")
    said: str = Field("", description="What it found in a sentence, or why it was not checked.")
    distribution: Distribution | None = Field(None, description="Reference beside window, for a drawing.")


class WindowFacts(ComponentConfig):
    """What was looked at."""

    source: str = Field(description="`captured`, or a path.")
    id: str = Field(description="Hash of what is in it: the same window has the same id.")
    pictures: int = Field(description="Pictures answered.")
    tested: int = Field(description="Those that were compared: thresholds are known up to a number of pictures.")
    refused: int = Field(0, description="Pictures refused.")
    errors: dict[str, int] = Field({}, description="Reason → pictures refused for it.")
    skipped: dict[str, int] = Field({}, description="In words → rows left out for it.")
    first: str | None = Field(None, description="Time of the first picture, ISO 8601 in UTC.")
    last: str | None = Field(None, description="Time of the last one.")
    labelled: int = Field(0, description="Pictures whose true label is known.")
    images: int = Field(0, description="Pictures that can be looked at.")


class AccuracyFigures(ComponentConfig):
    """Accuracy without labels, and with them where there are any."""

    reference: Estimate = Field(description="Measured on the reference.")
    estimated: Estimate | None = Field(None, description="Of the window, from calibrated confidence alone.")
    method: str = Field("", description="How it was estimated.")
    measured: Estimate | None = Field(None, description="Of the window's pictures whose label is known.")
    labelled: int = Field(0, description="How many those are.")
    estimated_of_labelled: float | None = Field(None, description="The estimate for these alone, to be checked.")


class ClassChange(ComponentConfig):
    """One predicted label."""

    label: str = Field(description="The label.")
    reference_share: float = Field(description="Share of the reference's pictures with this as best label.")
    current_share: float = Field(description="The same of the window's.")
    reference_confidence: float | None = Field(None, description="Mean confidence where it is the best label.")
    current_confidence: float | None = Field(None, description="The same in the window.")
    excess: float = Field(description="Change of the share in standard deviations.")
    labelled: int = Field(0, description="Pictures of the window of this true class.")
    right: int = Field(0, description="Those recognised.")


class Moment(ComponentConfig):
    """A part of the window, for what changed since when."""

    start: str = Field(description="ISO 8601 in UTC.")
    end: str = Field(description="ISO 8601 in UTC.")
    pictures: int = Field(description="Pictures in it.")
    values: dict[str, float] = Field(description="Name of a check → its value (as `current`) in this part.")


class Example(ComponentConfig):
    """A picture that shows something."""

    id: str = Field(description="Of the prediction, or sha256.")
    label: str = Field(description="Best label.")
    confidence: float = Field(description="Its probability.")
    distance: float = Field(description="From the reference: 1 - mean cosine to its nearest pictures there.")
    time: str | None = Field(None, description="ISO 8601 in UTC.")
    picture: str = Field("", description="Small JPEG as a data URI; empty where the picture was not kept.")


class Decided(ComponentConfig):
    """What is to be done, and why."""

    state: State = Field(description="ok, watch or retrain.")
    before: State | None = Field(None, description="The state before this window.")
    reasons: tuple[str, ...] = Field((), description="Sentences.")
    alarms_in_a_row: int = Field(0, description="Windows with an alarm, up to this one.")
    clear_in_a_row: int = Field(0, description="Windows without one, up to this one.")
    counted: bool = Field(True, description="Whether the window counts: one that was looked at before does not.")


class DriftReport(ComponentConfig):
    """A window against the reference of the model that answered."""

    model_id: str = Field(description="Of the model.")
    method: str = Field(description="Its adaptation method.")
    window: WindowFacts = Field(description="What was looked at.")
    reference_pictures: int = Field(description="Pictures in the reference.")
    reference_splits: tuple[str, ...] = Field(description="Splits of the data that they come from.")
    partitions: int = Field(description="Disjoint pairs behind the thresholds.")
    false_alarm_rate: float = Field(description="Wanted for all checks together.")
    p_value: float | None = Field(
        None, description="Of the whole report: share of windows without drift as extreme as this."
    )
    checks: tuple[CheckResult, ...] = Field(description="A row a check.")
    cause: str | None = Field(None, description="Name of the check that names what changed best; None without drift.")
    said: tuple[str, ...] = Field((), description="What changed, in sentences, the most telling first.")
    changed_since: str | None = Field(None, description="When the change began, as far as it can be told; ISO 8601.")
    accuracy: AccuracyFigures | None = Field(None, description="Estimated, and measured where there are labels.")
    per_class: tuple[ClassChange, ...] = Field((), description="A row a label, the most changed first.")
    timeline: tuple[Moment, ...] = Field((), description="Parts of the window in order.")
    farthest: tuple[Example, ...] = Field((), description="Pictures least like the reference.")
    nearest: tuple[Example, ...] = Field((), description="Pictures most like it.")
    decided: Decided | None = Field(None, description="What is to be done.")

    @property
    def alarmed(self) -> tuple[CheckResult, ...]:
        """The checks that found drift."""
        return tuple(check for check in self.checks if check.verdict == "drift")

    @property
    def alarm(self) -> bool:
        """Whether any of them did."""
        return bool(self.alarmed)
