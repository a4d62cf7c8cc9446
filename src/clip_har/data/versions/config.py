"""Where versions are kept, and what a version is."""

from __future__ import annotations

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.hashing import canonical_json


class WorkspaceConfig(ComponentConfig):
    """The folder of the system's own state, and how versions of the data are published from it."""

    path: str = Field(
        "workspace", min_length=1, description="Folder of the system's own state, published versions included."
    )
    remote: str | None = Field(
        None,
        min_length=1,
        description="DVC remote that versions are pushed to: a folder or any URL that DVC takes (s3://…, ssh://…). "
        "If not given: the one that the workspace has been using, at first a folder inside it.",
    )
    tag: str | None = Field(None, min_length=1, description="Git tag to give to the version that is published.")
    push: bool = Field(True, description="Push a version to the remote when it is published.")


class DataVersion(ComponentConfig):
    """A published version."""

    git_revision: str = Field(description="Commit in the workspace's Git repository of data.")
    dvc_hash: str = Field(description="DVC's md5 of the directory of pictures.")
    manifest_hash: str = Field(description="Content hash of the Manifest.")
    source_key: str = Field(description="What it was made from and how: bytes of the source, settings, code.")
    tags: tuple[str, ...] = Field((), description="Git tags that name it.")
    created: str = Field(description="When it was published: ISO 8601, UTC.")
    samples: int = Field(description="Number of pictures.")

    def to_json(self) -> str:
        """Canonical JSON on one line."""
        return canonical_json(self.model_dump(mode="json")) + "\n"
