"""What the monitoring pipeline looks at, how strict it is, and what it does."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import Field, field_validator

from clip_har.component import ComponentConfig
from clip_har.data.image import ImageLimits
from clip_har.labelling.config import LabellingConfig


class ProfileConfig(ComponentConfig):
    """The reference profile, made by `deploy` for the bundle that it exports."""

    enabled: bool = Field(True, description="Whether `deploy` makes one.")
    splits: tuple[Literal["validation", "calibration", "test"], ...] = Field(
        ("calibration", "validation", "test"),
        min_length=1,
        description="Splits of the data that it is made from: none that the model was trained on.",
    )
    partitions: int = Field(
        400, ge=100, description="Disjoint (reference, window) pairs drawn for the thresholds of each window size."
    )
    components: int = Field(32, ge=1, description="Principal components of the embeddings that are compared.")
    neighbours: int = Field(5, ge=1, description="Nearest reference pictures that tell what is out of vocabulary.")
    seed: int = Field(0, ge=0, description="Of the partitions.")


class DecisionConfig(ComponentConfig):
    """From alarms to a decision, with hysteresis."""

    retrain_after: int = Field(
        2,
        ge=1,
        description="Windows in a row with an alarm after which retraining is asked for; before, it is watched.",
    )
    clear_after: int = Field(2, ge=1, description="Windows in a row without one after which all is well again.")
    accuracy_drop: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Fall of the accuracy (measured with feedback, or else estimated), beyond its interval, that asks for "
        "retraining at once.",
    )
    overlap: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of a window's time that may have been looked at before. One with more counts only if its verdict is "
        "another than the last one's: two looks at the same pictures are no two windows.",
    )
    history: int = Field(1000, ge=1, description="Runs that are kept in the history.")


class AlertConfig(ComponentConfig):
    """Who is told."""

    webhook_variable: str = Field(
        "CLIP_HAR_WEBHOOK",
        min_length=1,
        description="Environment variable with the address that alerts are posted to (Slack's incoming webhooks, and what "
        "takes their JSON); nobody is told if it is not set. An address is a credential, so it is no setting.",
    )
    on: Literal["change", "alarm", "always"] = Field(
        "change", description="When: if the decision changed, at each alarm, or after each window."
    )
    exit_on: Literal["retrain", "watch", "never"] = Field(
        "retrain",
        description="From which decision on the command ends with 3, for schedulers, if no retraining has answered it.",
    )
    seconds: float = Field(10, gt=0, description="How long a webhook may take.")


class MonitorConfig(ComponentConfig):
    """A look at what a model has seen."""

    source: str = Field(
        "captured",
        min_length=1,
        description="What is looked at: `captured` (what the service saw), a table of `batch` (.parquet), or a folder of "
        "pictures.",
    )
    capture: str | None = Field(
        None, min_length=1, description="Capture folder; `capture` in the workspace if not given."
    )
    since: str | None = Field(
        "7d",
        min_length=1,
        description="Begin of the window: a time (2026-11-01T08:00Z) or an age (12h, 7d); null: all.",
    )
    until: str | None = Field(None, min_length=1, description="Its end, in the same form; now if not given.")
    most: int = Field(100_000, ge=1, description="Rows looked at; the newest, if there are more.")
    minimum: int = Field(50, ge=10, description="Pictures without which nothing is said.")
    false_alarm_rate: float = Field(
        0.05,
        gt=0,
        lt=1,
        description="Share of windows without any drift that may raise an alarm, over all checks together.",
    )
    checks: tuple[str, ...] | None = Field(None, min_length=1, description="Names of checks to make; all if not given.")
    error_share: float = Field(0.05, gt=0, lt=1, description="Share of refused pictures that is accepted.")
    runtime: str = Field("auto", description="What encodes a folder of pictures.")
    limits: ImageLimits = Field(ImageLimits(), description="What is accepted as an image, in a folder.")
    examples: int = Field(12, ge=0, le=100, description="Nearest and farthest pictures on the page, of each.")
    evidently: bool = Field(True, description="Whether Evidently makes its report too, and its workspace is kept.")
    evidently_rows: int = Field(
        10_000, ge=100, description="Rows given to Evidently, a random sample of more: its time grows with them."
    )
    evidently_runs: int = Field(
        100, ge=1, description="Windows of a model that Evidently's workspace keeps: each takes some megabytes."
    )
    profile: ProfileConfig = Field(ProfileConfig(), description="The reference profile.")
    decision: DecisionConfig = Field(DecisionConfig(), description="From alarms to a decision.")
    retrain: Literal["auto", "always", "never"] = Field(
        "auto",
        description="`auto`: train again when the decision is retrain and there are labels enough; `always`: whatever the "
        "decision; `never`: only say so.",
    )
    labelling: LabellingConfig = Field(LabellingConfig(), description="What is labelled, and how labels become data.")
    alert: AlertConfig = Field(AlertConfig(), description="Who is told.")
    seed: int = Field(0, ge=0, description="Of the samples drawn.")

    @field_validator("since", "until", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML makes a time of what looks like one."""
        return value.isoformat() if isinstance(value, date) else value
