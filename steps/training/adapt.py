"""Step: fit one adaptation method. A pipeline has one of these for each candidate."""

from dataclasses import replace
from typing import Annotated

from zenml import step

from clip_har.adaptation import METHODS, AnyMethodConfig
from clip_har.adaptation.base import AdaptedModel
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.manifest import Manifest
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from materializers.adapted_model import AdaptedModelMaterializer
from stacks.tracking import pipeline_outbox
from steps.curves import LiveCurves
from steps.training.context import FitSettings, adaptation_context


@step(output_materializers=AdaptedModelMaterializer)
def adapt(
    manifest: Manifest,
    embeddings: EmbeddingSet,
    name: str,
    method: AnyMethodConfig,
    fit: FitSettings,
    pooled: PooledFeatures | None = None,
    found: SearchResult | None = None,
) -> Annotated[AdaptedModel, "candidate"]:
    """The method fitted on the train split, with the settings that a search found if there was one."""
    if found is not None:
        method = found.applied_to(method)
    curves = LiveCurves(name, pipeline_outbox())
    with progress(f"fitting {name}") as report:
        context = adaptation_context(manifest, embeddings, fit, method, pooled, report)
        adapted = METHODS.get(method.method)(method).adapt(replace(context, on_validation=curves.on_validation), name)
        curves.complete(adapted.history)
        return adapted if found is None else replace(adapted, remarks=[*adapted.remarks, found.remark()])
