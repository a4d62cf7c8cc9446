"""What the app was started with: which service, and which workspace lies beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from clip_har.component import ComponentConfig, validated

VARIABLES = {
    "url": "CLIP_HAR_URL",
    "key": "CLIP_HAR_KEY",
    "workspace": "CLIP_HAR_WORKSPACE",
    "outputs": "CLIP_HAR_OUTPUTS",
    "bundle": "CLIP_HAR_BUNDLE",
}
"""Where each setting comes from."""


class AppSettings(ComponentConfig):
    """What the app was started with."""

    url: str | None = Field(None, description="The service to ask; the app starts one of its own if not given.")
    key: str | None = Field(None, description="API key, if the service wants one.")
    workspace: Path = Field(
        Path("workspace"), description="Whose champion a service of the app's own serves, and whose data are shown."
    )
    outputs: Path = Field(Path("outputs"), description="Published runs: their reports, and the newest bundle.")
    bundle: Path | None = Field(None, description="Bundle that a service of the app's own serves instead.")

    @classmethod
    def of(cls, environment: Mapping[str, str] | None = None) -> AppSettings:
        """From the environment's `VARIABLES`.

        Raises:
            ConfigError: if one cannot be used.
        """
        found = os.environ if environment is None else environment
        given = {name: found[variable] for name, variable in VARIABLES.items() if found.get(variable)}
        if "outputs" not in given and "workspace" in given:
            given["outputs"] = str(Path(given["workspace"]).absolute().parent / "outputs")
        return validated(cls, given, "app")
