"""Step: pack the champion, or the bundle where nothing is promoted, into a Bento. Never cached: it writes into the workspace."""

from typing import Annotated

from zenml import step

from clip_har.export.exporting import MadeForms, with_exports
from clip_har.export.report import ExportReport
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from clip_har.registry.champion import Registry
from clip_har.registry.report import PromotionReport
from clip_har.serving.config import ServingConfig
from clip_har.serving.packaging import PackedBento, build
from clip_har.serving.packaging.store import BentoStore
from steps.scratch import scratch_folder


@step(enable_cache=False)
def build_bento(
    bundle: ModelBundle,
    forms: MadeForms,
    report: ExportReport,
    serving: ServingConfig,
    workspace: str,
    promotions: list[PromotionReport] = [],  # noqa: B006 - ZenML takes no Optional here, and nothing changes it
) -> Annotated[PackedBento, "bento"]:
    """The Bento in `<workspace>/bentoml`, with its accepted forms; one of the same contents is taken as it is.

    Args:
        promotions: the comparison with the champion, if there was one: the Bento is the champion's then.
    """
    champion = Registry.of(workspace).champion() if promotions else None
    packed = champion or with_exports(bundle, forms, report, scratch_folder() / "bundle")
    with progress("packing the Bento"):
        return build(packed, BentoStore.of(workspace).home, serving)
