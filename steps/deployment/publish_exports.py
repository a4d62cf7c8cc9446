"""Step: publish the bundle with its accepted forms, and the reports. Never cached: nothing else has side effects."""

import json
from typing import Annotated

from zenml import step

from clip_har.data.fingerprint import DataFingerprint
from clip_har.environment import describe_environment
from clip_har.export.exporting import MadeForms
from clip_har.export.latency import LatencyReport
from clip_har.export.page import render_export_report
from clip_har.export.report import ExportReport
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.registry.page import render_promotion
from clip_har.registry.report import PromotionReport
from clip_har.runs import publish
from clip_har.serving.packaging import PackedBento
from steps.code import PROJECT
from steps.deployment.complete_bundle import complete_bundle
from steps.recording import record_published
from steps.scratch import scratch_folder
from steps.timing import describe_current_run

_PROMOTION = "promotion.html"


@step(enable_cache=False)
def publish_exports(
    bundle: ModelBundle,
    forms: MadeForms,
    report: ExportReport,
    latency: LatencyReport,
    fingerprint: DataFingerprint,
    outputs: str,
    folder: str | None,
    settings: str,
    promotions: list[PromotionReport] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
    bentos: list[PackedBento] = [],  # noqa: B006
    profiles: list[ReferenceProfile] = [],  # noqa: B006
) -> Annotated[str, "published"]:
    """Write `outputs/<run>/` with the bundle and its forms, and record the run with the stack's tracker.

    Args:
        folder: the run's folder, if it is to be a certain one.
        settings: the composed configuration as YAML, to be written down.
        promotions: the comparison with the champion, if there was one.
        bentos: the Bento, if one was packed.
        profiles: the reference profile, if one was made.
    """
    run = describe_current_run()
    environment = describe_environment(PROJECT)
    facts = {
        "Run": run["name"],
        "Backbone": bundle.info.backbone,
        "Data": bundle.info.data_revision,
        "Git revision": environment["git_revision"] or "not in Git",
        "Machine": f"{environment['processor']}, {environment['cores']} cores, {environment['gpu'] or 'no GPU'}",
        "Packages": ", ".join(f"{name} {version}" for name, version in environment["packages"].items()),
    }
    pages, figures, about = (
        {},
        {"export": report.figures()},
        {"steps": run["steps"], "facts": facts, "config": settings},
    )
    for decided in promotions:
        pages = {
            _PROMOTION: render_promotion(decided, {"facts": facts, "export": "export_report.html"}),
            "promotion_report.json": _listed(decided),
        }
        figures["promotion"] = decided.figures()
        about["promotion"] = {"page": _PROMOTION, "decision": decided.decision}
    page = render_export_report(report, latency, about)
    record = {
        **run,
        "model_id": bundle.model_id,
        "method": bundle.info.method,
        "data_hash": bundle.info.data_hash,
        "code_hash": fingerprint.code_hash,
        "environment": environment,
        "settings": settings,
        "leaderboard": None,
        "latency": latency.model_dump(mode="json"),
        "bento": bentos[0].model_dump(mode="json") if bentos else None,
    }
    published = publish(
        outputs,
        run["name"],
        bundle=complete_bundle(bundle, forms, report, profiles, scratch_folder() / "bundle"),
        report=page,
        metrics=figures,
        record=record,
        files={"export_report.html": page, "export_report.json": _listed(report)} | pages | _unmeasured(forms, report),
        fixed=folder,
    )
    record_published(
        published,
        tables={"forms": report.table(), "latency": [row.model_dump() for row in latency.rows]},
        files=("export_report.html", "export_report.json", *pages),
        model="bundle",
    )
    return str(published)


def _listed(report: ExportReport | PromotionReport) -> str:
    return json.dumps(report.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _unmeasured(forms: MadeForms, report: ExportReport) -> dict[str, bytes]:
    """Forms for another machine, which the bundle may not have before they were measured there."""
    names = [row.file for row in report.not_made if row.file is not None]
    beside = [f"{name}.json" for name in names if (forms.path / f"{name}.json").is_file()]  # an engine's metadata
    return {f"unmeasured/{name}": (forms.path / name).read_bytes() for name in (*names, *beside)}
