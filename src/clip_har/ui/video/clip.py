"""A clip's frames, one every so many seconds, few of them in memory at one time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydantic import Field

from clip_har.component import ComponentConfig
from clip_har.errors import ClipHarError
from clip_har.ui.wording import seconds_in_words

KINDS = ["mp4", "m4v", "mov", "webm", "mkv", "avi", "mpg", "mpeg", "ogv", "3gp"]
"""Endings of files that are taken."""
_PLAYED = {"h264", "vp8", "vp9", "av1", "theora"}
_CONTAINERS = ("mp4", "webm", "ogg")
_SHORTER_EDGE, _QUALITY = 320, 92


class ClipError(ClipHarError):
    """A clip that cannot be used."""


class ClipLimits(ComponentConfig):
    """What is taken."""

    max_bytes: int = Field(300_000_000, gt=0, description="Size of the file.")
    max_seconds: float = Field(3600.0, gt=0, description="Length.")
    max_pixels: int = Field(4096 * 2304, gt=0, description="Width × height of a frame.")
    max_frames: int = Field(1200, ge=1, description="Frames that are asked about.")


@dataclass(frozen=True)
class Clip:
    """What a clip says of itself.

    Attributes:
        seconds: its length; None if it does not say.
        width, height: of its frames, in pixels, as they are stored.
        rate: frames a second; None if it does not say.
        codec: of the pictures.
        container: kind of the file, as FFmpeg calls it.
    """

    seconds: float | None
    width: int
    height: int
    rate: float | None
    codec: str
    container: str

    @property
    def played_by_browsers(self) -> bool:
        """Whether most browsers play it."""
        return self.codec in _PLAYED and any(kind in self.container.split(",") for kind in _CONTAINERS)


@dataclass(frozen=True)
class Sample:
    """One frame that is asked about.

    Attributes:
        time: seconds from the clip's beginning.
        data: a JPEG, upright.
    """

    time: float
    data: bytes


def look_at(file: BinaryIO, name: str, limits: ClipLimits) -> Clip:
    """What the clip is, without decoding it.

    Raises:
        ClipError: if it is none, or more than is taken.
    """
    size = file.seek(0, io.SEEK_END)
    if size > limits.max_bytes:
        most = f"clips of up to {limits.max_bytes / 1e6:,.0f} MB are taken"
        raise ClipError(f"{name} has {size / 1e6:,.0f} MB; {most}. Cut it, or make it smaller.")
    with _opened(file, name) as (container, stream):
        context, duration = stream.codec_context, container.duration
        clip = Clip(
            seconds=duration / 1e6 if duration and duration > 0 else None,
            width=context.width,
            height=context.height,
            rate=float(stream.average_rate) if stream.average_rate else None,
            codec=context.codec.canonical_name,
            container=container.format.name,
        )
    _check_size(clip.width, clip.height, name, limits)
    if clip.seconds is not None and clip.seconds > limits.max_seconds:
        most = seconds_in_words(limits.max_seconds)
        raise ClipError(f"{name} is {seconds_in_words(clip.seconds)} long; clips of up to {most} are taken. Cut it.")
    return clip


def samples(file: BinaryIO, name: str, seconds: float, limits: ClipLimits) -> Iterator[Sample]:
    """The first frame at or after 0, `seconds`, 2 × `seconds` …, until the clip ends or `limits` are reached.

    Only the frame that is given is in memory, and what the decoder itself holds.

    Raises:
        ClipError: where the clip is damaged; what was given before is sound.
    """
    wanted, begin, given = 0.0, None, 0
    with _opened(file, name) as (container, stream):
        stream.thread_type = "AUTO"
        try:
            for frame in container.decode(stream):
                if frame.time is None:
                    continue
                begin = frame.time if begin is None else begin
                time = frame.time - begin
                if time > limits.max_seconds or given == limits.max_frames:
                    return
                if time >= wanted - 1e-6:
                    _check_size(frame.width, frame.height, name, limits)
                    yield Sample(time, _jpeg(frame))
                    given += 1
                    wanted = (int((time + 1e-6) / seconds) + 1) * seconds
        except _av().FFmpegError as error:
            raise ClipError(f"{name} is damaged after {seconds_in_words(wanted)}: {error.strerror}.") from error
    if begin is None:
        raise ClipError(f"{name} holds no frame that can be shown.")


@contextmanager
def _opened(file: BinaryIO, name: str) -> Iterator[tuple[Any, Any]]:
    """Container and its stream of pictures."""
    av = _av()
    file.seek(0)
    try:
        container = av.open(file, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise ClipError(f"{name} is no clip that can be read. MP4, WebM, MKV, MOV and AVI are taken.") from error
    with container:
        stream = next(iter(container.streams.video), None)
        if stream is None or not stream.codec_context.width:
            raise ClipError(
                f"{name} has no pictures, only sound." if container.streams.audio else f"{name} has no pictures."
            )
        yield container, stream


def _check_size(width: int, height: int, name: str, limits: ClipLimits) -> None:
    if width * height > limits.max_pixels:
        raise ClipError(f"Frames of {name} have {width} × {height} pixels; up to {limits.max_pixels:,} are taken.")


def _jpeg(frame: Any) -> bytes:
    """Upright, and reduced where it is larger than models look at."""
    scale = min(1.0, _SHORTER_EDGE / min(frame.width, frame.height))
    width, height = (max(1, round(edge * scale)) for edge in (frame.width, frame.height))
    image = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_image()
    turn = round(getattr(frame, "rotation", 0) / 90) % 4 * 90
    if turn:
        image = image.rotate(turn, expand=True)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def _av() -> Any:
    try:
        import av
    except ImportError:
        said = "Clips are read with PyAV, which is not installed where the app runs: pip install 'clip-har[webcam]'."
        raise ClipError(said) from None
    return av
