"""rollback: the champion's predecessor is the champion again."""

from zenml import pipeline
from zenml.enums import ExecutionMode

from clip_har.config import RunConfig
from steps.deployment.rollback import roll_back


@pipeline(name="rollback", execution_mode=ExecutionMode.FAIL_FAST)
def rollback(config: RunConfig, workspace: str, outputs: str, settings: str, version: str | None = None) -> None:
    """Swap champion and predecessor."""
    roll_back(
        workspace=workspace, outputs=outputs, folder=config.paths.run, note=config.promotion.note, settings=settings
    )


def plan(config: RunConfig, version: str | None = None) -> list[str]:
    """Names of the steps, in order."""
    return ["roll_back"]
