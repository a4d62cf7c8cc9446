"""Step: embed every photograph with the unchanged backbone, once for all methods that leave it alone."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.data.pixel_cache import PixelCache, PixelCacheConfig
from clip_har.models.backbone import ComputeConfig, ModelConfig
from clip_har.models.embeddings import EmbeddingSet, embed_manifest
from clip_har.progress import progress
from materializers.embedding_set import EmbeddingSetMaterializer


@step(output_materializers=EmbeddingSetMaterializer)
def embed_images(
    manifest: Manifest,
    model: ModelConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    cache: PixelCacheConfig,
    workspace: str,
) -> Annotated[EmbeddingSet, "embeddings"]:
    """Image embeddings of all splits."""
    from clip_har.models.dual_encoder import DualEncoder

    encoder = DualEncoder.load(model, compute.device)
    with progress("embedding photographs") as report:
        return embed_manifest(
            manifest,
            encoder.encode_images,
            encoder.image_encoder_hash(),
            encoder.preprocessing,
            batch_size=compute.batch_size,
            limits=limits,
            cache=PixelCache(Path(workspace) / "pixels", cache),
            progress=report,
        )
