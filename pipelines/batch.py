"""batch: a bundle and a source of pictures → a table with a row for each."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from pipelines.bundles import bundle_to_share
from steps.evaluation.open_bundle import open_bundle
from steps.inference.predict_images import predict_images
from steps.inference.publish_predictions import publish_predictions


@pipeline(name="batch", execution_mode=ExecutionMode.FAIL_FAST)
def batch(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Recognise everything in a folder, list, archive, table or video."""
    bundle = open_bundle(path=str(bundle_to_share(config)))
    job = predict_images(bundle=bundle, batch=config.batch, compute=config.compute, workspace=workspace)
    publish_predictions(
        bundle=bundle, job=job, batch=config.batch, outputs=outputs, folder=config.paths.run, settings=settings
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return ["open_bundle", "predict_images", "publish_predictions"]
