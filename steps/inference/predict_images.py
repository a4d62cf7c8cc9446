"""Step: recognise every picture of a source. Never cached: the pictures may have changed, and it goes on where it was killed."""

import json
from dataclasses import asdict
from typing import Annotated

from zenml import step

from clip_har.batch.config import BatchConfig
from clip_har.batch.job import run_job
from clip_har.models.backbone import ComputeConfig
from clip_har.models.bundle import ModelBundle


@step(enable_cache=False)
def predict_images(
    bundle: ModelBundle, batch: BatchConfig, compute: ComputeConfig, workspace: str
) -> Annotated[str, "job"]:
    """Fill the parts of the table; gives where they are, as JSON."""
    return json.dumps(asdict(run_job(bundle, batch, compute, workspace)))
