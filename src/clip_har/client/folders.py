"""Any number of pictures, a few at a time: memory does not grow with the folder, and one bad file stops nothing."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from pathlib import Path

from clip_har.client.errors import ServiceProblem
from clip_har.client.pictures import picture_files
from clip_har.client.results import Outcome, PictureResult
from clip_har.errors import ConfigError, ImageError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
Progress = Callable[[int, int | None], None]
"""Called as `progress(done, total)`; total is None where it cannot be known."""


def files_of(paths: str | Path | Iterable[str | Path]) -> tuple[Iterator[Path], int | None]:
    """The files, and how many there are if that can be known.

    Args:
        paths: a folder, whose pictures are meant with those below it; a file; or any number of paths.

    Raises:
        ConfigError: if a folder cannot be read.
    """
    if isinstance(paths, str | Path):
        place = Path(paths)
        if place.is_dir():
            total = sum(1 for _ in picture_files(place, SUFFIXES))  # names only: quick beside asking for them
            return iter(picture_files(place, SUFFIXES)), total
        return iter([place]), 1
    return map(Path, paths), len(paths) if isinstance(paths, Sized) else None


def ask_all(
    ask: Callable[[Path], PictureResult],
    paths: str | Path | Iterable[str | Path],
    concurrency: int,
    ordered: bool,
    progress: Progress | None = None,
) -> Iterator[tuple[Path, Outcome]]:
    """The outcome of each path, asked for by a few threads.

    Args:
        concurrency: paths in work at one time. No other is begun before an outcome has been taken.
        ordered: outcomes in the order of the paths; otherwise as they are ready.

    Raises:
        ServiceProblem: the first that is not about its picture.
    """
    _check(concurrency)
    files, total = files_of(paths)

    def attempt(path: Path) -> tuple[Path, Outcome]:
        try:
            return path, ask(path)
        except (ServiceProblem, ImageError) as error:
            return path, _own(error)

    def outcomes() -> Iterator[tuple[Path, Outcome]]:
        running: deque[Future] = deque()
        done = 0
        while True:
            running.extend(_begun(attempt, path) for path in islice(files, concurrency - len(running)))
            if not running:
                return
            first = running[0]
            if not ordered:
                first = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
            running.remove(first)
            outcome = first.result()
            done += 1
            if progress is not None:
                progress(done, total)
            yield outcome

    return outcomes()


def ask_all_async(
    ask: Callable[[Path], Awaitable[PictureResult]],
    paths: str | Path | Iterable[str | Path],
    concurrency: int,
    ordered: bool,
    progress: Progress | None = None,
) -> AsyncGenerator[tuple[Path, Outcome], None]:
    """As `ask_all`, by tasks of the running loop; those in work are cancelled when nobody reads on."""
    _check(concurrency)

    async def attempt(path: Path) -> tuple[Path, Outcome]:
        try:
            return path, await ask(path)
        except (ServiceProblem, ImageError) as error:
            return path, _own(error)

    async def outcomes() -> AsyncGenerator[tuple[Path, Outcome], None]:
        files, total = await asyncio.to_thread(files_of, paths)
        running: deque[asyncio.Task] = deque()
        done = 0
        try:
            while True:
                running.extend(asyncio.create_task(attempt(path)) for path in islice(files, concurrency - len(running)))
                if not running:
                    return
                first = running[0]
                if not ordered:
                    ready, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    first = next(iter(ready))
                outcome = await first
                running.remove(first)
                done += 1
                if progress is not None:
                    progress(done, total)
                yield outcome
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    return outcomes()


def _begun(work: Callable[[Path], tuple[Path, Outcome]], path: Path) -> Future:
    """Work in a thread that keeps no process from ending, as a pool's would."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(work(path))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="clip-har client", daemon=True).start()
    return future


def _own(error: ServiceProblem | ImageError) -> ServiceProblem | ImageError:
    """The error, if it is its picture's own."""
    if isinstance(error, ServiceProblem) and not error.about_the_picture:
        raise error
    return error


def _check(concurrency: int) -> None:
    if concurrency < 1:
        raise ConfigError(f"concurrency must be at least 1, got {concurrency}.")
