"""Folders that say what they were made from, so that they are made once."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from clip_har.component import ComponentConfig
from clip_har.errors import DataError
from clip_har.hashing import sha256_bytes, sha256_json


@lru_cache(maxsize=1)
def code_hash() -> str:
    """sha256 over the sources of the drawn world: other code may draw other pictures from the same config."""
    root = Path(__file__).parent
    sources = {path.relative_to(root).as_posix(): sha256_bytes(path.read_bytes()) for path in root.rglob("*.py")}
    return sha256_json(sources)


def recipe(config: ComponentConfig) -> dict[str, Any]:
    """What decides the contents of a folder: the config, and the code."""
    return {"config": config.model_dump(mode="json"), "code": code_hash()}


def recipe_hash(config: ComponentConfig) -> str:
    """A short name for what a config makes with the present code."""
    return sha256_json(recipe(config))[:16]


def made_already(folder: Path, note: str, config: ComponentConfig) -> bool:
    """Whether a folder holds what the config makes, by the note in it.

    Args:
        folder: may be missing or empty, then the answer is no.
        note: name of the JSON file that says what the folder was made from; it has `config`, `code` and `files`.
        config: what is wanted.

    Raises:
        DataError: if there is something else in the folder.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    place = folder / note
    if not place.is_file():
        raise DataError(
            f"{folder} exists and was not made here (it has no {note}); an empty or a new folder is wanted."
        )
    try:
        held = json.loads(place.read_text())
        same = {key: held[key] for key in ("config", "code")} == recipe(config)
        wanted = int(held["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place} is damaged ({error}). Delete the folder to have it made again.") from error
    if not same:
        what = "another version of clip_har.samples" if held["config"] == recipe(config)["config"] else "another config"
        raise DataError(f"{folder} was made by {what}. Delete it, or name another folder.")
    found = sum(1 for path in folder.rglob("*.jpg") if path.is_file())
    if found != wanted:
        raise DataError(f"{folder} should hold {wanted} pictures and holds {found}. Delete it to have it made again.")
    return True
