"""What the registry writes down: the pointer, what is known of each version, and every decision."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import ClipHarError

Action = Literal["promoted", "kept", "rolled_back"]


class RegistryError(ClipHarError):
    """A registry that cannot be used, or that does not have what is asked for."""


class Pointer(ComponentConfig):
    """`champion.json`: the champion and its predecessor."""

    model_id: str = Field(min_length=1, description="Model id of the champion.")
    previous: str | None = Field(None, description="Model id of the champion before it.")
    since: str = Field(description="When it became champion: ISO 8601, UTC; the time of the decision.")
    data_revision: str = Field("", description="Revision of the data that the champion was trained on.")


class VersionRecord(ComponentConfig):
    """`versions/<model id>.json`: what is known of a version beyond what its bundle says."""

    model_id: str = Field(description="Its model id.")
    added: str = Field("", description="When it came into the registry: ISO 8601, UTC.")
    git_revision: str = Field("", description="Commit of the code that put it in.")
    run: str = Field("", description="The run that put it in.")
    report: str = Field("", description="The page about it, below the folder of outputs.")
    runtime: str = Field("torch", description="What encoded fastest when it was timed.")
    metrics: dict[str, float] = Field({}, description="Figures on test photographs, from its comparison.")


class Decision(ComponentConfig):
    """`decisions/<time>_<model id>.json`: what was decided, and why."""

    time: str = Field(description="ISO 8601, UTC.")
    action: Action = Field(description="promoted, kept (the champion stays), or rolled_back.")
    model_id: str = Field(description="The version that it is about: the challenger, or the one that came back.")
    champion: str | None = Field(description="The champion from then on.")
    replaced: str | None = Field(None, description="The champion until then, where it is another.")
    reasons: tuple[str, ...] = Field((), description="Why, in sentences.")
    figures: dict[str, float | None] = Field({}, description="Check → its figure.")
    run: str = Field("", description="The run that decided.")

    @property
    def file_name(self) -> str:
        """Name of its file: decisions sort by time."""
        return f"{self.time.translate({ord(':'): '-', ord('+'): None})}_{self.model_id[:12]}.json"
