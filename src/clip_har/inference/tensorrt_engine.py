"""TensorRT engines: what is known of each, whether it fits a device, and running it on torch's CUDA tensors.

Two Python packages speak nearly the same API from TensorRT 10 on: `tensorrt` (data-centre and all other GPUs, engines
built on the device) and `tensorrt_rtx` (RTX GPUs, engines built anywhere). An engine runs only with the package, and the
version of it, that built it.
"""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from clip_har.component import ComponentConfig
from clip_har.errors import BundleError, ConfigError, ModelError
from clip_har.hashing import sha256_bytes

if TYPE_CHECKING:
    import torch

PackageName = Literal["tensorrt", "tensorrt_rtx"]
PACKAGES: tuple[PackageName, ...] = ("tensorrt", "tensorrt_rtx")

Shape = tuple[int, ...]


class ShapeRange(ComponentConfig):
    """The shapes of one input that an engine was built for."""

    smallest: Shape = Field(description="Least size of every dimension.")
    usual: Shape = Field(description="The sizes that it is fastest for.")
    largest: Shape = Field(description="Greatest size of every dimension.")

    @model_validator(mode="after")
    def _in_order(self) -> ShapeRange:
        sizes = zip(self.smallest, self.usual, self.largest, strict=True)
        if not all(1 <= least <= usual <= most for least, usual, most in sizes):
            raise ValueError(f"sizes must grow from {self.smallest} over {self.usual} to {self.largest}")
        return self


class EngineMetadata(ComponentConfig):
    """What an engine was built from, with and for; kept as JSON beside it, as `<engine>.json`."""

    package: PackageName = Field(description="Python package that built it, and alone can run it.")
    version: str = Field(description="Version of that package; another version cannot run it.")
    compute_capabilities: tuple[str, ...] = Field(
        min_length=1, description='GPUs that it runs on, by compute capability ("8.6").'
    )
    precision: Literal["fp32", "fp16", "bf16"] = Field(description="What most of it computes in.")
    float32_operators: tuple[str, ...] = Field((), description="Kinds of layers that compute in float32 all the same.")
    strongly_typed: bool = Field(True, description="Whether types are those of the graph, none chosen by TensorRT.")
    onnx_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the fp32 ONNX file that it was built from.")
    engine_sha256: str = Field(pattern="^[0-9a-f]{64}$", description="Of the engine's bytes.")
    inputs: dict[str, ShapeRange] = Field(min_length=1, description="Shapes of every input.")
    output: str = Field(description="Name of the output.")

    @staticmethod
    def place(engine: Path) -> Path:
        """Where the metadata of an engine is kept."""
        return engine.with_name(f"{engine.name}.json")

    @classmethod
    def read(cls, engine: Path) -> EngineMetadata:
        """Of an engine's file.

        Raises:
            BundleError: if it is missing or damaged.
        """
        place = cls.place(engine)
        try:
            return cls.model_validate(json.loads(place.read_text(encoding="utf-8")))
        except (OSError, ValueError, ValidationError) as error:
            raise BundleError(f"{place}, which says what the engine is for, cannot be read: {error}") from error

    def misfit(self, device: torch.device) -> str | None:
        """Why the engine cannot run on this device with what is installed, in words; None if nothing speaks against it."""
        import torch

        built_with = f"It was built with {self.package} {self.version}"
        try:
            found = tensorrt_package(self.package).__version__
        except ConfigError as error:
            return f"{built_with}: {error}"
        if found != self.version:
            return (
                f"{built_with}; here is version {found}, which cannot run it. Build it again, or install that version."
            )
        if device.type != "cuda":
            return f"It needs an NVIDIA GPU, not {device.type}."
        if not torch.cuda.is_available():
            return "It needs an NVIDIA GPU, and torch sees none here."
        major, minor = torch.cuda.get_device_capability(device)
        if f"{major}.{minor}" not in self.compute_capabilities:
            return (
                f"It was built for compute capability {', '.join(self.compute_capabilities)}; "
                f"{torch.cuda.get_device_name(device)} has {major}.{minor}. Build one for {major}.{minor}."
            )
        return None


def tensorrt_package(name: str) -> ModuleType:
    """`tensorrt` or `tensorrt_rtx`, imported.

    Raises:
        ConfigError: if it is not installed, or older than TensorRT 10.
    """
    try:
        package = importlib.import_module(name)
    except ImportError as error:
        extra = name.replace("_", "-")
        raise ConfigError(
            f"{name} cannot be imported ({error}). Install it: pip install 'clip-har[{extra}]'."
        ) from error
    # The RTX package counts its versions from 1; its API is that of TensorRT 10 and later from the start.
    if name == "tensorrt" and int(package.__version__.split(".")[0]) < 10:
        raise ConfigError(f"tensorrt {package.__version__} is installed; version 10 or later is wanted.")
    return package


def message_logger(package: ModuleType) -> Any:
    """A TensorRT logger that keeps warnings and errors in its list `messages` instead of printing them."""

    class Messages(package.ILogger):
        def __init__(self) -> None:
            package.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (package.ILogger.INTERNAL_ERROR, package.ILogger.ERROR, package.ILogger.WARNING):
                self.messages.append(message)

    return Messages()


