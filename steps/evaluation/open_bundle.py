"""Step: open a published bundle, its checksums verified. Never cached: the folder may have changed."""

from typing import Annotated

from zenml import step

from clip_har.models.bundle import ModelBundle
from materializers.model_bundle import ModelBundleMaterializer


@step(enable_cache=False, output_materializers=ModelBundleMaterializer)
def open_bundle(path: str) -> Annotated[ModelBundle, "bundle"]:
    """The bundle in a folder."""
    return ModelBundle.load(path)
