"""The model card of a pretrained backbone: README.md in the Hub's form, from measured results alone."""

from __future__ import annotations

from typing import Any

import yaml

from clip_har.evaluation.metrics import Estimate
from clip_har.evaluation.report import template
from clip_har.evaluation.zero_shot import ZeroShotReport

_GROUPS = {"all": "All", "seen": "Seen in pretraining", "unseen": "Never seen in pretraining"}


def render_model_card(
    zero_shot: ZeroShotReport,
    facts: dict[str, Any],
    history: list[dict[str, float]],
    *,
    settings: str,
    environment: dict[str, Any],
    minutes: float | None,
) -> str:
    """The card as Markdown.

    Args:
        facts: of the pretrained backbone.
        history: of its training.
        settings: the run's composed configuration as YAML.
        environment: as `describe_environment`; no paths of the machine are taken from it.
        minutes: what training took.
    """
    config = yaml.safe_load(settings)
    shown = {key: config[key] for key in ("seed", "data", "prompts", "pretraining")}
    best = next(row for row in history if row["step"] == facts["best_step"])
    return template("model_card.md").render(
        facts=facts,
        best=best,
        groups=[
            (_GROUPS[group.name], group, _cell(group.among_themselves), _cell(group.among_all))
            for group in zero_shot.groups
        ],
        unseen=zero_shot.group("unseen"),
        samples=zero_shot.samples,
        asked={label: names for label, names in zero_shot.prompts.items() if names != (label.replace("_", " "),)},
        per_class=sorted(zero_shot.per_class, key=lambda row: -row["recall"]),
        pairs=config["pretraining"]["pairs"],
        training=config["pretraining"]["training"],
        config=yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100).strip(),
        environment=environment,
        minutes=minutes,
    )


def _cell(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.1f} % ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
