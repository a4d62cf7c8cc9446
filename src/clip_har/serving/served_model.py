"""A model as it is served: loaded, warmed up, found to answer rightly; what one picture goes through."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from clip_har.component import Registry
from clip_har.data.image import DecodedImage, ImageLimits, PixelBudget
from clip_har.errors import BundleError, ClipHarError, ConfigError, ImageError
from clip_har.inference.answers import Scorer
from clip_har.inference.exported import Exports
from clip_har.inference.machine import check_device, has_nvidia_gpu
from clip_har.inference.predictor import Predictor
from clip_har.inference.runtimes import AUTO, RUNTIMES, EncoderRuntime
from clip_har.inference.self_test import run_self_test
from clip_har.models.bundle import ModelBundle
from clip_har.models.preprocessing import Preprocessor
from clip_har.serving.asking import Asked
from clip_har.serving.config import ServingConfig
from clip_har.serving.encoding import Encoding, encoding_of
from clip_har.serving.errors import Unprocessable

logger = logging.getLogger("clip_har.serving")
Role = Literal["champion", "challenger", "newest", "packaged"]
LoadRuntime = Callable[[ModelBundle, Callable[[int], None]], EncoderRuntime]
"""Loads what runs a bundle's image encoder; the second argument is told the size of every batch."""
_SCORERS_KEPT = 128
_FIELDS = ("labels", "templates", "top_k", "threshold", "coverage")


class ServedModel:
    """A bundle that answers requests. Safe to use from several threads.

    Args:
        predictor: the bundle, with what runs its image encoder.
        role: why it is served.
        encoding: how its image encoder is reached.
        limits: what is accepted as an image.
        budget: bound on pixels in flight, shared by all models of the process.
        self_test: what its self-test found, as a sentence.

    Attributes:
        encode_seconds: of one picture alone, as found by `warm_up`; 0 before.
    """

    def __init__(
        self,
        predictor: Predictor,
        role: Role,
        encoding: Encoding,
        limits: ImageLimits,
        budget: PixelBudget,
        self_test: str = "",
    ) -> None:
        self.predictor, self.role, self.encoding, self.self_test = predictor, role, encoding, self_test
        self.model_id = predictor.bundle.model_id
        self.encode_seconds = 0.0
        self._preprocessor = Preprocessor(predictor.preprocessing)
        self._limits, self._budget = limits, budget
        self._scorers: OrderedDict[tuple, Scorer] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: Path,
        role: Role,
        config: ServingConfig,
        budget: PixelBudget,
        *,
        load_runtime: LoadRuntime | None = None,
        sized: Callable[[int], None] = lambda size: None,
    ) -> ServedModel:
        """Open a bundle (checksums are verified), load its encoder, run it in, and hold it against its self-test.

        Args:
            load_runtime: what else runs its image encoder (a runner); the config's runtime in this process if not given.
            sized: told the size of every batch.

        Raises:
            ClipHarError: if it cannot be served; the message says why.
        """
        bundle = ModelBundle.load(path)
        runtime = load_runtime(bundle, sized) if load_runtime is not None else runtime_for(bundle, config)
        limits = config.limits.images
        predictor = Predictor(bundle, runtime, device=config.device, limits=limits, threads=config.threads)
        self_test = run_self_test(predictor)
        encoding = encoding_of(runtime, config.max_batch_size, sized)
        made = cls(predictor, role, encoding, limits, budget, self_test)
        made.warm_up()
        return made

    @property
    def bundle(self) -> ModelBundle:
        """The model's bundle."""
        return self.predictor.bundle

    @property
    def labels(self) -> tuple[str, ...]:
        """The model's classes."""
        return self.predictor.bundle.labels

    @property
    def runtime_name(self) -> str:
        """What runs its image encoder: onnx-int8, say."""
        return self.predictor.runtime.name

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(3, h, w) of the encoder's input."""
        return (3, *self.predictor.preprocessing.output_size)

    def warm_up(self) -> None:
        """Go once every way that a picture can go: first runs allocate, and load what is only then needed."""
        height, width = self.predictor.preprocessing.output_size
        pixels = self._preprocessor.normalise(np.zeros((height, width, 3), dtype=np.uint8))
        seconds = []
        for alone in (True, False, True):
            began = time.monotonic()
            embedding = self.encoding.encode(pixels, alone=alone)
            seconds.append(time.monotonic() - began)
        self.encode_seconds = min(seconds)
        self.scorer(Asked())(embedding[None])

    def decode(self, data: bytes) -> DecodedImage:
        """A picture's bytes → RGB.

        Raises:
            ImageError: if they are not accepted.
        """
        try:
            return self._preprocessor.decode_file(data, self._limits, self._budget)
        except ImageError:
            raise
        except ClipHarError as error:
            raise ImageError("not_an_image", str(error)) from error

    def pixels(self, decoded: DecodedImage) -> np.ndarray:
        """A decoded picture → float32 [3, h, w].

        Raises:
            ImageError: if nothing sensible can be made of it.
        """
        try:
            return self._preprocessor(decoded.image)
        except ClipHarError as error:
            raise ImageError("not_an_image", str(error)) from error

    def check_pixels(self, pixel_values: np.ndarray) -> None:
        """Hold ready tensors against what the encoder takes.

        Raises:
            Unprocessable: if they are not float [n, 3, h, w] of its size, or not finite.
        """
        wanted = self.input_shape
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != wanted:
            found, wanted_sizes = list(pixel_values.shape), ", ".join(map(str, wanted))
            raise Unprocessable(f"pixel_values has shape {found}; wanted: [n, {wanted_sizes}].", field="pixel_values")
        if pixel_values.dtype.kind != "f":
            raise Unprocessable(f"pixel_values is {pixel_values.dtype}; wanted: float32.", field="pixel_values")
        if not np.isfinite(pixel_values).all():
            raise Unprocessable("pixel_values has numbers that are not finite.", field="pixel_values")

    def scorer(self, asked: Asked) -> Scorer:
        """What makes answers of embeddings for a request; texts of the caller's own are embedded here.

        Raises:
            Unprocessable: if the model cannot answer what is asked.
        """
        key = (asked.labels, asked.templates, asked.top_k, asked.threshold, asked.coverage)
        with self._lock:
            if key in self._scorers:
                self._scorers.move_to_end(key)
                return self._scorers[key]
        labels, templates, *_numbers = key
        try:
            made = self.predictor.scorer(
                labels, templates, asked.top_k, threshold=asked.threshold, coverage=asked.coverage
            )
        except ConfigError as error:
            raise Unprocessable(str(error), field=_field_of(error)) from error
        except BundleError as error:
            raise Unprocessable(str(error), field="labels" if labels is not None else "templates") from error
        with self._lock:
            self._scorers[key] = made
            while len(self._scorers) > _SCORERS_KEPT:
                self._scorers.popitem(last=False)
        return made

    def known(self, asked: Asked) -> bool:
        """Whether `scorer` answers at once: nothing has to be embedded first."""
        if asked.labels is None and asked.templates is None:
            return True
        with self._lock:
            return (asked.labels, asked.templates, asked.top_k, asked.threshold, asked.coverage) in self._scorers


