"""Step: compare the bundle with the champion on test photographs, and promote it if it is better. Never cached: it acts."""

from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.versions import VersionStore
from clip_har.environment import git_revision
from clip_har.export.exporting import MadeForms
from clip_har.export.latency import LatencyReport, measure_in_turn
from clip_har.export.report import ExportReport
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.progress import progress
from clip_har.registry.acting import act_on
from clip_har.registry.champion import Registry
from clip_har.registry.mirrors import reconcile
from clip_har.registry.promotion import Gate, PromotionConfig, Speed
from clip_har.registry.report import PromotionReport
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from materializers.promotion_report import PromotionReportMaterializer
from stacks.mirrors import active_mirrors
from steps.code import PROJECT
from steps.deployment.comparing import compare_with_champion
from steps.deployment.complete_bundle import complete_bundle
from steps.scratch import scratch_folder
from steps.timing import describe_current_run

PAGE = "promotion.html"


@step(enable_cache=False, output_materializers=PromotionReportMaterializer)
def promote(
    bundle: ModelBundle,
    manifest: Manifest,
    forms: MadeForms,
    report: ExportReport,
    latency: LatencyReport,
    promotion: PromotionConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
    remote: str | None,
    newest: bool,
    profiles: list[ReferenceProfile] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
) -> Annotated[PromotionReport, "promotion_report"]:
    """The report as data; the registry has the bundle as a version from here on.

    Args:
        newest: whether to compare on the newest published data, rather than on those of this run.
        profiles: the reference profile, if one was made; a version that is there already gets it anew.
    """
    registry, store = Registry.of(workspace), VersionStore(workspace, remote)
    run = describe_current_run()["name"]
    challenger = registry.add(
        complete_bundle(bundle, forms, report, profiles, scratch_folder() / "bundle"),
        run=run,
        report=f"{run}/{PAGE}",
        git_revision=git_revision(PROJECT) or "",
        runtime=latency.fastest.runtime,
    )
    mirrors = active_mirrors(workspace)
    reconcile(registry, mirrors, challenger.model_id)
    champion = registry.champion()
    current = store.current() if newest else None
    if current is not None and current.manifest_hash != manifest.content_hash:
        manifest = store.open(current).manifest
    with progress("answering the test photographs") as shown:
        decided = compare_with_champion(
            challenger,
            champion,
            manifest,
            store,
            _gate(report),
            lambda: _speed(registry, challenger, champion, latency, compute),
            promotion,
            compute,
            limits=limits,
            cache=EmbeddingCache.of(embedding_cache, workspace),
            progress=shown,
        )
    act_on(registry, decided, run)
    problems = [str(outcome) for outcome in reconcile(registry, mirrors) if outcome.problem]
    return decided.model_copy(update={"mirrors": tuple(problems)})


def _gate(report: ExportReport) -> Gate:
    images = [row for row in report.forms if row.form.encoder == "image"]
    return Gate(made=len(images), accepted=sum(row.accepted for row in images))


def _speed(
    registry: Registry,
    challenger: ModelBundle,
    champion: ModelBundle | None,
    latency: LatencyReport,
    compute: ComputeConfig,
) -> Speed:
    """The challenger's fastest runtime beside the champion's, in turn on this machine."""
    ours = latency.fastest
    if champion is None:
        return Speed(runtime=ours.runtime, challenger=ours.median)
    runtimes = [ours.runtime, registry.version(champion.model_id).record.runtime]
    first, second = measure_in_turn([challenger, champion], runtimes, device=compute.device, threads=compute.threads)
    return Speed(first.runtime, first.median, second.runtime, second.median)
