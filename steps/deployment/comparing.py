"""The bundle beside the champion: what both say of the same test photographs, and what that means."""

from collections.abc import Callable

import numpy as np

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.versions import VersionStore
from clip_har.evaluation.side_by_side import bundle_probabilities, data_to_compare_on
from clip_har.inference.predictor import Predictor
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import Report
from clip_har.registry.promotion import Answers, Gate, PromotionConfig, Speed, already_champion, decide, side_of
from clip_har.registry.report import PromotionReport
from clip_har.training.embedding_cache import EmbeddingCache


def compare_with_champion(
    challenger: ModelBundle,
    champion: ModelBundle | None,
    newest: Manifest,
    store: VersionStore,
    gate: Gate,
    speed: Callable[[], Speed],
    promotion: PromotionConfig,
    compute: ComputeConfig,
    *,
    limits: ImageLimits | None = None,
    cache: EmbeddingCache | None = None,
    progress: Report | None = None,
) -> PromotionReport:
    """The report; nothing is changed.

    Args:
        newest: the newest data; the champion's own are opened from the store where they are others.
        speed: measures both, if they are to be compared.
        cache: where embeddings are kept: an encoder that both models share sees a photograph once.
    """
    if champion is not None and champion.model_id == challenger.model_id:
        return already_champion(side_of(champion), promotion)
    kept = cache or EmbeddingCache.none()

    def embed(samples: Manifest, predictor: Predictor) -> EmbeddingSet:
        return kept.embed(samples, predictor.encoder, batch_size=compute.batch_size, limits=limits, progress=progress)

    def probabilities(bundle: ModelBundle, samples: Manifest) -> np.ndarray:
        return bundle_probabilities(bundle, samples, compute, limits=limits, embed=embed)

    found, notes = data_to_compare_on(newest, store, challenger, champion)
    answers = [
        Answers(
            name=data.name,
            revision=data.revision,
            labels=data.samples.labels,
            truth=data.samples.label_indices,
            challenger=probabilities(challenger, data.samples),
            champion=None if champion is None else probabilities(champion, data.samples),
            left_out=data.left_out,
        )
        for data in found
    ]
    other = None if champion is None else side_of(champion)
    return decide(side_of(challenger), other, answers, gate, speed(), promotion, notes)
