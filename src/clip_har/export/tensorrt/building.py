"""ONNX → TensorRT engines, with either Python package, for this machine's GPU or for one that is not here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from clip_har.errors import ConfigError, ModelError
from clip_har.export.tensorrt.config import TensorRTConfig
from clip_har.export.tensorrt.mixed_precision import with_precision
from clip_har.hashing import sha256_bytes, sha256_file
from clip_har.inference.tensorrt_engine import (
    EngineMetadata,
    PackageName,
    ShapeRange,
    message_logger,
    tensorrt_package,
)
from clip_har.storage import write_atomic, write_json

if TYPE_CHECKING:
    import onnx

_MIB = 1 << 20


def build_engine(
    source: Path, target: Path, config: TensorRTConfig, *, timing_cache: Path | None = None
) -> EngineMetadata:
    """Build an engine from an encoder's fp32 ONNX file, and write it with its metadata beside it.

    Args:
        source: an image encoder (pixel_values [batch, 3, h, w]) or a text encoder (integers [batch, length]).
        target: where the engine is written; the metadata goes to `<target>.json`.
        timing_cache: measured kernel times, read if there and renewed after: later builds on the same GPU are faster.
            Engines for a GPU that is not here are not timed, and leave it alone.

    Returns:
        The metadata, which an `ExportedForm` keeps in its details too.

    Raises:
        ConfigError: if no package can build what is asked for here, with the reason.
        ModelError: if TensorRT does not take the graph, with its own words.
    """
    import onnx
    from google.protobuf.message import DecodeError

    name, capability = _package_and_capability(config)
    package = tensorrt_package(name)
    try:
        model = onnx.load(source)
    except (OSError, ValueError, DecodeError) as error:
        raise ModelError(f"{source} cannot be read as ONNX: {error}") from error
    ranges = _shape_ranges(model, config)
    output = model.graph.output[0].name
    if config.precision != "fp32":
        model = with_precision(model, config.precision, config.float32_operators)
    data = _Build(package, config, capability).run(model, ranges, timing_cache)
    write_atomic(target, data)
    metadata = EngineMetadata(
        package=name,
        version=package.__version__,
        compute_capabilities=(capability or _capability_here(),),
        precision=config.precision,
        float32_operators=config.float32_operators if config.precision != "fp32" else (),
        onnx_sha256=sha256_file(source),
        engine_sha256=sha256_bytes(data),
        inputs=ranges,
        output=output,
    )
    write_json(EngineMetadata.place(Path(target)), metadata.model_dump(mode="json"))
    return metadata


def file_name(encoder: str, precision: str, compute_capability: str) -> str:
    """What an engine's file is called: "image-fp16-sm86.engine"."""
    return f"{encoder}-{precision}-sm{compute_capability.replace('.', '')}.engine"


