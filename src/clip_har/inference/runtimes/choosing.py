"""`auto`: the fastest form that passed the gate, as measured on this machine when a model is first used on it."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from clip_har.component import Registry
from clip_har.errors import BundleError, ConfigError
from clip_har.hashing import sha256_json
from clip_har.inference.exported import Exports
from clip_har.inference.machine import check_device, host_facts
from clip_har.inference.runtimes import AUTO, RUNTIMES, EncoderRuntime
from clip_har.inference.runtimes.cache import read_cached, write_cached
from clip_har.models.preprocessing import PreprocessingConfig

if TYPE_CHECKING:
    from clip_har.models.bundle import ModelBundle

_KIND = "runtimes"
_TOGETHER = 4
_ROUNDS = 7
_SECONDS = 3.0
_HOPELESS = 1.5  # times the fastest's, after which a runtime is measured no further
_NOT_TRIED = (
    AUTO,
    "onnx-tensorrt",
)  # the second builds an engine, which takes minutes, for what `tensorrt` does sooner


class FastestRuntime:
    """Loads another runtime: the fastest."""

    @classmethod
    def load(cls, bundle: ModelBundle, *, device: str = "auto", threads: int | None = None) -> EncoderRuntime:
        """As `EncoderRuntime.load`; what it gives bears the name of the runtime that was chosen."""
        return choose(bundle, RUNTIMES, device=device, threads=threads)


def choose(
    bundle: ModelBundle, runtimes: Registry[EncoderRuntime], *, device: str = "auto", threads: int | None = None
) -> EncoderRuntime:
    """The fastest of the runtimes that can run a bundle here.

    They are measured at first use, in turn, for a few seconds; the choice is kept in the user's cache folder, for this
    machine (processor, cores, GPUs, versions), model, exports, device and number of threads.

    Raises:
        ConfigError: if none can run it.
        BundleError: if the exports are damaged, or another model's.
    """
    check_device(device)
    exports = Exports.read(bundle)
    names = [name for name in runtimes if name not in _NOT_TRIED]
    if not exports.forms and "torch" in names:
        return runtimes.get("torch").load(bundle, device=device, threads=threads)
    facts = {"host": host_facts(), "model": bundle.model_id, "exports": exports.content_hash, "runtimes": names}
    key = sha256_json({**facts, "device": device, "threads": threads})
    known = read_cached(_KIND, key) or {}
    if known.get("fastest") in names and (found := _loaded(known["fastest"], runtimes, bundle, device, threads)):
        return found
    loaded = {name: made for name in names if (made := _loaded(name, runtimes, bundle, device, threads))}
    if not loaded:
        raise ConfigError(f"None of the runtimes ({', '.join(names)}) can run {bundle.path} on the device {device!r}.")
    height, width = PreprocessingConfig.read(bundle.path).output_size
    milliseconds = measure(loaded, (3, height, width))
    fastest = min(milliseconds, key=milliseconds.__getitem__)
    write_cached(_KIND, key, {**facts, "fastest": fastest, "milliseconds": milliseconds})
    return loaded[fastest]


def measure(runtimes: dict[str, EncoderRuntime], shape: Sequence[int]) -> dict[str, float]:
    """Median milliseconds of one picture alone and a few together, by runtime; measured in turn.

    A runtime that is far behind is dropped after the first rounds, with the figure that it has by then.

    Args:
        shape: (3, h, w) of a picture.
    """
    pictures = np.random.default_rng(0).normal(size=(_TOGETHER, *shape)).astype(np.float32)
    spent: dict[str, list[float]] = {name: [] for name in runtimes}
    for runtime in runtimes.values():  # a first run allocates, compiles and loads
        runtime.encode(pictures)
        runtime.encode(pictures[:1])
    racing, started = list(runtimes), time.perf_counter()
    for number in range(_ROUNDS):
        for name in racing if number % 2 == 0 else racing[::-1]:
            began = time.perf_counter()
            runtimes[name].encode(pictures[:1])
            runtimes[name].encode(pictures)
            spent[name].append(1000 * (time.perf_counter() - began))
        medians = {name: statistics.median(values) for name, values in spent.items()}
        if number:
            racing = [name for name in racing if medians[name] <= _HOPELESS * min(medians.values())]
        if len(racing) == 1 or (number >= 2 and time.perf_counter() - started > _SECONDS):
            break
    return medians


def _loaded(
    name: str, runtimes: Registry[EncoderRuntime], bundle: ModelBundle, device: str, threads: int | None
) -> EncoderRuntime | None:
    """A runtime, or None if it cannot run this bundle here; a form that is not what it was is also said."""
    try:
        return runtimes.get(name).load(bundle, device=device, threads=threads)
    except ConfigError:
        return None
    except BundleError as error:
        warnings.warn(f"The runtime {name!r} is left out: {error}", RuntimeWarning, stacklevel=4)
        return None
