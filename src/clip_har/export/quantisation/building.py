"""int8 graphs: quantise and dequantise nodes around chosen layers (QDQ), weights per channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from clip_har.export.quantisation.graph import QuantisableGraph

if TYPE_CHECKING:
    import onnx


def build_int8(
    graph: QuantisableGraph,
    ranges: Mapping[str, tuple[float, float]],
    nodes: Sequence[str],
    *,
    reduced_weight_range: bool = False,
) -> onnx.ModelProto:
    """A copy of the graph in which these nodes compute in int8.

    Activations are asymmetric uint8 with one fixed scale a tensor, so that a sample's embedding does not depend on what
    shares its batch; weights are symmetric int8 with a scale a channel, biases int32.

    Args:
        ranges: (lowest, highest) of each activation.
        nodes: names; at least one.
        reduced_weight_range: weights in 7 bits.
    """
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.calibrate import TensorData

    copy = onnx.ModelProto()
    copy.CopyFrom(graph.model)
    quantizer = QDQQuantizer(
        copy,
        True,  # per channel
        reduced_weight_range,
        QuantType.QInt8,  # of weights
        QuantType.QUInt8,  # of activations
        {
            name: TensorData(lowest=np.float32(lowest), highest=np.float32(highest))
            for name, (lowest, highest) in ranges.items()
        },
        list(nodes),
        [],
        graph.operators,
        {"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()  # new nodes were put at the end
    return quantizer.model.model
