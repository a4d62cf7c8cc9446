"""ONNX Runtime: the exported image encoder, on the CPU or through a GPU provider."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from clip_har.errors import ConfigError
from clip_har.inference.exported import ExportedForm, Exports, PrecisionName
from clip_har.inference.machine import available_cores
from clip_har.inference.runtimes.cache import cache_folder
from clip_har.inference.runtimes.lanes import Lanes
from clip_har.inference.runtimes.sessions import CUDA, TENSORRT, cpu_session, cuda_wanted, gpu_session

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle

_INPUT, _OUTPUT = "pixel_values", "image_embeds"


class OnnxRuntime:
    """The ONNX image encoder in float32 (in float16 on CUDA, if that passed the gate).

    On a CPU pictures are encoded one by one, batches too: a batch is no faster there, and what a picture shares it with
    cannot matter. `encode` of one picture uses all cores; many pictures are best encoded side by side, one to a core.
    """

    name: ClassVar[str] = "onnx"
    _cpu: ClassVar[Sequence[PrecisionName]] = ("fp32",)
    _cuda: ClassVar[Sequence[PrecisionName]] = ("fp16", "fp32")

    def __init__(
        self, model: Path, *, cuda: str | None = None, threads: int | None = None, precision: PrecisionName = "fp32"
    ) -> None:
        """
        Args:
            model: an ONNX file with the input `pixel_values` and the output `image_embeds`.
            cuda: the device ("cuda:1"); the CPU if None.
            threads: CPU threads; as many as there are cores if not given.
            precision: what the file is computed in.
        """
        self._model = model
        self._threads = threads or available_cores()
        self.lanes = 1 if cuda else self._threads
        self._lanes = Lanes(self.lanes)
        self._lock = threading.Lock()
        self._one_by_one = cuda is None
        if cuda:
            self._session = gpu_session(model, cuda, self._providers(precision))
        else:
            self._session = cpu_session(model, self._threads)

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> OnnxRuntime:
        """As `EncoderRuntime.load`."""
        cuda = cls._on_cuda(device)
        form = cls._form(Exports.read(bundle), cuda)
        if form is None:
            kinds = " or ".join(cls._cuda if cuda else cls._cpu)
            raise ConfigError(
                f"The runtime {cls.name!r} wants the image encoder as ONNX in {kinds}, and {bundle.path} has no such form "
                "that passed the gate. The pipeline 'deploy' makes it; its export report says what failed."
            )
        where = ("cuda:0" if device == "auto" else device) if cuda else None
        return cls(Exports.path(bundle, form), cuda=where, threads=threads, precision=form.precision)

    @classmethod
    def _on_cuda(cls, device: str) -> bool:
        return cuda_wanted(device)

    @classmethod
    def _form(cls, exports: Exports, cuda: bool) -> ExportedForm | None:
        found = (exports.find("image", "onnx", precision) for precision in (cls._cuda if cuda else cls._cpu))
        return next((form for form in found if form is not None), None)

    def _providers(self, precision: PrecisionName) -> list[tuple[str, dict[str, Any]]]:
        return [(CUDA, {})]

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised."""
        if not self._one_by_one:
            return _run(self._session, pixel_values)
        if len(pixel_values) == 1:
            with self._lanes.all_or_one() as together:
                return _run(self._session if together else self._narrow, pixel_values)
        if self.lanes == 1 or not len(pixel_values):
            rows = [self.encode_in_lane(row[None]) for row in pixel_values]
        else:
            with ThreadPoolExecutor(self.lanes, thread_name_prefix="encode") as pool:
                rows = list(pool.map(lambda row: self.encode_in_lane(row[None]), pixel_values))
        return np.concatenate(rows) if rows else np.empty((0, self._session.get_outputs()[0].shape[1]), np.float32)

    def encode_in_lane(self, pixel_values: np.ndarray) -> np.ndarray:
        """`encode` of one picture on one core, for callers that encode many of them in `lanes` threads."""
        with self._lanes.one():
            return _run(self._narrow, pixel_values)

    @property
    def _narrow(self) -> Any:
        """The session of one thread to a run; made when first there is more than one picture at a time."""
        with self._lock:
            return self._single_thread_session

    @cached_property
    def _single_thread_session(self) -> Any:
        return self._session if self._threads == 1 else cpu_session(self._model, 1)


class Int8OnnxRuntime(OnnxRuntime):
    """The ONNX image encoder in int8: calibrated (static); a dynamically quantised one serves if there is no other.

    The scales of a dynamic one are taken over whatever is encoded together, so that it may only ever see one picture.
    """

    name = "onnx-int8"
    _cpu = ("int8",)
    _cuda = ("int8",)

    @classmethod
    def _on_cuda(cls, device: str) -> bool:
        if device.startswith("cuda"):
            raise ConfigError(f"The runtime {cls.name!r} is for CPUs; the device {device!r} was asked for.")
        return False

    @classmethod
    def _form(cls, exports: Exports, cuda: bool) -> ExportedForm | None:
        return super()._form(exports, cuda) or exports.find("image", "onnx", "int8", single_only=True)


class TensorRTProviderRuntime(OnnxRuntime):
    """The ONNX image encoder through ONNX Runtime's own TensorRT provider, which builds its engine when first loaded."""

    name = "onnx-tensorrt"

    @classmethod
    def _on_cuda(cls, device: str) -> bool:
        if device == "cpu":
            raise ConfigError(f"The runtime {cls.name!r} is for GPUs; the device 'cpu' was asked for.")
        return cuda_wanted("cuda:0" if device == "auto" else device, TENSORRT)

    def _providers(self, precision: PrecisionName) -> list[tuple[str, dict[str, Any]]]:
        engines: dict[str, Any] = {"trt_fp16_enable": precision == "fp16"}
        folder = cache_folder()
        if folder is not None:
            engines |= {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(folder / "tensorrt")}
            engines |= {"trt_timing_cache_enable": True, "trt_timing_cache_path": str(folder / "tensorrt")}
        return [(TENSORRT, engines), (CUDA, {})]


def _run(session: Any, pixel_values: np.ndarray) -> np.ndarray:
    return session.run([_OUTPUT], {_INPUT: np.ascontiguousarray(pixel_values, dtype=np.float32)})[0]
