"""The PromotionReport: challenger and champion side by side, a row per check, the decision and its reasons."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.estimates import Estimate
from clip_har.registry.comparison import ClassChange, Discordant, Metric

Unit = Literal["share", "points", "probability", "count", "milliseconds", "times"]


class Check(ComponentConfig):
    """One figure beside its bound."""

    name: str = Field(description="What was measured, in words.")
    figure: float | None = Field(description="What came of it; null if it could not be measured.")
    bound: float | None = Field(None, description="What was asked for; null: the figure is for information.")
    at_least: bool = Field(True, description="Whether the figure must be at least the bound, or at most.")
    unit: Unit = Field(description="How to read the figure.")
    interval: Estimate | None = Field(None, description="The figure with its 95 % interval, where it has one.")
    verdict: Literal["passed", "failed", "shown"] = Field(description="shown: no bound.")
    wanted: str = Field("", description="What was asked for, in words.")
    said: str = Field(description="The figure with what was asked for, in a sentence.")

    def text(self, value: float | None) -> str:
        """A figure of this check, as people read it."""
        if value is None:
            return "–"
        if self.unit == "points":
            return points(value)
        if self.unit == "share":
            return percent(value)
        if self.unit == "probability":
            return probability(value)
        return f"{value:.0f}" if self.unit == "count" else f"{value:.2f}" + (" ms" if self.unit != "times" else " ×")


class Side(ComponentConfig):
    """One of the two models."""

    model_id: str = Field(description="Which.")
    method: str = Field(description="Its adaptation method.")
    backbone: str = Field(description="What it was adapted from.")
    labels: tuple[str, ...] = Field(description="Its classes.")
    data_revision: str = Field(description="The data that it was trained on.")


class Beside(ComponentConfig):
    """The champion's answers to the same photographs, beside the challenger's."""

    metrics: dict[str, Estimate] = Field(description="The champion's figures.")
    gain: Estimate = Field(description="Of the chosen metric, challenger minus champion.")
    discordant: Discordant = Field(description="Photographs that exactly one gets right.")
    p: float = Field(description="What decides about chance: McNemar's for accuracy, else that of a permutation test.")
    ece: Estimate = Field(description="The champion's calibration error.")
    ece_gain: Estimate = Field(description="Calibration error, challenger minus champion; above 0 is worse.")
    classes: tuple[ClassChange, ...] = Field(description="A row for each class that the champion knows.")


class DataComparison(ComponentConfig):
    """The models on the test photographs of one version of the data."""

    name: str = Field(description='Which data, in words: "the newest data".')
    revision: str = Field(description="The version.")
    samples: int = Field(ge=0, description="Photographs that were answered.")
    left_out: int = Field(0, ge=0, description="Test photographs that one was fitted on, and that so do not count.")
    metrics: dict[str, Estimate] = Field(description="The challenger's figures.")
    ece: Estimate = Field(description="Its calibration error.")
    beside: Beside | None = Field(None, description="The champion's, and the differences; null if there was none.")

    def figures(self) -> dict[str, Any]:
        """Its figures, for `metrics.json`."""
        found: dict[str, Any] = {
            "samples": self.samples,
            "challenger": {name: value.model_dump() for name, value in sorted(self.metrics.items())},
            "challenger_ece": self.ece.value,
        }
        if self.beside is None:
            return found
        return found | {
            "champion": {name: value.model_dump() for name, value in sorted(self.beside.metrics.items())},
            "champion_ece": self.beside.ece.value,
            "gain": self.beside.gain.model_dump(),
            "gained": self.beside.discordant.gained,
            "lost": self.beside.discordant.lost,
            "p": self.beside.p,
            "classes": {row.label: row.change for row in self.beside.classes},
        }


class PromotionReport(ComponentConfig):
    """Whether a challenger becomes the champion, and why."""

    challenger: Side = Field(description="The bundle that was deployed.")
    champion: Side | None = Field(description="The champion that it was compared with; null if there was none.")
    metric: Metric = Field(description="What the decision is about.")
    alpha: float = Field(description="Below which probability a difference is more than chance.")
    comparisons: tuple[DataComparison, ...] = Field((), description="A row a version of the data, the newest first.")
    checks: tuple[Check, ...] = Field((), description="What was asked for.")
    outcome: Literal["promoted", "kept"] = Field(description="promoted, or kept: the champion stays.")
    reasons: tuple[str, ...] = Field(description="Why, in sentences.")
    notes: tuple[str, ...] = Field((), description="What else is to be said of the comparison.")
    mirrors: tuple[str, ...] = Field((), description="Mirrors that could not be brought up to date, and why.")

    @property
    def decision(self) -> str:
        """The outcome in a sentence."""
        ours = f"{self.challenger.method} ({self.challenger.model_id[:12]})"
        if self.outcome == "promoted":
            return f"{ours} is the champion now" + (f", instead of {_named(self.champion)}." if self.champion else ".")
        if self.champion is None:
            return f"{ours} is not promoted; there is no champion."
        if self.champion.model_id == self.challenger.model_id:
            return f"{ours} is the champion already."
        return f"{ours} is not promoted; {_named(self.champion)} stays the champion."

    def figures(self) -> dict[str, Any]:
        """The figures alone, for `metrics.json`: no times, no ids."""
        return {
            "outcome": self.outcome,
            "metric": self.metric,
            "data": {key_of(comparison.name): comparison.figures() for comparison in self.comparisons},
            "checks": {
                key_of(check.name): check.verdict
                for check in self.checks
                if check.unit not in ("milliseconds", "times")
            },
        }


def _named(side: Side) -> str:
    return f"{side.method} ({side.model_id[:12]})"


def key_of(name: str) -> str:
    """A check's name as a key."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def points(value: float) -> str:
    """A difference of shares in percentage points, with its sign: +1.3."""
    text = f"{100 * value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "\u2212")


def percent(value: float) -> str:
    """A share: 71.3 %."""
    return f"{100 * value:.1f} %"


def probability(value: float) -> str:
    """A p value to two digits, or as a power of ten where it is very small."""
    return f"{value:.2g}" if value >= 1e-4 else "below 0.0001"


def probability_said(value: float) -> str:
    """A p value in a sentence: "p = 0.012"."""
    said = probability(value)
    return f"p {said}" if said.startswith("below") else f"p = {said}"
