"""deploy: a bundle → its encoders in fast forms, those that answer like PyTorch kept and timed → the champion, if better → a Bento."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from clip_har.data.sources.base import CURRENT
from clip_har.export import EXPORTERS
from clip_har.monitoring.checks import CHECKS
from pipelines.bundles import bundle_path
from pipelines.caching import on_its_code
from pipelines.labelled_data import labelled_data, plan_of_labelled_data
from steps.deployment.benchmark_forms import benchmark_forms
from steps.deployment.build_bento import build_bento
from steps.deployment.export_model import export_model
from steps.deployment.gate_forms import gate_forms
from steps.deployment.profile_reference import profile_reference
from steps.deployment.promote import promote
from steps.deployment.publish_exports import publish_exports
from steps.evaluation.open_bundle import open_bundle


@pipeline(name="deploy", execution_mode=ExecutionMode.FAIL_FAST)
def deploy(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Export a bundle, keep what passes the gate, note what is usual for it, time it, compare it with the champion, pack and publish."""
    limits, compute = config.validation.limits, config.compute
    exporters = [EXPORTERS.module(name) for name in config.export.exporters]
    manifest, _, fingerprint = labelled_data(config, workspace, version)
    bundle = open_bundle(path=str(bundle_path(config)), with_exports=False)
    forms = on_its_code(export_model, *exporters)(
        bundle=bundle,
        manifest=manifest,
        export=config.export.making,
        compute=compute,
        limits=limits,
        seed=config.seed,
    )
    report = on_its_code(gate_forms, *exporters)(
        bundle=bundle, manifest=manifest, forms=forms, gate=config.export.gate, compute=compute, limits=limits
    )
    latency = benchmark_forms(bundle=bundle, forms=forms, report=report, latency=config.export.latency, compute=compute)
    profiles = []
    if config.monitor.profile.enabled:
        profile = on_its_code(profile_reference, *map(CHECKS.module, CHECKS))(
            bundle=bundle,
            manifest=manifest,
            forms=forms,
            report=report,
            profile=config.monitor.profile,
            runtime=config.serving.runtime,
            compute=compute,
            limits=limits,
        )
        profiles.append(profile)
    promotions = []
    if config.promotion.enabled:
        promoted = promote(
            bundle=bundle,
            manifest=manifest,
            forms=forms,
            report=report,
            latency=latency,
            promotion=config.promotion,
            compute=compute,
            limits=limits,
            embedding_cache=config.embedding_cache,
            workspace=workspace,
            remote=config.workspace.remote,
            newest=config.data.version == CURRENT,
            profiles=profiles,
        )
        promotions.append(promoted)
    bentos = []
    if config.serving.bento.enabled:
        packed = build_bento(
            bundle=bundle,
            forms=forms,
            report=report,
            serving=config.serving,
            workspace=workspace,
            promotions=promotions,
        )
        bentos.append(packed)
    publish_exports(
        bundle=bundle,
        forms=forms,
        report=report,
        latency=latency,
        fingerprint=fingerprint,
        outputs=outputs,
        folder=config.paths.run,
        settings=settings,
        promotions=promotions,
        bentos=bentos,
        profiles=profiles,
    )


def plan(config: RunConfig, version: str | None = "published") -> list[str]:
    """Names of the steps, in order."""
    profiled = ["profile_reference"] if config.monitor.profile.enabled else []
    own = ["open_bundle", "export_model", "gate_forms", "benchmark_forms", *profiled]
    compared = ["promote"] if config.promotion.enabled else []
    packed = ["build_bento"] if config.serving.bento.enabled else []
    return [*plan_of_labelled_data(version), *own, *compared, *packed, "publish_exports"]
