"""A ZenML experiment tracker that stands for MLflow and Weights & Biases at once.

The recording itself is the library's (`clip_har.tracking`): steps ask the active stack for this component's configuration
when they run. ZenML's own `@step(experiment_tracker=…)`, which knows one tracker a step, is not needed for it.
"""

from __future__ import annotations

from typing import cast

from pydantic import Field
from zenml.experiment_trackers.base_experiment_tracker import (
    BaseExperimentTracker,
    BaseExperimentTrackerConfig,
    BaseExperimentTrackerFlavor,
)
from zenml.utils.secret_utils import SecretField

FLAVOR = "dual"


class DualExperimentTrackerConfig(BaseExperimentTrackerConfig):
    """What both trackers need."""

    tracking_uri: str = Field(description="Of MLflow: sqlite:///… or a server's address.")
    experiment_name: str | None = Field(None, description="MLflow's experiment.")
    project_name: str | None = Field(None, description="W&B's project.")
    entity: str | None = Field(None, description="W&B's team or user.")
    api_key: str | None = SecretField(
        default=None,
        description="W&B's key, or a reference to a secret; WANDB_API_KEY if not given. Offline without any.",
    )
    base_url: str | None = Field(None, description="A W&B server of one's own.")
    folder: str | None = Field(None, description="Where W&B's offline runs lie; workspace/wandb if not given.")

    @property
    def is_local(self) -> bool:
        """Whether what MLflow records stays on this machine."""
        return not self.tracking_uri.startswith(("http://", "https://"))


class DualExperimentTracker(BaseExperimentTracker):
    """MLflow and Weights & Biases at once."""

    @property
    def config(self) -> DualExperimentTrackerConfig:
        """Its configuration."""
        return cast(DualExperimentTrackerConfig, self._config)


class DualExperimentTrackerFlavor(BaseExperimentTrackerFlavor):
    """The flavor `dual`."""

    @property
    def name(self) -> str:
        """Its name."""
        return FLAVOR

    @property
    def config_class(self) -> type[DualExperimentTrackerConfig]:
        """Its configuration's class."""
        return DualExperimentTrackerConfig

    @property
    def implementation_class(self) -> type[DualExperimentTracker]:
        """Its implementation.

        Raises:
            ImportError: if MLflow or W&B is not installed.
        """
        # Here, as ZenML's own trackers do it: imported later, by threads while steps import other things, W&B may end up
        # half imported, and is then of no use to the whole process.
        import mlflow  # noqa: F401
        import wandb  # noqa: F401

        return DualExperimentTracker
