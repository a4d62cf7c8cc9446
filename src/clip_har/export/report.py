"""The ExportReport: what every exported form was asked for, what it showed, and whether it is kept."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.inference.exported import ExportedForm
from clip_har.models.estimates import Estimate

Verdict = Literal["passed", "failed", "batch 1 only", "shown"]


class Check(ComponentConfig):
    """One figure of a form beside its bound."""

    name: str = Field(description="What was measured, in words.")
    figure: float | None = Field(description="What came of it; null if it could not be measured.")
    bound: float | None = Field(None, description="What was asked for; null: the figure is for information.")
    at_least: bool = Field(True, description="Whether the figure must be at least the bound, or at most.")
    unit: Literal["cosine", "share", "points", "probability", "count"] = Field(description="How to read the figure.")
    interval: Estimate | None = Field(None, description="The figure with its 95 % interval, where it has one.")
    note: str = Field("", description="What else is to be said.")
    verdict: Verdict = Field(description="passed, failed, 'batch 1 only' (kept, with that limit), or shown (no bound).")

    def text(self, value: float | None) -> str:
        """A figure of this check, as people read it."""
        if value is None:
            return "–"
        if self.unit == "cosine":
            return _cosine(value)
        if self.unit == "probability":
            return f"{value:.1e}" if value else "0"
        if self.unit == "points":
            return _signed(f"{100 * value:+.2f}")
        return f"{value:.0f}" if self.unit == "count" else f"{100 * value:.2f} %".replace(".00 %", " %")

    @property
    def wanted(self) -> str:
        """The bound, as people read it: "at least 99.5 %"; empty if there is none."""
        if self.bound is None:
            return ""
        scale, unit = {"share": (100, " %"), "points": (100, " points")}.get(self.unit, (1, ""))
        return _signed(f"at {'least' if self.at_least else 'most'} {scale * self.bound:g}{unit}")

    @property
    def said(self) -> str:
        """The figure with its bound, in a sentence."""
        unit = " points" if self.unit == "points" else ""
        note = f" ({self.note})" if self.note else ""
        return f"{self.name}: {self.text(self.figure)}{unit}{note}; wanted: {self.wanted}."


class FormReport(ComponentConfig):
    """One form at the gate."""

    form: ExportedForm = Field(description="The form; `single_only` if it is kept for batches of one.")
    size: int = Field(ge=0, description="Of its file, in bytes.")
    checks: tuple[Check, ...] = Field(description="What was measured.")
    accepted: bool = Field(description="Whether it is kept in the bundle.")
    reasons: tuple[str, ...] = Field((), description="Why it is not.")


class NotMade(ComponentConfig):
    """A form that there is not, or that could not be measured on this machine."""

    encoder: str = Field(description="Which encoder.")
    exporter: str = Field(description="Which exporter was asked.")
    reason: str = Field(description="Why not.")
    file: str | None = Field(None, description="The form's file, if it was made, but does not run on this machine.")


class ExportReport(ComponentConfig):
    """All forms of a bundle at the gate; what is not accepted is kept out of the bundle."""

    model_id: str = Field(description="The bundle.")
    method: str = Field(description="Its adaptation method.")
    backbone: str = Field(description="What it was adapted from.")
    split: str = Field(description="Split that forms were measured on.")
    samples: int = Field(description="Photographs in it that were used.")
    texts: int = Field(description="Texts of the classes that text forms were measured on.")
    accuracy: Estimate = Field(description="Of the PyTorch encoder on these photographs.")
    ece: float = Field(description="Expected calibration error of the PyTorch encoder.")
    forms: tuple[FormReport, ...] = Field(description="A row a form.")
    not_made: tuple[NotMade, ...] = Field((), description="What was asked for and there is not.")

    @property
    def accepted(self) -> tuple[ExportedForm, ...]:
        """What goes into the bundle."""
        return tuple(row.form for row in self.forms if row.accepted)

    @property
    def decision(self) -> str:
        """The outcome in a sentence."""
        refused = [row.form.name for row in self.forms if not row.accepted]
        kept = f"{len(self.accepted)} of {len(self.forms)} forms are kept"
        return f"{kept}; kept out: {', '.join(refused)}." if refused else f"{kept}."

    def figures(self) -> dict[str, Any]:
        """The figures alone, for `metrics.json`: no times, no ids."""
        forms = {}
        for row in self.forms:
            figures = {re.sub(r"\W+", "_", check.name.lower()).strip("_"): check.figure for check in row.checks}
            key = f"{row.form.encoder}_{row.form.format}_{row.form.precision}"
            dynamic = "_dynamic" if row.form.details.get("scheme") == "dynamic" else ""
            forms[key + dynamic] = {"accepted": row.accepted, **figures}
        return {"split": self.split, "samples": self.samples, "accuracy": self.accuracy.model_dump(), "forms": forms}

    def table(self) -> list[dict[str, Any]]:
        """A row a form: the verdict, its size in bytes, and the figure of each check."""
        return [
            {
                "form": row.form.name,
                "encoder": row.form.encoder,
                "accepted": row.accepted,
                "size": row.size,
                **{check.name: check.figure for check in row.checks},
            }
            for row in self.forms
        ]


def _cosine(value: float) -> str:
    """As many nines as tell it from 1 (0.99996, 0.9812), never rounded up to a bound that it misses."""
    if value > 1 - 1e-9:
        return "1"
    digits = 4 if value < 0.999 else min(8, 2 - math.floor(math.log10(1 - value)))
    text = f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}"
    return _signed(text.rstrip("0").rstrip(".") if value >= 0.999 else text)


def _signed(text: str) -> str:
    """Minus signs that are not hyphens, and no sign before nothing."""
    return re.sub(r"(^| )-(?=\d)", "\\1\u2212", re.sub(r"^[+-](?=0\.?0*$)", "", text))
