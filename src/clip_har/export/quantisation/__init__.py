"""int8 forms of ONNX encoders: static scales, weights per channel, sensitive layers left in float."""

from clip_har.export.quantisation.config import QuantisationConfig, QuantisationResult, QuantisationTrial
from clip_har.export.quantisation.quantise import (
    quantise_dynamic,
    quantise_image_encoder,
    quantise_static,
    quantise_text_encoder,
)

__all__ = [
    "QuantisationConfig",
    "QuantisationResult",
    "QuantisationTrial",
    "quantise_dynamic",
    "quantise_image_encoder",
    "quantise_static",
    "quantise_text_encoder",
]
