"""Observations in a folder: numbers as safetensors, ids as Parquet, the rest as JSON."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from clip_har.hashing import sha256_arrays, sha256_json
from clip_har.monitoring.errors import MonitoringError
from clip_har.monitoring.observations import Observations
from clip_har.storage import write_atomic, write_json

_FACTS, _ARRAYS, _ROWS = "observations.json", "observations.safetensors", "observations.parquet"
_FIELDS = ("predicted", "confidence", "abstained", "embeddings", "probabilities", "times", "truth")
_FIGURE = "figure."


def write_observations(folder: str | Path, observed: Observations) -> None:
    """Write three files into a folder."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors.numpy import save

    folder = Path(folder)
    buffer = io.BytesIO()
    columns: dict[str, list[str]] = {"id": list(observed.ids)}
    if observed.pictures is not None:
        columns["picture"] = list(observed.pictures)
    pq.write_table(
        pa.table(columns, schema=pa.schema([(name, pa.string()) for name in columns])), buffer, compression="zstd"
    )
    write_atomic(folder / _ROWS, buffer.getvalue())
    write_atomic(folder / _ARRAYS, save(arrays_of(observed)))
    write_json(folder / _FACTS, _facts(observed))


def read_observations(folder: str | Path) -> Observations:
    """What `write_observations` wrote.

    Raises:
        MonitoringError: if the files are missing, damaged, or do not belong together.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(folder)
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
        arrays = load_file(folder / _ARRAYS)
        rows = pq.read_table(folder / _ROWS).to_pydict()
        observed = Observations(
            **facts | {"labels": tuple(facts["labels"])},
            ids=tuple(rows["id"]),
            pictures=tuple(rows["picture"]) if "picture" in rows else None,
            figures={name.removeprefix(_FIGURE): arrays[name] for name in sorted(arrays) if name.startswith(_FIGURE)},
            **{name: arrays.get(name) for name in _FIELDS},
        )
        if any(len(array) != len(observed) for array in arrays.values()):
            raise ValueError(f"its {len(observed)} ids are of other pictures than its numbers")
        if any(getattr(observed, name) is None for name in _FIELDS[:3]):
            raise ValueError("the answers are missing")
        return observed
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, pa.ArrowException) as error:
        raise MonitoringError(
            f"{folder} holds no observations that can be read: {error}. Make them again, by the same command."
        ) from error


def arrays_of(observed: Observations) -> dict[str, np.ndarray]:
    """All numbers by name."""
    arrays = {name: getattr(observed, name) for name in _FIELDS}
    arrays |= {f"{_FIGURE}{name}": values for name, values in observed.figures.items()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}


def hash_of(observed: Observations) -> str:
    """sha256 of all that is in them."""
    rows = [list(observed.ids), None if observed.pictures is None else list(observed.pictures)]
    return sha256_json([_facts(observed), rows, sha256_arrays(arrays_of(observed))])


def _facts(observed: Observations) -> dict[str, Any]:
    names = ("model_id", "encoder_hash", "source", "errors", "skipped")
    return {name: getattr(observed, name) for name in names} | {"labels": list(observed.labels)}