class TensorRTEngine:
    """An engine on a GPU; inputs and output are torch tensors there, and nothing goes through the host.

    Safe to call from several threads, which take turns.

    Attributes:
        metadata: what it is.
        device: where it runs.
    """

    def __init__(self, data: bytes, metadata: EngineMetadata, device: torch.device) -> None:
        """Make an engine ready.

        Raises:
            ConfigError: if it does not fit the device or what is installed.
        """
        import torch

        reason = metadata.misfit(device)
        if reason is not None:
            raise ConfigError(f"The TensorRT engine cannot be used. {reason}")
        package = tensorrt_package(metadata.package)
        self.metadata = metadata
        self.device = device
        self._lock = threading.Lock()
        self._logger = message_logger(package)  # must live as long as what was made with it
        self._runtime = package.Runtime(self._logger)
        with torch.cuda.device(device):
            self._require_valid(package, data)
            engine = self._runtime.deserialize_cuda_engine(data)
            context = engine.create_execution_context() if engine is not None else None
            if context is None:
                raise ConfigError(f"TensorRT refuses the engine: {self._said()}")
            self._stream = torch.cuda.Stream(device)
        self._engine = engine
        self._context = context
        self._dtypes = {
            name: _torch_dtype(package, engine.get_tensor_dtype(name)) for name in (*metadata.inputs, metadata.output)
        }

    @classmethod
    def load(cls, path: Path, device: torch.device) -> TensorRTEngine:
        """An engine's file, with the metadata beside it.

        Raises:
            BundleError: if the file is not the one that its metadata speaks of.
            ConfigError: as the constructor.
        """
        metadata = EngineMetadata.read(path)
        data = path.read_bytes()
        if sha256_bytes(data) != metadata.engine_sha256:
            raise BundleError(f"{path} is damaged, or not the engine that {EngineMetadata.place(path).name} speaks of.")
        return cls(data, metadata, device)

    def run(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Embed a batch of any size: one beyond what the engine was built for is done in parts.

        Args:
            inputs: by name, [n, …], on the engine's device.

        Returns:
            The output, [n, d], on the same device, ready on the current stream.

        Raises:
            ModelError: if an input is missing, elsewhere, or of a size that the engine was not built for.
        """
        import torch

        if set(inputs) != set(self.metadata.inputs):
            wanted, given = ", ".join(self.metadata.inputs), ", ".join(inputs)
            raise ModelError(f"The engine takes {wanted}; it was given {given or 'nothing'}.")
        ready = {name: self._ready(name, tensor) for name, tensor in inputs.items()}
        ranges = self.metadata.inputs
        count = len(next(iter(ready.values())))
        least = max(ranges[name].smallest[0] for name in ready)
        most = min(ranges[name].largest[0] for name in ready)
        with self._lock, torch.cuda.device(self.device):
            parts = []
            for start in range(0, max(count, 1), most):
                part = {name: tensor[start : start + most] for name, tensor in ready.items()}
                parts.append(self._run_part(part, least))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _run_part(self, part: dict[str, torch.Tensor], least: int) -> torch.Tensor:
        """A batch no larger than the engine takes; a smaller one than it takes is filled with zeros."""
        import torch

        count = len(next(iter(part.values())))
        rows = max(count, least)
        if rows > count:
            part = {
                name: torch.cat([tensor, tensor.new_zeros((rows - count, *tensor.shape[1:]))])
                for name, tensor in part.items()
            }
        for name, tensor in part.items():
            if not self._context.set_input_shape(name, tuple(tensor.shape)):
                raise ModelError(f"TensorRT refuses {name} of shape {list(tensor.shape)}: {self._said()}")
            self._context.set_tensor_address(name, tensor.data_ptr())
        output = self.metadata.output
        shape = tuple(self._context.get_tensor_shape(output))
        result = torch.empty(shape, dtype=self._dtypes[output], device=self.device)
        self._context.set_tensor_address(output, result.data_ptr())
        current = torch.cuda.current_stream(self.device)
        # TensorRT synchronises the whole device when it is given the default stream. Both waits are the GPU's, and since
        # the current stream waits too, memory that is freed on it is not used again before the engine is done.
        self._stream.wait_stream(current)
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise ModelError(f"TensorRT could not run the engine: {self._said()}")
        current.wait_stream(self._stream)
        return result[:count].float()

    def _ready(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        shapes = self.metadata.inputs[name]
        if tensor.device != self.device:
            raise ModelError(f"{name} is on {tensor.device}; the engine runs on {self.device}.")
        sizes = zip(shapes.smallest[1:], tensor.shape[1:], shapes.largest[1:], strict=False)
        if tensor.ndim != len(shapes.largest) or not all(least <= size <= most for least, size, most in sizes):
            raise ModelError(
                f"{name} has shape {list(tensor.shape)}; the engine was built for {list(shapes.smallest)} to "
                f"{list(shapes.largest)} (any number of rows)."
            )
        return tensor.to(self._dtypes[name]).contiguous()

    def _require_valid(self, package: ModuleType, data: bytes) -> None:
        """Ask TensorRT whether the engine runs here, where it can say so."""
        if not hasattr(self._runtime, "get_engine_validity"):
            return
        validity, diagnostics = self._runtime.get_engine_validity(data)
        if validity == package.EngineValidity.INVALID:
            raise ConfigError(
                f"TensorRT finds the engine unfit for this device (diagnostics {diagnostics}). {self._said()}"
            )

    def _said(self) -> str:
        said, self._logger.messages[:] = " ".join(self._logger.messages), []
        return said or "it gives no reason."


def _torch_dtype(package: ModuleType, dtype: Any) -> torch.dtype:
    import torch

    types = package.DataType
    known = {
        types.FLOAT: torch.float32,
        types.HALF: torch.float16,
        types.BF16: torch.bfloat16,
        types.INT32: torch.int32,
        types.INT64: torch.int64,
        types.BOOL: torch.bool,
    }
    if dtype not in known:
        raise ConfigError(f"The TensorRT engine has a tensor of type {dtype}, which is not supported.")
    return known[dtype]
