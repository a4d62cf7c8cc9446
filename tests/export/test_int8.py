"""int8 forms that the gate would refuse are made again, nearer to float."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clip_har.export.base import ExportContext
from clip_har.export.config import ExportConfig
from clip_har.export.int8 import DynamicInt8Exporter, Int8Exporter
from clip_har.export.page import render_export_report
from clip_har.inference.exported import ExportedForm
from tests.export.conftest import QUICK, Exported


class Gatekeeper:
    """Refuses the first so many forms."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.asked = 0

    def __call__(self, form: ExportedForm, run: Callable) -> tuple[str, ...]:
        assert run({"pixel_values": np.zeros((1, 3, 32, 32), np.float32)}).shape == (1, 16)
        self.asked += 1
        return ("Change in accuracy: too low.",) if self.asked <= self.times else ()


@pytest.fixture
def context(exported: Callable[[str], Exported], tmp_path: Path) -> Callable[..., ExportContext]:
    made = exported("clip")
    shutil.copytree(made.made.path / "onnx", tmp_path / "onnx")

    def make(refusal: Gatekeeper, **settings: object) -> ExportContext:
        pictures = np.random.default_rng(0).normal(size=(12, 3, 32, 32)).astype(np.float32)
        config = ExportConfig(quantisation=QUICK.model_copy(update={"wanted_cosine": 0.5}), **settings)
        texts = ("a photo of someone running",)
        return ExportContext(made.encoder, tmp_path, config, pictures[:8], pictures[8:], texts, 1, refusal)

    return make


def test_made_again_with_half_the_loss(context: Callable[..., ExportContext]) -> None:
    gatekeeper = Gatekeeper(1)
    form = Int8Exporter().make(context(gatekeeper), "image")
    assert gatekeeper.asked == 2
    (tried,) = form.details["earlier_tries"]
    assert tried["wanted_cosine"] == 0.5
    assert tried["refused"] == ["Change in accuracy: too low."]
    lost = 1 - max(0.5, tried["cosine_mean"])
    assert form.details["wanted_cosine"] == pytest.approx(1 - lost / 2)
    assert form.details["cosine_mean"] >= tried["cosine_mean"]


def test_accepted_at_once(context: Callable[..., ExportContext]) -> None:
    gatekeeper = Gatekeeper(0)
    assert Int8Exporter().make(context(gatekeeper), "image").details["earlier_tries"] == []
    assert gatekeeper.asked == 1


@pytest.mark.parametrize("tries", [1, 2])
def test_tries_end(context: Callable[..., ExportContext], tries: int) -> None:
    """The last is left for the gate itself to judge."""
    gatekeeper = Gatekeeper(99)
    form = Int8Exporter().make(context(gatekeeper, int8_tries=tries), "image")
    assert gatekeeper.asked == len(form.details["earlier_tries"]) == tries - 1


def test_dynamic_scales_have_nothing_to_try(context: Callable[..., ExportContext]) -> None:
    gatekeeper = Gatekeeper(99)
    assert DynamicInt8Exporter().make(context(gatekeeper), "image").single_only
    assert gatekeeper.asked == 0


def test_the_report_names_earlier_tries(exported: Callable[[str], Exported]) -> None:
    report = exported("clip").report
    (row,) = [row for row in report.forms if row.form.file == "onnx/image-int8.onnx"]
    tried = {"wanted_cosine": 0.99, "cosine_mean": 0.9912, "refused": ["Change in accuracy: −1.00 points."]}
    form = row.form.model_copy(update={"details": row.form.details | {"earlier_tries": [tried]}})
    page = render_export_report(report.model_copy(update={"forms": (row.model_copy(update={"form": form}),)}))
    assert "with a mean cosine of 0.9912, change in accuracy: −1.00 points." in page
