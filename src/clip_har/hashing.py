"""Hashes that mean the same on every machine."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np


def sha256_bytes(data: bytes) -> str:
    """Hex sha256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """Hex sha256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: Any) -> str:
    """Hex sha256 of a JSON value in its canonical form."""
    return sha256_bytes(canonical_json(value).encode())


def sha256_arrays(arrays: dict[str, np.ndarray]) -> str:
    """Hex sha256 over named arrays: names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data)
    return digest.hexdigest()


def sha256_folder(folder: str | Path) -> str:
    """Hex sha256 over a folder: relative paths and contents of all files below it."""
    folder = Path(folder)
    files = {str(path.relative_to(folder).as_posix()): path for path in folder.rglob("*") if path.is_file()}
    return sha256_json({name: sha256_file(path) for name, path in files.items()})
