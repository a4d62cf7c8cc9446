"""publish: a bundle → its model card → the Hugging Face Hub."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from pipelines.bundles import bundle_to_share
from steps.deployment.publish_to_hub import publish_to_hub
from steps.deployment.write_model_card import write_model_card
from steps.evaluation.open_bundle import open_bundle


@pipeline(name="publish", execution_mode=ExecutionMode.FAIL_FAST)
def publish(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Send the champion, or the bundle that is named, to the Hub."""
    bundle = open_bundle(path=str(bundle_to_share(config)))
    card = write_model_card(bundle=bundle, hub=config.hub, outputs=outputs)
    publish_to_hub(
        bundle=bundle, card=card, hub=config.hub, outputs=outputs, folder=config.paths.run, settings=settings
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return ["open_bundle", "write_model_card", "publish_to_hub"]
