"""The model card of a bundle: README.md in the Hub's form, from what was measured and from the bundle itself.

Nothing in it depends on the time or the machine: the same bundle and reports give the same card.
"""

from __future__ import annotations

from typing import Any

import yaml

from clip_har.models.bundle import ModelBundle
from clip_har.pages import environment
from clip_har.registry.hub.bundles import own_tag
from clip_har.registry.hub.config import HubConfig, repository_problem
from clip_har.registry.hub.reports import BundleReports

_METRICS = (
    ("accuracy", "Accuracy", "accuracy"),
    ("macro_f1", "Macro F1", "f1"),
    ("balanced_accuracy", "Balanced accuracy", None),
    ("top3_accuracy", "Right label among the first 3", None),
)
_LOCAL_DATA = "imagefolder"


def render_model_card(bundle: ModelBundle, reports: BundleReports, config: HubConfig) -> str:
    """The card as Markdown, with the Hub's YAML (and its `model-index`) in front."""
    figures = reports.figures
    name = config.card.name or config.repository.split("/")[1]
    templates = environment("clip_har.registry.hub")
    templates.filters["cell"] = _cell
    body = templates.get_template("model_card.md").render(
        bundle=bundle,
        info=bundle.info,
        config=config,
        name=name,
        folder=config.repository.split("/")[1],
        tag=config.tag or own_tag(bundle),
        figures=figures,
        rows=_rows(figures),
        data=_data(bundle, reports, config),
        found=reports.found,
        per_class=sorted(figures["per_class"].items(), key=lambda row: -row[1]["f1"]) if figures else [],
        forms=_forms(reports),
        conformal=bundle.calibration.conformal,
        abstention=bundle.calibration.abstention,
        recipe=yaml.safe_dump(bundle.info.recipe, sort_keys=True, allow_unicode=True, width=100).strip(),
        holds_training_data=bundle.info.head == "cache",
    )
    return _with_front_matter(body, bundle, reports, config, name)


def _data(bundle: ModelBundle, reports: BundleReports, config: HubConfig) -> dict[str, Any]:
    """What the figures were measured on: name, id on the Hub, version."""
    measured = reports.measured_on
    revision = measured.revision if reports.figures else bundle.info.data_revision
    return {"name": measured.name, "hub_id": config.card.dataset or measured.hub_id, "revision": revision}


def _rows(figures: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """A row a metric: title, the model's figure, zero-shot's."""
    if figures is None:
        return []
    other = figures.get("zero_shot", {})
    return [
        (title, _interval(figures[key]), _interval(other[key]) if key in other else "")
        for key, title, _ in _METRICS
        if key in figures
    ]


def _interval(estimate: dict[str, float]) -> str:
    return f"{100 * estimate['value']:.1f} % ({100 * estimate['low']:.1f} to {100 * estimate['high']:.1f})"


def _forms(reports: BundleReports) -> list[tuple[str, bool]]:
    """Exported forms and whether the gate kept them."""
    forms = (reports.exports or {}).get("forms", {})
    return [(name.replace("_", " "), bool(row["accepted"])) for name, row in sorted(forms.items())]


def _with_front_matter(body: str, bundle: ModelBundle, reports: BundleReports, config: HubConfig, name: str) -> str:
    from huggingface_hub import ModelCard, ModelCardData

    card, data = config.card, _data(bundle, reports, config)
    base = bundle.info.backbone
    about = ModelCardData(
        license=card.license or "unknown",
        library_name="transformers",
        pipeline_tag="zero-shot-image-classification",
        base_model=base if "/" in base and repository_problem(base) is None else None,
        datasets=[data["hub_id"]] if data["hub_id"] else None,
        tags=list(dict.fromkeys(["clip-har", "clip", "action-recognition", bundle.info.method, *card.tags])),
        metrics=["accuracy", "f1"] if reports.figures else None,
        model_name=name,
        eval_results=_eval_results(reports.figures, data) if reports.figures else None,
        ignore_metadata_errors=False,
    )
    return ModelCard(f"---\n{about.to_yaml()}\n---\n\n{body.strip()}\n").content


def _eval_results(figures: dict[str, Any], data: dict[str, Any]) -> list[Any]:
    """Of the model-index: https://huggingface.co/docs/hub/model-cards#evaluation-results"""
    from huggingface_hub import EvalResult

    return [
        EvalResult(
            task_type="image-classification",
            task_name="Human action recognition",
            dataset_type=data["hub_id"] or _LOCAL_DATA,
            dataset_name=data["name"],
            dataset_split=figures["split"],
            dataset_revision=data["revision"],
            metric_type=metric,
            metric_name=title,
            metric_value=round(figures[key]["value"], 4),
        )
        for key, title, metric in _METRICS
        if metric is not None and key in figures
    ]


def _cell(text: object) -> str:
    """Text for a cell of a Markdown table."""
    escaped = str(text).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