class _Build:
    """One build: the objects of the TensorRT API that it needs, which must outlive each other in this order."""

    def __init__(self, package: ModuleType, config: TensorRTConfig, capability: str | None) -> None:
        self._package = package
        self._wanted = config
        self._logger = message_logger(package)
        self._builder = package.Builder(self._logger)
        self._config = self._builder.create_builder_config()
        if capability is not None:
            self._aim_at(capability)
        if config.workspace_mib is not None:
            self._config.set_memory_pool_limit(package.MemoryPoolType.WORKSPACE, config.workspace_mib * _MIB)
        if config.optimisation_level is not None:
            self._config.builder_optimization_level = config.optimisation_level
        self._timed = capability is None

    def run(self, model: onnx.ModelProto, ranges: Mapping[str, ShapeRange], timing_cache: Path | None) -> bytes:
        # Needed by TensorRT 10, the only mode since 11 (which takes the flag and ignores it).
        flags = 1 << int(self._package.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        network = self._builder.create_network(flags)
        parser = self._package.OnnxParser(network, self._logger)
        if not parser.parse(model.SerializeToString()):
            errors = "; ".join(str(parser.get_error(index)) for index in range(parser.num_errors))
            raise ModelError(f"TensorRT cannot read the graph: {errors or self._said()}")
        self._add_profile(ranges)
        cache = self._open_timing_cache(timing_cache)
        data = self._builder.build_serialized_network(network, self._config)
        if data is None:
            raise ModelError(f"TensorRT could not build the engine: {self._said()}")
        if cache is not None and timing_cache is not None:
            write_atomic(timing_cache, bytes(cache.serialize()))
        return bytes(data)

    def _add_profile(self, ranges: Mapping[str, ShapeRange]) -> None:
        profile = self._builder.create_optimization_profile()
        for name, sizes in ranges.items():
            profile.set_shape(name, sizes.smallest, sizes.usual, sizes.largest)
        if self._config.add_optimization_profile(profile) < 0:
            raise ModelError(f"TensorRT refuses the shapes {dict(ranges)}: {self._said()}")

    def _open_timing_cache(self, place: Path | None) -> Any:
        if place is None or not self._timed:
            return None
        cache = self._config.create_timing_cache(place.read_bytes() if place.is_file() else b"")
        if cache is None or not self._config.set_timing_cache(cache, False):
            # Of another GPU, or of another version: begun anew.
            cache = self._config.create_timing_cache(b"")
            self._config.set_timing_cache(cache, False)
        return cache

    def _aim_at(self, capability: str) -> None:
        known = {
            member: value
            for member, value in self._package.ComputeCapability.__members__.items()
            if member.startswith("SM")
        }
        member = f"SM{capability.replace('.', '')}"
        if member not in known:
            names = ", ".join(f"{found[2:-1]}.{found[-1]}" for found in known)
            raise ConfigError(
                f"export.tensorrt.compute_capability: {self._package.__name__} {self._package.__version__} does not build "
                f"for {capability}; it knows {names}."
            )
        self._config.num_compute_capabilities = 1
        if not self._config.set_compute_capability(known[member], 0):
            raise ConfigError(f"TensorRT does not build for compute capability {capability}: {self._said()}")

    def _said(self) -> str:
        said, self._logger.messages[:] = " ".join(self._logger.messages), []
        return said or "it gives no reason."


def _package_and_capability(config: TensorRTConfig) -> tuple[PackageName, str | None]:
    """Which package builds, and for which GPU; None: the one in this machine."""
    here = _capability_here()
    named = config.compute_capability
    name: PackageName = config.package if config.package != "auto" else _chosen(named, here)
    if name == "tensorrt" and here is None:
        raise ConfigError(
            "TensorRT engines are built on their GPU, and torch sees none here. Ahead of time they are built by "
            "tensorrt_rtx: set export.tensorrt.package to it and name a compute_capability."
        )
    if name == "tensorrt" and named not in (None, here):
        raise ConfigError(
            f"export.tensorrt.compute_capability: tensorrt builds for the GPU in this machine ({here}) only, not for "
            f"{named}; tensorrt_rtx builds for others."
        )
    if name == "tensorrt":
        return name, None
    if named is None and here is None:
        raise ConfigError(
            'export.tensorrt.compute_capability: there is no GPU here, so name the one to build for, like "8.6".'
        )
    return name, named if named is not None else here


def _chosen(named: str | None, here: str | None) -> PackageName:
    if here is None or named not in (None, here):
        return "tensorrt_rtx"
    try:
        tensorrt_package("tensorrt")
    except ConfigError:
        return "tensorrt_rtx"
    return "tensorrt"


def _capability_here() -> str | None:
    import torch

    if not torch.cuda.is_available():
        return None
    major, minor = torch.cuda.get_device_capability()
    return f"{major}.{minor}"


def _shape_ranges(model: onnx.ModelProto, config: TensorRTConfig) -> dict[str, ShapeRange]:
    """Bounds for every input: its first dimension is the batch, any other free one the length of a text."""
    batches = (config.smallest_batch, config.usual_batch, config.largest_batch)
    lengths = (1, config.usual_length, config.largest_length)
    ranges = {}
    for value in model.graph.input:
        fixed = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        sizes = [batches, *((size, size, size) if size else lengths for size in fixed[1:])]
        smallest, usual, largest = (tuple(size[place] for size in sizes) for place in range(3))
        ranges[value.name] = ShapeRange(smallest=smallest, usual=usual, largest=largest)
    return ranges
