"""Where pictures become embeddings: threads that take one the whole way, or that meet in batches for a GPU."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

from clip_har.inference.machine import available_cores
from clip_har.inference.runtimes import EncoderRuntime
from clip_har.serving.errors import Unavailable

_Result = TypeVar("_Result")
_MOST_DECODERS = 8
_MOST_THREADS = 64


class Encoding(Protocol):
    """Runs an image encoder for threads that wait for it.

    Attributes:
        threads: how many threads keep it busy.
    """

    threads: int

    def encode(self, pixel_values: np.ndarray, *, alone: bool) -> np.ndarray:
        """float32 [3, h, w] → float32 [d], L2-normalised.

        Args:
            alone: whether this is the only picture in the house, so that it may have all cores.
        """

    def close(self) -> None:
        """Let go of threads; nothing is encoded afterwards."""


class InLanes:
    """For a runtime with lanes: each picture has one core, a picture alone has them all."""

    def __init__(self, runtime: EncoderRuntime) -> None:
        self._runtime = runtime
        self.threads = runtime.lanes + 1  # one more than lanes: it decodes while the others encode

    def encode(self, pixel_values: np.ndarray, *, alone: bool) -> np.ndarray:
        """As `Encoding.encode`."""
        encode = self._runtime.encode if alone else self._runtime.encode_in_lane
        return encode(pixel_values[None])[0]

    def close(self) -> None:
        """Nothing to let go of."""


class InBatches:
    """For a runtime that takes batches: whatever waits when it is free is encoded together; nobody is held back.

    Args:
        most: pictures to a batch.
        sized: told the size of every batch.
    """

    def __init__(self, runtime: EncoderRuntime, most: int, sized: Callable[[int], None] = lambda size: None) -> None:
        self._runtime, self._most, self._sized = runtime, most, sized
        self.threads = _threads_for_batches(most)
        self._waiting: queue.SimpleQueue[tuple[np.ndarray, Future] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="encode", daemon=True)
        self._thread.start()

    def encode(self, pixel_values: np.ndarray, *, alone: bool) -> np.ndarray:
        """As `Encoding.encode`."""
        done: Future = Future()
        self._waiting.put((pixel_values, done))
        return done.result()

    def close(self) -> None:
        """End the thread, after what waits already."""
        self._waiting.put(None)

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._most:
                try:
                    item = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    self._waiting.put(None)
                    break
                batch.append(item)
            self._encode(batch)

    def _encode(self, batch: list[tuple[np.ndarray, Future]]) -> None:
        try:
            embeddings = self._runtime.encode(np.stack([pixels for pixels, _ in batch]))
        except Exception as error:  # whoever waits must hear of it, whatever it is
            for _, done in batch:
                done.set_exception(error)
            return
        self._sized(len(batch))
        for (_, done), embedding in zip(batch, embeddings, strict=True):
            done.set_result(embedding)


class Elsewhere:
    """For a runtime that is another process, which makes the batches.

    Args:
        threads: how many pictures may be on their way to it.
    """

    def __init__(self, runtime: EncoderRuntime, threads: int) -> None:
        self._runtime, self.threads = runtime, threads

    def encode(self, pixel_values: np.ndarray, *, alone: bool) -> np.ndarray:
        """As `Encoding.encode`."""
        return self._runtime.encode(pixel_values[None])[0]

    def close(self) -> None:
        """Nothing to let go of."""


def encoding_of(runtime: EncoderRuntime, most: int, sized: Callable[[int], None] = lambda size: None) -> Encoding:
    """How a runtime is used best."""
    if getattr(runtime, "batches_elsewhere", False):
        return Elsewhere(runtime, _threads_for_batches(most))
    return InLanes(runtime) if runtime.lanes > 1 else InBatches(runtime, most, sized)


def _threads_for_batches(most: int) -> int:
    """Enough for one batch to be encoded while the next one is decoded."""
    return max(min(_MOST_DECODERS, available_cores()), min(2 * most, _MOST_THREADS))


class Workers:
    """Threads of a process that are shared by all models.

    Attributes:
        inside: pictures handed in and not done.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._lock = threading.Lock()
        self.inside = 0

    def submit(self, work: Callable[..., _Result], *arguments: object) -> Future[_Result]:
        """Have a picture worked on; cancelling what has not begun takes it out of the queue."""
        with self._lock:
            self.inside += 1
        try:
            future = self._pool.submit(work, *arguments)
        except RuntimeError:
            self._done(None)
            raise
        future.add_done_callback(self._done)
        return future

    @property
    def alone(self) -> bool:
        """Whether there is one picture in the house, or none."""
        return self.inside <= 1

    def close(self) -> None:
        """Take nothing more; what waits is dropped, what has begun goes on to its end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: object) -> None:
        with self._lock:
            self.inside -= 1


def submit(workers: Workers | None, work: Callable[..., _Result], *arguments: object) -> Future[_Result]:
    """`Workers.submit`, for requests: where there are no threads yet, or none any more, the service is unavailable.

    Raises:
        Unavailable: if so.
    """
    if workers is None:
        raise Unavailable("The service is starting.", retry_after=1.0)
    try:
        return workers.submit(work, *arguments)
    except RuntimeError as error:  # the threads have ended
        raise Unavailable("The service is shutting down.", retry_after=1.0) from error
