"""Step: embed every photograph with the unchanged backbone, once for all methods that leave it alone."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet
from clip_har.progress import progress
from clip_har.training.embedding_cache import EmbeddingCache, EmbeddingCacheConfig
from materializers.embedding_set import EmbeddingSetMaterializer


@step(output_materializers=EmbeddingSetMaterializer)
def embed_images(
    manifest: Manifest,
    model: ModelConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    embedding_cache: EmbeddingCacheConfig,
    workspace: str,
) -> Annotated[EmbeddingSet, "embeddings"]:
    """Image embeddings of all splits."""
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    with progress("embedding photographs") as report:
        return EmbeddingCache.of(embedding_cache, workspace).embed(
            manifest,
            encoder,
            batch_size=compute.batch_size,
            limits=limits,
            pixels=PixelCache(Path(workspace) / "pixels", cache),
            progress=report,
        )
