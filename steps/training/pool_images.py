"""Step: embed every photograph, and keep what the backbone's projection takes; for methods that tune the projection."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.adaptation.projection import PooledFeatures, embed_with_pooled
from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from materializers.embedding_set import EmbeddingSetMaterializer
from materializers.pooled_features import PooledFeaturesMaterializer


@step(output_materializers={"embeddings": EmbeddingSetMaterializer, "pooled": PooledFeaturesMaterializer})
def pool_images(
    manifest: Manifest,
    model: ModelConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
) -> tuple[Annotated[EmbeddingSet, "embeddings"], Annotated[PooledFeatures, "pooled"]]:
    """Image embeddings and pooled features of all splits, from one pass through the encoder."""
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    with progress("embedding photographs") as report:
        embeddings, pooled = embed_with_pooled(
            manifest,
            encoder,
            batch_size=compute.batch_size,
            limits=limits,
            cache=PixelCache(Path(workspace) / "pixels", cache),
            embedding_cache=EmbeddingCache.of(embedding_cache, workspace),
            progress=report,
        )
    return embeddings, pooled  # ZenML reads here how many there are
