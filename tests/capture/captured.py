"""Predictions to capture, and what a store reads of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from clip_har.capture import CaptureConfig, CapturedPrediction, CaptureStore, CaptureWriter

START = 1_780_000_000.0  # a moment in 2026


def prediction(number: int, **changes: Any) -> CapturedPrediction:
    """The prediction of a number: its values follow from it."""
    values = {
        "id": f"{number:032x}",
        "time": START + number,
        "model_id": "a" * 64,
        "encoder_hash": "e" * 64,
        "embedding": np.full(4, number, np.float32),
        "labels": ("running", "sitting", "eating"),
        "scores": (0.7, 0.2, 0.1),
        "calibrated": True,
        "abstained": False,
        "probabilities": np.array([0.2, 0.7, 0.1], np.float32),
        "width": 240,
        "height": 160,
        "format": "JPEG",
        "bytes": 9000 + number,
        "statistics": {"brightness": 0.5, "aspect": 1.5},
        "seconds": 0.01,
        "surface": "rest",
        "role": "champion",
    }
    return CapturedPrediction(**(values | changes))


def still(**changes: Any) -> CaptureConfig:
    """A config whose thread writes nothing by itself: tests flush."""
    return CaptureConfig(**({"flush_seconds": 3600.0, "retention_days": None} | changes))


def capture(folder: Path, groups: Iterable[Iterable[CapturedPrediction]], **changes: Any) -> None:
    """Write each group by a process of its own, as it were, into a file of its own."""
    for group in groups:
        writer = CaptureWriter(folder, still(**changes))
        for one in group:
            writer.record(one)
        writer.close()
        assert writer.dropped == 0


def numbers(store: CaptureStore, **window: Any) -> list[int]:
    """Which predictions are read, in order, those twice that are."""
    return sorted(int(one, 16) for one in store.predictions(**window, columns=("id",)).column("id").to_pylist())
