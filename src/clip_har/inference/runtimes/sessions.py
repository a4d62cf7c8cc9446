"""ONNX Runtime sessions, their threads and options set for this machine."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.errors import BundleError, ConfigError
from clip_har.inference.machine import check_device, has_nvidia_gpu, multiplies_bytes_exactly

if TYPE_CHECKING:
    import onnxruntime

_logger = logging.getLogger(__name__)
CUDA, TENSORRT, CPU = "CUDAExecutionProvider", "TensorrtExecutionProvider", "CPUExecutionProvider"
_INSTALL = "onnxruntime-gpu has it (in place of onnxruntime: they own the same files)"
# Between two layers of one run a worker waits for a few microseconds: it spins for so long before it sleeps. Longer, and it
# takes a core from whoever decodes, or from other processes; not at all, and a picture takes a sixth longer.
_SPIN_MICROSECONDS = 50


def cuda_wanted(device: str, provider: str = CUDA) -> bool:
    """Whether a device's word means the GPU, for ONNX Runtime.

    `auto` on a machine with a GPU that this ONNX Runtime cannot use is said once, as a warning.

    Raises:
        ConfigError: if CUDA is asked for and this ONNX Runtime does not have the provider.
    """
    import onnxruntime

    check_device(device)
    if device == "cpu":
        return False
    there = provider in onnxruntime.get_available_providers()
    if device == "auto":
        if has_nvidia_gpu() and not there:
            _say_once(f"There is a GPU, but this ONNX Runtime has no {provider} and runs on the CPU: {_INSTALL}.")
        return there and has_nvidia_gpu()
    if not there:
        raise ConfigError(f"The device {device!r} was asked for, but this ONNX Runtime has no {provider}: {_INSTALL}.")
    return True


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


def cpu_session(model: Path, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU, with so many threads to a run.

    Raises:
        BundleError: if ONNX Runtime cannot load the file.
    """
    options = _options()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.spin_duration_us", str(_SPIN_MICROSECONDS))
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    if not multiplies_bytes_exactly():
        # Pairs of 8-bit products overflow 16 bits here. The exact way takes twice as long, and gives the numbers that passed
        # the gate.
        options.add_session_config_entry("session.x64quantprecision", "1")
    return _session(model, options, [CPU])


def gpu_session(model: Path, device: str, providers: list[tuple[str, dict[str, Any]]]) -> onnxruntime.InferenceSession:
    """A session whose first provider is the first of `providers`, or none.

    Raises:
        ConfigError: if that provider does not start here (a missing CUDA or cuDNN library, say).
        BundleError: if ONNX Runtime cannot load the file.
    """
    number = int(device.partition(":")[2] or 0)
    chosen = [(name, {"device_id": number, **settings}) for name, settings in providers]
    _load_cuda_libraries()
    session = _session(model, _options(), [*chosen, CPU])
    wanted = chosen[0][0]
    if wanted not in session.get_providers():  # ONNX Runtime itself only logs it, and goes on more slowly
        raise ConfigError(
            f"ONNX Runtime's {wanted} does not start on this machine (its log says why, a CUDA or cuDNN library as a rule)."
        )
    return session


@cache
def _load_cuda_libraries() -> None:
    """Load CUDA and cuDNN where pip's wheels (`onnxruntime-gpu[cuda,cudnn]`) have put them: nothing else looks for them there."""
    import onnxruntime

    preload = getattr(onnxruntime, "preload_dlls", None)  # from 1.21 on
    if preload is None:
        return
    said = io.StringIO()
    with redirect_stdout(said):  # it prints what it misses; whether that matters is told by the session
        preload()
    if said.getvalue():
        _logger.debug("onnxruntime.preload_dlls: %s", said.getvalue().strip())


def _options() -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    return options


def _session(model: Path, options: onnxruntime.SessionOptions, providers: list[Any]) -> onnxruntime.InferenceSession:
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # pybind11 classes (Fail, InvalidGraph, NotImplemented …) without a common base
        raise BundleError(f"ONNX Runtime cannot load {model}: {error}") from error
