"""Step: fit one adaptation method without the novel classes, and measure it on both kinds. One for each candidate."""

from typing import Annotated

from zenml import step

from clip_har.adaptation import METHODS, AnyMethodConfig
from clip_har.adaptation import open_vocabulary as library
from clip_har.adaptation.open_vocabulary import OpenVocabularyConfig, OpenVocabularyReport
from clip_har.adaptation.projection import PooledFeatures
from clip_har.adaptation.search.result import SearchResult
from clip_har.data.manifest import Manifest
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from materializers.open_vocabulary_report import OpenVocabularyReportMaterializer
from steps.training.context import FitSettings, adaptation_context


@step(output_materializers=OpenVocabularyReportMaterializer)
def measure_open_vocabulary(
    novel_classes: list[str],
    manifest: Manifest,
    embeddings: EmbeddingSet,
    name: str,
    method: AnyMethodConfig,
    open_vocabulary: OpenVocabularyConfig,
    fit: FitSettings,
    pooled: PooledFeatures | None = None,
    found: SearchResult | None = None,
) -> Annotated[OpenVocabularyReport, "open_vocabulary"]:
    """The method beside zero-shot, on base classes and on novel ones."""
    if found is not None:
        method = found.applied_to(method)
    held_out = open_vocabulary.model_copy(update={"novel_classes": tuple(novel_classes)})
    with progress(f"{name} without {len(novel_classes)} classes") as report:
        context = adaptation_context(manifest, embeddings, fit, method, pooled, report)
        fitted = METHODS.get(method.method)(method)
        return library.measure_open_vocabulary(fitted, context, held_out, name, held_out.split)
