"""Step: publish what the run found, for people and for trackers. Never cached: nothing else has side effects."""

from typing import Annotated

from zenml import step

from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.fingerprint import DataFingerprint
from clip_har.data.image import ImageLimits
from clip_har.data.label_review import LabelReview
from clip_har.data.manifest import SPLITS, Manifest
from clip_har.data.validation import ValidationReport
from clip_har.environment import describe_environment
from clip_har.evaluation.evaluate import EVALUATION_FILE, EvaluationReport
from clip_har.evaluation.leaderboard import Leaderboard
from clip_har.evaluation.open_vocabulary import open_vocabulary_figures
from clip_har.evaluation.plot_data import plot_files
from clip_har.evaluation.plot_images import plot_images
from clip_har.evaluation.report import render_report
from clip_har.models.bundle import ModelBundle
from clip_har.models.preprocessing import PreprocessingConfig
from clip_har.runs import publish
from clip_har.training.contact_sheet import augmentation_sheets
from steps.code import PROJECT
from steps.curves import search_part, trial_rows
from steps.recording import record_published
from steps.timing import describe_current_run


@step(enable_cache=False)
def publish_run(
    bundle: ModelBundle,
    evaluation: EvaluationReport,
    manifest: Manifest,
    validation_report: ValidationReport,
    fingerprint: DataFingerprint,
    outputs: str,
    folder: str | None,
    settings: str,
    seed: int,
    limits: ImageLimits,
    leaderboard: Leaderboard | None = None,
    review: LabelReview | None = None,
    candidates: list[AdaptedModel] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
    searches: list[SearchResult] = [],  # noqa: B006
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/` and record the run with the stack's tracker.

    Args:
        folder: the run's folder, if it is to be a certain one.
        settings: the composed configuration as YAML, to be written down.
        seed, limits: of the run, for the pictures of what augmentation did.
    """
    run = describe_current_run()
    environment = describe_environment(PROJECT)
    histories = {candidate.name: candidate.history for candidate in candidates}
    alone = {bundle.info.method: bundle.info.open_vocabulary}
    vocabulary = leaderboard.open_vocabularies if leaderboard is not None else alone
    counts = manifest.counts()
    facts = {
        "Run": run["name"],
        "Backbone": bundle.info.backbone,
        "Measured with": evaluation.runtime,
        "Data": f"{bundle.info.data_revision} ({len(manifest)} photographs)",
        "Other labels": f"{bundle.info.open_vocabulary.word}: {bundle.info.open_vocabulary.basis}",
        "Git revision": environment["git_revision"] or "not in Git",
        "Machine": f"{environment['processor']}, {environment['cores']} cores, {environment['gpu'] or 'no GPU'}",
        "Packages": ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
    }
    report = render_report(
        evaluation,
        leaderboard=leaderboard,
        histories=histories,
        data={
            "splits": SPLITS,
            "counts": [(label, [int(number) for number in numbers]) for label, numbers in counts.iterrows()],
            "validation": validation_report.summary(),
        },
        run={"steps": run["steps"], "facts": facts, "config": settings},
        vocabulary=vocabulary,
        searches=[search.model_dump(mode="json") for search in searches],
        label_review=review.shown(manifest.root, limits=limits) if review is not None else None,
        augmentation=augmentation_sheets(
            {candidate.name: candidate.augmentation for candidate in candidates},
            manifest,
            PreprocessingConfig.read(bundle.path, decoder_reduction=bundle.info.decoder_reduction),
            seed,
            limits,
        ),
    )
    listed = {} if review is None else {"likely_label_errors.csv": review.frame.to_csv(index=False)}
    whole = {EVALUATION_FILE: evaluation.model_dump_json()}
    metrics = {evaluation.split: evaluation.figures(), "data": validation_report.summary()}
    if leaderboard is not None:
        metrics["validation"] = leaderboard.figures()
        if (other_labels := open_vocabulary_figures(vocabulary)) is not None:
            metrics["open_vocabulary"] = other_labels
    if searches:
        metrics["search"] = {search.config.candidate: search.summary() for search in searches}
    record = {
        **run,
        "model_id": bundle.model_id,
        "method": bundle.info.method,
        "data_hash": bundle.info.data_hash,
        "code_hash": fingerprint.code_hash,
        "environment": environment,
        "settings": settings,
        "leaderboard": [row.name for row in leaderboard.rows] if leaderboard else None,
    }
    published = publish(
        outputs,
        run["name"],
        bundle=bundle,
        report=report,
        metrics=metrics,
        record=record,
        files=plot_files(evaluation, leaderboard, histories) | listed | whole,
        fixed=folder,
    )
    searched = {search_part(search.config.candidate): trial_rows(search.trials) for search in searches}
    tables = {"per_class": evaluation.per_class}
    if leaderboard is not None:
        tables["leaderboard"] = leaderboard.table()
    record_published(
        published,
        histories={name: (f"adapt_{name}", history) for name, history in histories.items()}
        | {part: (part, rows) for part, rows in searched.items()},
        tables=tables,
        figures=lambda: plot_images(evaluation, leaderboard, histories),
        model="bundle",
    )
    return str(published)
