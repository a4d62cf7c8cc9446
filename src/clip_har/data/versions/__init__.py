"""Published versions of the data: a Git repository whose pictures and Manifest DVC keeps.

`<workspace>/data` is a plain Git + DVC repository that `git` and `dvc` can work with; `VersionStore` is the way in.
"""

from clip_har.data.versions.config import DataVersion, WorkspaceConfig

__all__ = ["DataVersion", "PublishedData", "VersionStore", "WorkspaceConfig"]


def __getattr__(name: str):
    if name in ("PublishedData", "VersionStore"):
        from clip_har.data.versions import store

        return getattr(store, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
