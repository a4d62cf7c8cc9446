"""The machine's load as figures that every tracker takes."""

from __future__ import annotations

import math
import sys
from types import SimpleNamespace

import pytest

from clip_har.tracking.system_metrics import sample_system


def test_the_load_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    figures = sample_system()
    assert {"cpu_percent", "memory_percent", "process_memory_gb", "disk_percent", "process_threads"} <= set(figures)
    assert all(isinstance(value, float) and math.isfinite(value) for value in figures.values())
    assert 0 < figures["process_memory_gb"] < figures["memory_used_gb"] * 2
    assert "torch" not in sys.modules  # nothing is imported for this


def test_gpus_as_pytorch_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(number: int) -> float:
        raise ModuleNotFoundError("pynvml")

    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        mem_get_info=lambda number: (60 * 10**9, 80 * 10**9),
        memory_reserved=lambda number: 5 * 10**9,
        utilization=lambda number: 97,
        power_draw=lambda number: 350_000,
        temperature=missing,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    figures = sample_system()
    assert {key: value for key, value in figures.items() if key.startswith("gpu_1")} == {
        "gpu_1_memory_percent": 25.0,
        "gpu_1_process_memory_gb": 5.0,
        "gpu_1_percent": 97.0,
        "gpu_1_power_watts": 350.0,
    }
    cuda.is_initialized = lambda: False
    assert not any(key.startswith("gpu") for key in sample_system())
