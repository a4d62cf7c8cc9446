"""A stand-in for the `tensorrt` package: as much of its API as is used, on the CPU, for machines without a GPU.

An engine is JSON that says what it computes; running one reads and writes the memory at the addresses that it is given.
"""

from __future__ import annotations

import ctypes
import json
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx

NUMBERS = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "BF16": None,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


class _Logger:
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class TensorRTStandIn(ModuleType):
    """The module; tests set how it behaves.

    Attributes:
        builds: everything that was built, in order.
        failure: what the logger is told when building or running, which then fails.
        invalid: whether engines are found unfit.
        runs: shapes of every execution's inputs, in order.
        streams: the stream of every execution.
    """

    def __init__(self, name: str, version: str) -> None:
        super().__init__(name)
        self.__version__ = version
        self.builds: list[Any] = []
        self.runs: list[dict[str, tuple[int, ...]]] = []
        self.streams: list[int] = []
        self.failure = ""
        self.invalid = False
        self.ILogger = _Logger
        self.DataType = SimpleNamespace(**{kind: kind for kind in NUMBERS})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.EngineValidity = SimpleNamespace(VALID=0, SUBOPTIMAL=1, INVALID=2)
        self.Builder = lambda logger: _Builder(self, logger)
        self.OnnxParser = _Parser
        self.Runtime = lambda logger: _Runtime(self, logger)

    def engine(self, inputs: dict[str, tuple], output: str = "embeds", width: int = 4) -> bytes:
        """An engine that gives `weighted_sum` of every row `width` times, times 1 … width; several inputs' add up.

        Args:
            inputs: name → (type, smallest shape, largest shape).
        """
        return json.dumps({"inputs": inputs, "output": output, "width": width}).encode()


def weighted_sum(values: np.ndarray) -> np.ndarray:
    """[n, …] → float32 [n]: a sum that depends on the order of a row's values."""
    flat = values.reshape(len(values), -1).astype(np.float32)
    return flat @ np.linspace(1, 2, flat.shape[1], dtype=np.float32)


class _Cache:
    def __init__(self, data: bytes) -> None:
        self.began_with = data
        self.builds = 0

    def serialize(self) -> bytes:
        return b"timed twice" if self.began_with else b"timed once"


class _Config:
    def __init__(self) -> None:
        self.memory: dict[str, int] = {}
        self.profiles: list[dict] = []
        self.cache: _Cache | None = None
        self.builder_optimization_level = 3

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.memory[pool] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, data: bytes) -> _Cache:
        return _Cache(data)

    def set_timing_cache(self, cache: _Cache, ignore_mismatch: bool) -> bool:
        if b"another GPU" in cache.began_with and not ignore_mismatch:
            return False
        self.cache = cache
        return True


class _Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, tuple] = {}

    def set_shape(self, name: str, smallest: tuple, usual: tuple, largest: tuple) -> None:
        self.shapes[name] = (smallest, usual, largest)


class _Parser:
    num_errors = 0

    def __init__(self, network: SimpleNamespace, logger: _Logger) -> None:
        self._network = network

    def parse(self, data: bytes) -> bool:
        onnx.checker.check_model(data)
        self._network.onnx = data
        return True


class _Builder:
    def __init__(self, package: TensorRTStandIn, logger: _Logger) -> None:
        self._package = package
        self._logger = logger

    def create_builder_config(self) -> _Config:
        return _Config()

    def create_network(self, flags: int = 0) -> SimpleNamespace:
        return SimpleNamespace(flags=flags, onnx=b"")

    def create_optimization_profile(self) -> _Profile:
        return _Profile()

    def build_serialized_network(self, network: SimpleNamespace, config: _Config) -> bytes | None:
        if self._package.failure:
            self._logger.log(_Logger.ERROR, self._package.failure)
            return None
        build = SimpleNamespace(flags=network.flags, onnx=network.onnx, config=config, profiles=config.profiles)
        self._package.builds.append(build)
        return b"an engine"


class _Runtime:
    def __init__(self, package: TensorRTStandIn, logger: _Logger) -> None:
        self._package = package
        self._logger = logger

    def get_engine_validity(self, data: bytes) -> tuple[int, int]:
        return (2, 64) if self._package.invalid else (0, 0)

    def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
        try:
            return _Engine(self._package, self._logger, json.loads(data))
        except ValueError:
            self._logger.log(_Logger.ERROR, "the plan's magic tag does not match")
            return None


class _Engine:
    def __init__(self, package: TensorRTStandIn, logger: _Logger, plan: dict) -> None:
        self.package, self.logger, self.plan = package, logger, plan

    def get_tensor_dtype(self, name: str) -> str:
        return self.plan["inputs"][name][0] if name in self.plan["inputs"] else "FLOAT"

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        _, smallest, largest = self._engine.plan["inputs"][name]
        if not all(least <= size <= most for least, size, most in zip(smallest, shape, largest, strict=True)):
            self._engine.logger.log(_Logger.ERROR, f"{shape} is outside the profile")
            return False
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        time.sleep(1e-4)  # lets other threads in, where they are not kept out
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (next(iter(self._shapes.values()))[0], self._engine.plan["width"])

    def execute_async_v3(self, stream: int) -> bool:
        engine = self._engine
        if engine.package.failure:
            engine.logger.log(_Logger.ERROR, engine.package.failure)
            return False
        total = 0.0
        for name, shape in self._shapes.items():
            values = _memory(self._addresses[name], shape, NUMBERS[engine.get_tensor_dtype(name)])
            total = total + weighted_sum(values)
        output = engine.plan["output"]
        result = _memory(self._addresses[output], self.get_tensor_shape(output), np.float32)
        result[:] = total[:, None] * np.arange(1, result.shape[1] + 1, dtype=np.float32)
        engine.package.runs.append(dict(self._shapes))
        engine.package.streams.append(stream)
        return True


def _memory(address: int, shape: tuple[int, ...], kind: Any) -> np.ndarray:
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=kind).reshape(shape)
