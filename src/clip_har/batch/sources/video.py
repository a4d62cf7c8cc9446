"""Frames of a video, one every so many seconds. Needs PyAV, which comes with the extra `webcam`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from clip_har.batch.sources.base import (
    BatchSource,
    BatchSourceConfig,
    BytesInFlight,
    Fingerprint,
    Item,
    failing,
    stamp_of,
)
from clip_har.data.sources.base import printable
from clip_har.errors import ConfigError, DataError


class VideoSourceConfig(BatchSourceConfig):
    """A video."""

    kind: Literal["video"] = "video"
    seconds: float = Field(1.0, gt=0, description="Time from one frame that is looked at to the next.")


class VideoSource(BatchSource):
    """The first frame at or after 0, `seconds`, 2 × `seconds` …; a video that is damaged ends with a row that says so."""

    Config = VideoSourceConfig
    config: VideoSourceConfig
    random_access = False

    def check(self) -> None:
        self.require_file()
        av = _av()
        try:
            with av.open(str(self.place)) as container:
                if not container.streams.video:
                    raise DataError(f"batch.source: {self.config.path!r} has no pictures, only sound.")
        except av.FFmpegError as error:
            raise DataError(f"batch.source: {self.config.path!r} is no video that can be read: {error}.") from error

    def fingerprint(self) -> Fingerprint:
        return Fingerprint(hashlib.sha256(stamp_of(self.place).encode()).hexdigest(), None)

    def items(self, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        av, flying, number = _av(), BytesInFlight(), 0
        try:
            with av.open(str(self.place)) as container:
                if container.duration:
                    self.expected = int(container.duration / av.time_base / self.config.seconds) + 1
                for frame in self._frames(container):
                    if stop is not None and number >= stop:
                        return
                    if number >= start:
                        yield self._item(frame, number, flying)
                    number += 1
        except av.FFmpegError as error:
            if number >= start and (stop is None or number < stop):
                said = f"The video {self.config.path} is damaged after {number} of its frames: {error}."
                yield Item(printable(self.config.path), failing("truncated", said))

    def _frames(self, container: Any) -> Iterator[Any]:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        number, begin = 0, None
        for frame in container.decode(stream):
            if frame.time is None:
                continue
            begin = frame.time if begin is None else begin
            if frame.time - begin >= number * self.config.seconds - 1e-6:
                yield frame
                number = int((frame.time - begin + 1e-6) / self.config.seconds) + 1

    def _item(self, frame: Any, number: int, flying: BytesInFlight) -> Item:
        shown = printable(f"{self.config.path}@{frame.time:.3f}")
        if frame.width * frame.height > self.limits.max_pixels:
            said = f"{shown} has {frame.width} × {frame.height} pixels; {self.limits.max_pixels:,} are allowed."
            return Item(shown, failing("too_many_pixels", said))
        return Item(shown, flying.hold(_upright(frame)))


def _upright(frame: Any) -> Any:
    """uint8 [h, w, 3], turned as the video says."""
    import numpy as np

    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns))


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise ConfigError(
            "batch.source: videos are read with PyAV, which is not installed. Install the extra: pip install 'clip-har[webcam]'."
        ) from None
    return av
