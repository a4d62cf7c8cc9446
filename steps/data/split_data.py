"""Step: assign each duplicate group to a split."""

from typing import Annotated

from zenml import step

from clip_har.data.manifest import Manifest
from clip_har.data.splits import SplitConfig, split_manifest
from materializers.manifest import ManifestMaterializer


@step(output_materializers=ManifestMaterializer)
def split_data(validated: Manifest, splits: SplitConfig) -> Annotated[Manifest, "manifest"]:
    """The same samples with their split."""
    return split_manifest(validated, splits)
