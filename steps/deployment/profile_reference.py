"""Step: what the exported model says of photographs that it was not trained on, for drift to be seen against."""

from typing import Annotated

from zenml import step

from clip_har.data.image import ImageLimits
from clip_har.data.manifest import Manifest
from clip_har.export.exporting import MadeForms, with_exports
from clip_har.export.report import ExportReport
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle
from clip_har.monitoring.config import ProfileConfig
from clip_har.monitoring.profile import ReferenceProfile
from clip_har.progress import progress
from materializers.reference_profile import ReferenceProfileMaterializer
from steps.scratch import scratch_folder


@step(output_materializers=ReferenceProfileMaterializer)
def profile_reference(
    bundle: ModelBundle,
    manifest: Manifest,
    forms: MadeForms,
    report: ExportReport,
    profile: ProfileConfig,
    runtime: str,
    compute: ComputeConfig,
    limits: ImageLimits,
) -> Annotated[ReferenceProfile, "reference_profile"]:
    """The profile, made with the accepted forms, as they will serve.

    Args:
        runtime: what the service runs the image encoder with.
    """
    whole = with_exports(bundle, forms, report, scratch_folder() / "bundle")
    with progress("observing the reference") as shown:
        return ReferenceProfile.build(
            whole, manifest, profile, runtime=runtime, compute=compute, limits=limits, progress=shown
        )
