"""What the encoder runner holds: the image encoders of the models that are served, by folder."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip_har.errors import ClipHarError
from clip_har.inference.runtimes import EncoderRuntime
from clip_har.models.bundle import ModelBundle
from clip_har.models.preprocessing import PreprocessingConfig
from clip_har.serving.config import ServingConfig
from clip_har.serving.served_model import runtime_for

logger = logging.getLogger("clip_har.serving")
_KEPT = 3  # champion, challenger, and the one that is being replaced

Item = tuple[str, np.ndarray]
"""A model's folder, and a picture for it: float32 [3, h, w]."""


class EncoderModels:
    """Loads encoders and runs batches, also batches of pictures for different models. Safe to call from several threads."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._runtimes: OrderedDict[str, EncoderRuntime] = OrderedDict()
        self._failures: dict[str, str] = {}
        self._loading: dict[str, threading.Thread] = {}
        self._lock = threading.Lock()

    def begin(self, path: str) -> tuple[str, str]:
        """Have a model loaded, if it is not, and say how far that is.

        Returns:
            ("ready", name of its runtime), ("loading", "") or ("failed", why). After a failure the next call tries again.
        """
        with self._lock:
            if path in self._runtimes:
                return "ready", self._runtimes[path].name
            if path in self._failures:
                return "failed", self._failures.pop(path)
            if path not in self._loading:
                thread = threading.Thread(target=self._load, args=(path,), name="load", daemon=True)
                self._loading[path] = thread
                thread.start()
            return "loading", ""

    def encode(self, items: Sequence[Item]) -> list[tuple[np.ndarray, int]]:
        """A batch → for each picture its embedding, float32 [d], and, with the first, the batch's size (0 with the others).

        Raises:
            ClipHarError: if a model cannot be loaded.
        """
        rows: list[np.ndarray | None] = [None] * len(items)
        for path in dict.fromkeys(path for path, _ in items):
            places = [place for place, (other, _) in enumerate(items) if other == path]
            embeddings = self._runtime(path).encode(np.stack([items[place][1] for place in places]))
            for place, embedding in zip(places, embeddings, strict=True):
                rows[place] = embedding
        return [(row, len(items) if place == 0 else 0) for place, row in enumerate(rows) if row is not None]

    @property
    def any_ready(self) -> bool:
        """Whether a model is loaded."""
        return bool(self._runtimes)

    def _runtime(self, path: str) -> EncoderRuntime:
        with self._lock:
            if path in self._runtimes:
                self._runtimes.move_to_end(path)
                return self._runtimes[path]
            thread = self._loading.get(path)
        if thread is None:  # another worker of the runner has been asked to load it
            self.begin(path)
            with self._lock:
                thread = self._loading.get(path)
        if thread is not None:
            thread.join()
        with self._lock:
            if path not in self._runtimes:
                raise ClipHarError(self._failures.pop(path, "The model was not loaded."))
            return self._runtimes[path]

    def _load(self, path: str) -> None:
        try:
            bundle = ModelBundle.load(Path(path))
            runtime = runtime_for(bundle, self._config)
            shape = (3, *PreprocessingConfig.read(bundle.path).output_size)
            # Engines are built for the sizes that they have seen: the smallest and the largest batch, before anyone waits.
            sizes = {1, self._config.max_batch_size} if runtime.lanes == 1 else {1}
            for size in sorted(sizes):
                runtime.encode(np.zeros((size, *shape), dtype=np.float32))
        except Exception as error:  # told to whoever asked for it
            if not isinstance(error, ClipHarError):
                logger.exception("An encoder could not be loaded.")
            with self._lock:
                self._failures[path] = str(error)
                self._loading.pop(path, None)
            return
        with self._lock:
            self._runtimes[path] = runtime
            self._loading.pop(path, None)
            while len(self._runtimes) > _KEPT:
                self._runtimes.popitem(last=False)
