"""int8 forms: calibrated (for any batch), and dynamic (for single samples only)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from clip_har.export.base import ExportContext
from clip_har.export.onnx import OnnxExporter
from clip_har.export.quantisation import (
    QuantisationConfig,
    QuantisationResult,
    quantise_dynamic,
    quantise_image_encoder,
    quantise_text_encoder,
)
from clip_har.inference.exported import EncoderName, ExportedForm

_PROBED_TOGETHER = 8


class Int8Exporter(OnnxExporter):
    """Static int8: fixed scales from training photographs, or from the classes' texts."""

    precision = "int8"

    def make(self, context: ExportContext, encoder: EncoderName) -> ExportedForm:
        path = self.place(context, encoder)
        config = context.config.quantisation
        earlier: list[dict[str, Any]] = []
        while True:
            result = self._quantise(context, encoder, path, config)
            details = context.traced(encoder).details | result.details() | {"earlier_tries": earlier}
            form = self.form(context, encoder, path, details)
            last = not result.reached or self.single_only or len(earlier) + 1 == context.config.int8_tries
            reasons = () if last else context.refusal(form, self.open(path, form, context.threads))
            if not reasons:
                return form
            tried = {"wanted_cosine": config.wanted_cosine, "cosine_mean": result.cosine_mean}
            earlier.append(tried | {"refused": list(reasons)})
            half = 1 - (1 - max(config.wanted_cosine, result.cosine_mean)) / 2
            config = config.model_copy(update={"wanted_cosine": half})

    def _quantise(
        self, context: ExportContext, encoder: EncoderName, path: Path, config: QuantisationConfig
    ) -> QuantisationResult:
        source = context.float_onnx(encoder)
        if encoder == "image":
            return quantise_image_encoder(source, path, context.calibration, context.probe, config, context.progress)
        calibration, probe = _halves(context.text_batches)
        return quantise_text_encoder(source, path, calibration, probe, config, context.progress)


class DynamicInt8Exporter(Int8Exporter):
    """Dynamic int8, whose scales are those of the batch: an image would be scored by its neighbours, so batch 1 only."""

    single_only = True

    def _quantise(
        self, context: ExportContext, encoder: EncoderName, path: Path, config: QuantisationConfig
    ) -> QuantisationResult:
        probe = _halves(context.text_batches)[1] if encoder == "text" else _in_batches(context.probe)
        return quantise_dynamic(context.float_onnx(encoder), path, probe, config)


def _in_batches(pixel_values: np.ndarray) -> list[dict[str, np.ndarray]]:
    starts = range(0, len(pixel_values), _PROBED_TOGETHER)
    return [{"pixel_values": pixel_values[start : start + _PROBED_TOGETHER]} for start in starts]


def _halves(batches: list[dict[str, np.ndarray]]) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Every other sample; with one only, it is in both."""
    first = [{name: values[0::2] for name, values in batch.items()} for batch in batches]
    second = [{name: values[1::2] for name, values in batch.items()} for batch in batches]
    second = [batch for batch in second if len(next(iter(batch.values())))]
    return first, second or first
