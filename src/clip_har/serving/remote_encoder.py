"""The runner's image encoder, as a runtime of the API process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import numpy as np

from clip_har.errors import BundleError
from clip_har.models.bundle import ModelBundle
from clip_har.models.preprocessing import PreprocessingConfig
from clip_har.serving.encoder_models import Item
from clip_har.serving.errors import TooManyRequests

_Result = TypeVar("_Result")
_ASK_AGAIN = 0.1
_LOADING_SECONDS = 1800.0  # engines are built meanwhile
_PATIENCE = 120.0
_TRAINING = 20  # pictures


class Runner(Protocol):
    """The runner's methods, as BentoML's client offers them."""

    async def load(self, path: str) -> tuple[str, str]:
        """As `EncoderModels.begin`."""

    async def encode(self, items: list[Item]) -> list[tuple[np.ndarray, int]]:
        """As `EncoderModels.encode`."""


class RemoteEncoder:
    """An encoder in the runner. For threads other than the loop's.

    Args:
        runner: the client.
        loop: where it lives.
        name: of the runtime that the runner has loaded.
        path: the model's folder.
        sized: told the size of every batch that the runner made.
    """

    lanes = 1
    batches_elsewhere = True

    def __init__(
        self,
        runner: Runner,
        loop: asyncio.AbstractEventLoop,
        name: str,
        path: str,
        sized: Callable[[int], None] = lambda size: None,
    ) -> None:
        self._runner, self._loop, self.name, self._path, self._sized = runner, loop, name, path, sized

    @classmethod
    def load(
        cls,
        bundle: ModelBundle,
        runner: Runner,
        loop: asyncio.AbstractEventLoop,
        sized: Callable[[int], None] = lambda size: None,
    ) -> RemoteEncoder:
        """Have the runner load a model, and wait for it.

        Raises:
            BundleError: if it cannot.
        """
        path = str(bundle.path.absolute())
        until = time.monotonic() + _LOADING_SECONDS
        while time.monotonic() < until:
            try:
                state, said = _await(runner.load(path), loop)
            except Exception as error:  # the runner is not up yet, or is being started again: BentoML's and httpx's own
                state, said = "loading", str(error)
            if state == "ready":
                return cls(runner, loop, said, path, sized)._trained(bundle)
            if state == "failed":
                raise BundleError(said)
            time.sleep(_ASK_AGAIN)
        raise BundleError(f"The runner has not loaded {path} within {_LOADING_SECONDS:.0f} s. {said}")

    def _trained(self, bundle: ModelBundle) -> RemoteEncoder:
        """Let BentoML's dispatcher find out how fast the encoder is: it holds the first pictures back, by guesses."""
        blank = np.zeros((1, 3, *PreprocessingConfig.read(bundle.path).output_size), dtype=np.float32)
        for _ in range(_TRAINING):
            self.encode(blank)
        return self

    def encode(self, pixel_values: np.ndarray) -> np.ndarray:
        """float32 [n, 3, h, w] → float32 [n, d], L2-normalised.

        Raises:
            TooManyRequests: if the runner does not answer.
        """
        items = [(self._path, np.ascontiguousarray(row, dtype=np.float32)) for row in pixel_values]
        try:
            answers = _await(self._runner.encode(items), self._loop)
        except Exception as error:  # overloaded, or being started again
            raise TooManyRequests("The encoder does not answer now. Try again.", retry_after=1.0) from error
        for _, size in answers:
            if size:
                self._sized(size)
        return np.stack([embedding for embedding, _ in answers])


def _await(call: Coroutine[Any, Any, _Result], loop: asyncio.AbstractEventLoop) -> _Result:
    return asyncio.run_coroutine_threadsafe(call, loop).result(_PATIENCE)
