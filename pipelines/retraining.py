"""After `monitor`: a new version of the data with the new labels, trained, and promoted if it is better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from clip_har.config import RunConfig
from clip_har.data.sources.base import CURRENT
from clip_har.data.sources.combined import CombinedSourceConfig
from clip_har.data.versions import VersionStore
from clip_har.errors import ClipHarError
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.alerts import Outcome, alert_of_retraining
from clip_har.monitoring.history import History, Retraining
from clip_har.monitoring.labels import LabelsAtHand, asks_for_training, labelled_store
from clip_har.monitoring.report import DriftReport
from clip_har.registry.report import PromotionReport
from clip_har.runs import LATEST, amend_record, read_record
from clip_har.storage import point_link
from pipelines import console
from steps.monitoring.trained_on import pictures_of

RunPipeline = Callable[[str, RunConfig], Path]
"""Runs a pipeline with a configuration; gives the folder that it published."""

UNANSWERED = 3
_RANK = {"ok": 0, "watch": 1, "retrain": 2}


def exit_code(folder: Path, config: RunConfig) -> int:
    """3 if the decision asks for somebody and nothing has answered it; 0 otherwise, also where the folder is elsewhere."""
    wanted = config.monitor.alert.exit_on
    if wanted == "never" or not folder.is_dir():
        return 0
    found = read_record(folder)["monitor"]
    answered = (found["retraining"] or {}).get("outcome") == "promoted"
    return UNANSWERED if _RANK[found["decided"]["state"]] >= _RANK[wanted] and not answered else 0


def retrain(folder: Path, config: RunConfig, run: RunPipeline) -> Retraining | None:
    """Train again if the run in `folder` asks for it and there are labels enough, and write down what came of it.

    Returns:
        What came of it; None if it was not asked for.

    Raises:
        ClipHarError: for what stopped a training, when that is written down.
    """
    record, report = read_record(folder), _report(folder)
    if not asks_for_training(report, config.monitor):
        return None
    labels = LabelsAtHand.model_validate(record["monitor"]["labels"])
    about = {"labels": labels.new, "wanted": labels.wanted, "sheet": labels.sheet, "model_before": report.model_id}
    if config.data.version != CURRENT:
        said = (
            f"The model is not trained again: data.version names {config.data.version!r}, and new labels cannot become part of "
            f"a version that exists. Train on the source: --set data.version={CURRENT}"
        )
        return _note(folder, config, report, Retraining(outcome="not possible", said=(said,), **about))
    if config.monitor.retrain == "auto" and labels.new < labels.wanted:
        return _note(folder, config, report, Retraining(outcome="labels wanted", said=labels.said, **about))
    try:
        done = _train_again(config, labels, run, about)
    except ClipHarError as error:
        said = f"Training again has failed: {error}"
        _note(folder, config, report, Retraining(outcome="failed", said=(said,), **about))
        raise
    point_link(Path(config.paths.outputs) / LATEST, folder)  # the run that was asked for
    return _note(folder, config, report, done)


def with_labelled(config: RunConfig) -> RunConfig:
    """The configuration with the labelled pictures beside the data that it names; itself if there are none, or they are in already."""
    labelled = labelled_store(config.monitor, config.workspace.path)
    labels = sorted({row.label for row in labelled.rows()})
    if not labels:
        return config
    return config.model_copy(update={"data": CombinedSourceConfig.of(config.data, labelled.source, labels)})


def _train_again(config: RunConfig, labels: LabelsAtHand, run: RunPipeline, about: dict[str, Any]) -> Retraining:
    """`data`, `train` and `deploy`, one after another."""
    from pipelines.checks import check
    from pipelines.labelled_data import published_version

    merged = with_labelled(config).model_copy(
        update={
            "bundle": None,
            "paths": config.paths.model_copy(update={"run": None}),
            "workspace": config.workspace.model_copy(update={"tag": None}),  # which names the version before
        }
    )
    check("train", merged)
    runs: dict[str, str] = {}
    if published_version(merged, str(Path(config.workspace.path).absolute())) is None:
        apart = merged.paths.model_copy(update={"outputs": str(Path(config.paths.outputs) / "data")})
        folder = run("data", merged.model_copy(update={"paths": apart}))
        console.show_data_first(folder)
        runs["data"] = folder.name
    trained = run("train", merged)
    runs["train"] = trained.name
    deployed = run("deploy", merged.model_copy(update={"bundle": str(trained / "bundle")}))
    runs["deploy"] = deployed.name
    model = ModelBundle.load(trained / "bundle", verify=False)
    revision = model.info.data_revision
    ids = pictures_of(VersionStore(config.workspace.path, config.workspace.remote), revision)
    labelled_store(config.monitor, config.workspace.path).note_published(ids, revision)
    made = {**about, "data": revision, "model": model.model_id, "runs": runs}
    place = deployed / "promotion_report.json"
    if not place.is_file():
        said = "The new model was compared with nothing, and the champion stays: promotion.enabled is false."
        return Retraining(outcome="kept", said=(said,), **made)
    promotion = PromotionReport.model_validate_json(place.read_text(encoding="utf-8"))
    given = f"Trained again with {labels.new} new labels, on the data {revision[:12]}."
    return Retraining(
        outcome=promotion.outcome,
        said=(given, promotion.decision, *promotion.reasons),
        data_before=promotion.champion.data_revision if promotion.champion else None,
        figures=_figures(promotion),
        **made,
    )


def _figures(promotion: PromotionReport) -> dict[str, float | None]:
    """Both models on each of the data that they were compared on."""
    found: dict[str, float | None] = {}
    for one in promotion.comparisons:
        found[f"{one.name}: new model"] = one.metrics[promotion.metric].value
        if one.beside is not None:
            found[f"{one.name}: champion before"] = one.beside.metrics[promotion.metric].value
            found[f"{one.name}: gain"] = one.beside.gain.value
            found[f"{one.name}: p"] = one.beside.p
    return found


def _report(folder: Path) -> DriftReport:
    return DriftReport.model_validate_json((folder / "drift_report.json").read_text(encoding="utf-8"))


def _note(folder: Path, config: RunConfig, report: DriftReport, done: Retraining) -> Retraining:
    """Write down what came of it, in the run's record and in the history; tell people."""
    record = read_record(folder)
    History(config.workspace.path).retrained(record["name"], done)
    told: Outcome | None = None
    if done.outcome != "labels wanted":
        told = alert_of_retraining(report, done, config.monitor.alert)
    monitor = record["monitor"] | {"retraining": done.model_dump(mode="json")}
    amend_record(folder, monitor=monitor)
    if told is not None:
        console.show_retraining(done, told)
    return done