def runtime_for(bundle: ModelBundle, config: ServingConfig) -> EncoderRuntime:
    """What runs a bundle's image encoder in this process.

    `auto` is the fastest here, as everywhere; but torch, whose import alone takes seconds, is not tried where the bundle has
    an accepted ONNX form and there is no GPU. Where there is one and no engine of the bundle fits it, ONNX Runtime's TensorRT
    provider builds one and keeps it in the cache folder, if that provider is installed.

    Raises:
        ConfigError, BundleError: as `EncoderRuntime.load`.
    """
    device = check_device(config.device)
    if config.runtime != AUTO:
        return RUNTIMES.get(config.runtime).load(bundle, device=device, threads=config.threads)
    from clip_har.inference.runtimes.choosing import choose

    has_onnx = any((form.encoder, form.format) == ("image", "onnx") for form in Exports.read(bundle).forms)
    on_cpu = device == "cpu" or not has_nvidia_gpu()
    if has_onnx and not on_cpu:
        for name in ("tensorrt", "onnx-tensorrt"):
            try:
                return RUNTIMES.get(name).load(bundle, device=device, threads=config.threads)
            except (ConfigError, BundleError) as error:
                logger.info("%s does not run %s here: %s", name, bundle.model_id[:12], error)
    names = [name for name in RUNTIMES if not (has_onnx and on_cpu and name in ("torch", "tensorrt"))]
    tried: Registry[EncoderRuntime] = Registry("runtime", {name: RUNTIMES.get(name) for name in names if name != AUTO})
    return choose(bundle, tried, device=device, threads=config.threads)


def _field_of(error: ConfigError) -> str | None:
    """The field that a message begins with."""
    said = str(error)
    return next((name for name in _FIELDS if said.startswith(name)), None)
