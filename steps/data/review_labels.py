"""Step: list the photographs whose labels are likely to be wrong. Nothing is rejected for it."""

from typing import Annotated

from zenml import step

from clip_har.data import label_review
from clip_har.data.label_review import LabelReview, LabelReviewConfig
from clip_har.data.manifest import Manifest
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from materializers.label_review import LabelReviewMaterializer


@step(output_materializers=LabelReviewMaterializer)
def review_labels(
    manifest: Manifest, embeddings: EmbeddingSet, review: LabelReviewConfig, seed: int
) -> Annotated[LabelReview, "label_review"]:
    """The list, the most suspicious first."""
    with progress("reviewing labels") as report:
        return label_review.review_labels(manifest, embeddings.of(manifest.ids), review, seed=seed, progress=report)
