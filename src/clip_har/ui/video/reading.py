"""Asking about a clip's frames: a few at a time, and going on where it was broken off."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from clip_har.errors import ClipHarError
from clip_har.ui.asking import Picture, stream
from clip_har.ui.connection import Service
from clip_har.ui.video.clip import ClipError, ClipLimits, samples
from clip_har.ui.video.moments import Moment

_MOST_LABELS = 100


@dataclass
class Reading:
    """What is known of a clip.

    Attributes:
        moments: by time; frames that were not answered among them.
        missed: why the first such frame was not.
        damage: why the clip ended early.
        whole: whether nothing is left to ask.
    """

    moments: list[Moment] = field(default_factory=list)
    missed: ClipHarError | None = None
    damage: ClipError | None = None
    whole: bool = False


def read_on(
    reading: Reading,
    service: Service,
    file: BinaryIO,
    name: str,
    seconds: float,
    limits: ClipLimits,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Ask about every frame that has not been asked about, and add what is answered.

    Args:
        seconds: from one frame to the next.
        progress: called with the time of each frame that is done.

    Raises:
        ServiceProblem: the first that is not about its frame; the reading has all that came before.
    """
    times: deque[float] = deque()
    done = len(reading.moments)

    def pictures() -> Iterator[Picture]:
        try:
            for number, sample in enumerate(samples(file, name, seconds, limits)):
                if number >= done:
                    times.append(sample.time)
                    yield Picture(f"{name} at {sample.time:.1f} s", sample.data)
        except ClipError as error:
            reading.damage = error

    top = min(len(service.labels), _MOST_LABELS)
    for answer in stream(service, pictures(), top_k=top, conformal=False):
        time = times.popleft()
        if answer.result is None:
            reading.missed = reading.missed or answer.error
            reading.moments.append(Moment(time, None))
        else:
            reading.moments.append(Moment(time, {one.label: one.score for one in answer.result.labels}))
        if progress is not None:
            progress(time)
    reading.whole = True
