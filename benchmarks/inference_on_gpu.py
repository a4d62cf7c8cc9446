"""The GPU's part of `inference.py`: torch eager and compiled, ONNX Runtime and TensorRT, from one picture to 256."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measuring import PROJECT, show

sys.path.insert(0, str(PROJECT))

_BATCHES = (1, 4, 16, 64, 256)
_ROUNDS = 9
_SIDE = 8192


def measure_on_gpu(model: str, bundle, files: list[Path]) -> dict[str, float]:
    """Print pictures a second by runtime and batch, the share of the chip's matrix rate, and what bounds the whole.

    Returns:
        For the last line: the best rate, its share, and how many times it is what this machine's cores can decode.
    """
    import numpy as np
    import torch

    from clip_har.models.preprocessing import PreprocessingConfig

    height, width = PreprocessingConfig.read(bundle.path).output_size
    encoder = bundle.load_encoder("cuda")
    work = _operations(encoder, (1, 3, height, width))
    peak = _matrix_rate(torch.float16)
    rates: dict[str, dict[int, float]] = {}
    for name, run in _ways(bundle, encoder).items():
        rates[name] = {}
        for batch in _BATCHES:
            host = np.random.default_rng(0).normal(size=(batch, 3, height, width)).astype(np.float32)
            pixels = torch.from_numpy(host).cuda()
            try:
                rates[name][batch] = batch / _seconds(lambda run=run, given=(pixels, host): run(*given))
            except (RuntimeError, ValueError) as error:
                print(f"{name}, batch {batch}: {str(error).splitlines()[0]}")
    decoded = _decoded_per_second(bundle, files)
    show(
        f"{model} on {torch.cuda.get_device_name()}: pictures a second "
        f"({peak / 1e12:.0f} TFLOP/s in float16 matrix products)",
        [
            (
                name,
                *(f"{found[batch]:,.0f}" if batch in found else "" for batch in _BATCHES),
                f"{100 * max(found.values()) * work / peak:.0f} %" if found else "",
            )
            for name, found in rates.items()
        ],
        ("batch", *map(str, _BATCHES), "of the matrix rate"),
    )
    best = max((rate for found in rates.values() for rate in found.values()), default=0.0)
    bound = "decoding" if decoded < best else "the encoder"
    print(f"This machine's cores decode {decoded:,.0f} pictures a second; the GPU encodes {best:,.0f}: {bound} bounds.")
    return {
        "gpu_pictures_per_second": best,
        "gpu_matrix_share": best * work / peak,
        "gpu_over_decoding": best / decoded,
    }


def _ways(bundle, encoder) -> dict[str, Callable[[Any, Any], Any]]:
    """Ways to encode a batch that is given twice: as a CUDA tensor and as a numpy array."""
    import torch

    from clip_har.errors import ClipHarError
    from clip_har.inference.runtimes import RUNTIMES

    features = encoder.image_features
    compiled = torch.compile(features)

    def eager(pixels: Any, host: Any) -> Any:
        with torch.inference_mode():
            return features(pixels)

    def half(pixels: Any, host: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            return features(pixels)

    def compiled_half(pixels: Any, host: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cuda", torch.float16):
            return compiled(pixels)

    found: dict[str, Callable[[Any, Any], Any]] = {
        "torch, float32": eager,
        "torch, float16": half,
        "torch.compile, float16": compiled_half,
    }
    for name in ("onnx", "tensorrt"):
        try:
            runtime = RUNTIMES.get(name).load(bundle, device="cuda:0")
        except ClipHarError as error:
            print(f"{name}: {str(error).splitlines()[0]}")
            continue
        on_device = getattr(runtime, "encode_tensor", None)
        if on_device is not None:
            found[name] = lambda pixels, host, run=on_device: run(pixels)
        else:
            found[f"{name} (from the host)"] = lambda pixels, host, run=runtime.encode: run(host)
    return found


def _seconds(run: Callable[[], Any]) -> float:
    import torch

    spent = []
    for _ in range(_ROUNDS + 3):
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        spent.append(time.perf_counter() - started)
    return statistics.median(spent[3:])


def _matrix_rate(dtype: Any) -> float:
    """Operations a second of a large matrix product."""
    import torch

    left, right = (torch.randn(_SIDE, _SIDE, device="cuda", dtype=dtype) for _ in range(2))
    return 2 * _SIDE**3 / _seconds(lambda: left @ right)


def _operations(encoder, shape: tuple[int, ...]) -> float:
    """Operations of encoding one picture, as torch counts them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        encoder.image_features(torch.zeros(shape, device="cuda"))
    return float(counter.get_total_flops())


def _decoded_per_second(bundle, files: list[Path]) -> float:
    """Pictures a second that all cores decode and preprocess."""
    from clip_har.inference.machine import available_cores
    from clip_har.models.preprocessing import PreprocessingConfig, Preprocessor

    preprocessor = Preprocessor(PreprocessingConfig.read(bundle.path))
    many = (files * (1 + 400 // len(files)))[:400]
    with ThreadPoolExecutor(available_cores()) as pool:
        list(pool.map(lambda path: preprocessor(preprocessor.decode(path)), many[:20]))
        started = time.perf_counter()
        list(pool.map(lambda path: preprocessor(preprocessor.decode(path)), many))
        return len(many) / (time.perf_counter() - started)
