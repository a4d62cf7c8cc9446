"""Whether a challenger becomes the champion: better by more than chance, and nothing lost that the bounds protect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.models.estimates import Estimate
from clip_har.registry.comparison import (
    Metric,
    calibration_error,
    calibration_gain,
    class_changes,
    mcnemar,
    metric_gain,
    metric_value,
    over_labels,
    permutation_p,
)
from clip_har.registry.report import Beside, Check, DataComparison, PromotionReport, Side
from clip_har.registry.verdicts import (
    checks_beside,
    checks_of_first,
    checks_of_gate,
    checks_of_speed,
    nothing_to_compare_on,
    reasons_of,
)

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle

_METRICS: tuple[Metric, ...] = ("accuracy", "balanced_accuracy", "macro_f1")


class PromotionConfig(ComponentConfig):
    """What a challenger is asked for. Margins and bounds of shares are shares: 0.01 is one percentage point."""

    enabled: bool = Field(
        True, description="Whether `deploy` compares the bundle with the champion; it may then replace it."
    )
    metric: Metric = Field("accuracy", description="What the challenger must be better in: on test photographs.")
    alpha: float = Field(0.05, gt=0, lt=1, description="A gain is more than chance if its p is below this.")
    non_inferior: bool = Field(
        False, description="Promote one that is as good, too: its gain's interval must end above minus `margin`."
    )
    margin: float = Field(0.01, ge=0, lt=1, description="What counts as no worse, with `non_inferior`.")
    older_margin: float | None = Field(
        0.01,
        ge=0,
        lt=1,
        description="By how much the metric may fall on the data that the champion was trained on, where the newest data are "
        "others; null: as much as it likes.",
    )
    class_margin: float = Field(
        0.1, ge=0, le=1, description="By how much a class's share of right answers may fall; more is a class lost,"
    )
    class_alpha: float = Field(
        0.01, gt=0, le=1, description="if chance would explain it with a probability below this (one-sided)."
    )
    ece_increase: float | None = Field(
        0.03,
        ge=0,
        description="By how much the calibration error may rise, beyond what chance explains; null: not asked for.",
    )
    latency_ratio: float | None = Field(
        1.5, gt=0, description="A picture may take this many times as long as the champion's; null: not asked for."
    )
    better_than_chance: bool = Field(True, description="Whether accuracy must be above guessing among the classes.")
    minimum: float | None = Field(
        None, ge=0, le=1, description="What the metric must reach, whatever the champion does."
    )
    maximum_ece: float | None = Field(0.25, ge=0, le=1, description="What the calibration error may be at most.")
    maximum_latency: float | None = Field(None, gt=0, description="Milliseconds that a picture may take at most.")
    exported_forms: int = Field(
        1, ge=0, description="Forms of the image encoder that must have passed the export gate."
    )
    resamples: int = Field(2000, ge=100, description="Bootstrap samples behind each interval.")
    seed: int = Field(0, description="Of the bootstrap.")
    note: str = Field("", description="Words of your own for the record: why this is promoted, or rolled back.")


@dataclass(frozen=True)
class Answers:
    """What both models said of the same photographs.

    Attributes:
        name: which data, in words.
        revision: their version.
        labels: the data's classes.
        truth: int [n], indices in `labels`.
        challenger: probabilities [n, labels of the challenger].
        champion: the same of the champion, or None if there is none.
        left_out: test photographs that one of the two was fitted on.
    """

    name: str
    revision: str
    labels: tuple[str, ...]
    truth: np.ndarray
    challenger: np.ndarray
    champion: np.ndarray | None = None
    left_out: int = 0


@dataclass(frozen=True)
class Gate:
    """What the export gate left: image forms that were made, and accepted."""

    made: int
    accepted: int


@dataclass(frozen=True)
class Speed:
    """Milliseconds for a picture, half of them within it; both on this machine."""

    runtime: str
    challenger: float
    champion_runtime: str | None = None
    champion: float | None = None


def decide(
    challenger: Side,
    champion: Side | None,
    tested: Sequence[Answers],
    gate: Gate,
    speed: Speed,
    config: PromotionConfig | None = None,
    notes: Sequence[str] = (),
) -> PromotionReport:
    """Compare, check, decide.

    Args:
        tested: on the newest data; then on the champion's own, where those are others.
        notes: what else is to be said of the comparison.
    """
    config = config or PromotionConfig()
    about = {
        "challenger": challenger,
        "champion": champion,
        "metric": config.metric,
        "alpha": config.alpha,
        "notes": tuple(notes),
    }
    if not len(tested[0].truth):
        missing = nothing_to_compare_on(tested[0].name, tested[0].left_out)
        return PromotionReport(**about, checks=(missing,), outcome="kept", reasons=(missing.said,))
    compared = [compare(challenger, champion, data, config) for data in tested if len(data.truth)]
    checks: list[Check] = []
    if champion is not None:
        checks += checks_beside(challenger, champion, compared, config)
    checks += checks_of_first(challenger, compared[0], config)
    checks += checks_of_speed(speed, config)
    checks += checks_of_gate(gate, config)
    return PromotionReport(
        **about,
        comparisons=tuple(compared),
        checks=tuple(checks),
        outcome="promoted" if all(check.verdict != "failed" for check in checks) else "kept",
        reasons=reasons_of(checks, champion is not None, config),
    )


def already_champion(side: Side, config: PromotionConfig) -> PromotionReport:
    """The report about a bundle that is the champion: there is nothing to compare."""
    said = "It is the champion already; its exported forms in the registry are now those of this run."
    return PromotionReport(
        challenger=side, champion=side, metric=config.metric, alpha=config.alpha, outcome="kept", reasons=(said,)
    )


def compare(challenger: Side, champion: Side | None, data: Answers, config: PromotionConfig) -> DataComparison:
    """Everything that is known of two models on the same photographs, of which there must be one at least.

    A photograph of a class that a model does not know counts as wrong for it.
    """
    known = (*challenger.labels, *(champion.labels if champion else ()))
    names = (*data.labels, *sorted(set(known) - set(data.labels)))
    options = {"resamples": config.resamples, "seed": config.seed}
    ours = over_labels(data.challenger, challenger.labels, names)
    predicted = ours.argmax(axis=1)

    def values(answers: np.ndarray) -> dict[str, Estimate]:
        return {name: metric_value(name, answers, data.truth, len(names), **options) for name in _METRICS}

    about = {
        "name": data.name,
        "revision": data.revision,
        "samples": len(data.truth),
        "left_out": data.left_out,
        "metrics": values(predicted),
        "ece": calibration_error(ours, data.truth, **options),
    }
    if champion is None or data.champion is None:
        return DataComparison(**about)
    theirs = over_labels(data.champion, champion.labels, names)
    other = theirs.argmax(axis=1)
    right, other_right = predicted == data.truth, other == data.truth
    discordant, p = mcnemar(right, other_right, config.alpha), None
    if config.metric != "accuracy":
        p = permutation_p(config.metric, predicted, other, data.truth, len(names), **options)
    limits = {"margin": config.class_margin, "alpha": config.class_alpha}
    classes = class_changes(right, other_right, data.truth, names, **limits)
    beside = Beside(
        metrics=values(other),
        gain=metric_gain(config.metric, predicted, other, data.truth, len(names), **options),
        discordant=discordant,
        p=discordant.p if p is None else p,
        ece=calibration_error(theirs, data.truth, **options),
        ece_gain=calibration_gain(ours, theirs, data.truth, **options),
        classes=tuple(row for row in classes if row.label in champion.labels),
    )
    return DataComparison(**about, beside=beside)


def side_of(bundle: ModelBundle) -> Side:
    """What the report says of a bundle."""
    info = bundle.info
    return Side(
        model_id=bundle.model_id,
        method=info.method,
        backbone=info.backbone,
        labels=info.labels,
        data_revision=info.data_revision,
    )
