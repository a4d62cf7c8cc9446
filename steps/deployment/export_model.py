"""Step: write a bundle's encoders in every configured form."""

from pathlib import Path
from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.export.config import ExportConfig
from clip_har.export.exporting import MadeForms, make_forms
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.progress import progress
from materializers.made_forms import MadeFormsMaterializer
from steps.scratch import scratch_folder


@step(output_materializers=MadeFormsMaterializer)
def export_model(
    bundle: ModelBundle,
    manifest: Manifest,
    export: ExportConfig,
    compute: ComputeConfig,
    limits: ImageLimits,
    seed: int,
) -> Annotated[MadeForms, "forms"]:
    """All forms, before the gate; int8 is calibrated on training photographs."""
    folder = Path(scratch_folder()) / "forms"
    return make_forms(
        bundle, manifest, export, folder, limits=limits, threads=compute.threads, seed=seed, shown=progress
    )
