"""Runtimes timed in turn: those that the bundle has forms for, and why the others do not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clip_har.export.exporting import with_exports
from clip_har.export.latency import LatencyConfig, measure_in_turn, measure_latency
from clip_har.export.page import render_export_report
from tests.export.conftest import Exported


def test_every_runtime_with_a_form(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    made = exported("clip")
    bundle = with_exports(made.bundle, made.made, made.report, tmp_path / "bundle")
    seen = []
    found = measure_latency(
        bundle, LatencyConfig(rounds=3), device="cpu", threads=1, progress=lambda *step: seen.append(step)
    )
    assert {row.runtime for row in found.rows} == {"torch", "onnx", "onnx-int8"}
    assert found.fastest.median == min(row.median for row in found.rows)
    assert all(0 < row.median <= row.p99 for row in found.rows)
    assert seen[-1] == (3, 3)
    assert "tensorrt" in found.left_out
    assert str(tmp_path) not in "".join(found.left_out.values())
    page = render_export_report(made.report, found)
    assert f"runtime {found.fastest.runtime}" in page


def test_without_exports_there_is_torch(exported: Callable[[str], Exported]) -> None:
    found = measure_latency(exported("clip").bundle, LatencyConfig(rounds=3), device="cpu", threads=1)
    assert [row.runtime for row in found.rows] == ["torch"]
    assert "onnx" in found.left_out["onnx"]


def test_two_bundles_in_turn_each_with_its_own_runtime(exported: Callable[[str], Exported], tmp_path: Path) -> None:
    made, other = exported("clip"), exported("siglip")
    bundle = with_exports(made.bundle, made.made, made.report, tmp_path / "bundle")
    found = measure_in_turn([bundle, other.bundle], ["onnx", "onnx"], LatencyConfig(rounds=3), device="cpu", threads=1)
    assert [row.runtime for row in found] == ["onnx", "torch"], "torch where the bundle has no such form"
    assert all(0 < row.median <= row.p99 for row in found)
