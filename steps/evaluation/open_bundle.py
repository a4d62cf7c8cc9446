"""Step: open a published bundle, its checksums verified. Never cached: the folder may have changed."""

import shutil
from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.inference.exported import EXPORTS
from clip_har.models.bundle import ATTACHMENTS, ModelBundle
from clip_har.monitoring.profile import REFERENCE
from materializers.model_bundle import ModelBundleMaterializer
from steps.scratch import scratch_folder


@step(enable_cache=False, output_materializers=ModelBundleMaterializer)
def open_bundle(path: str, with_exports: bool = True) -> Annotated[ModelBundle, "bundle"]:
    """The bundle in a folder.

    Args:
        with_exports: whether forms that were exported from it come along, and the reference profile that was made with them;
            without, it is the bundle as it was trained.
    """
    if with_exports:
        return ModelBundle.load(path)
    copy = scratch_folder() / "bundle"
    left = [EXPORTS, REFERENCE]
    shutil.copytree(path, copy, ignore=lambda folder, names: left if Path(folder).name == ATTACHMENTS else [])
    return ModelBundle.load(copy)
