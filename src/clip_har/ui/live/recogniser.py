"""Frames that come faster than they can be recognised: the newest is asked about, the rest are only shown."""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from clip_har.errors import ClipHarError
from clip_har.ui.live.mailbox import Mailbox
from clip_har.ui.live.overlay import Caption, Overlay
from clip_har.ui.live.pace import Pace
from clip_har.ui.live.smoothing import ranked, smoothed
from clip_har.ui.wording import percent, words

logger = logging.getLogger("clip_har.ui.live")

_SILENT_SECONDS = 2.0
_PAUSE_SECONDS, _LONGEST_PAUSE = 1.0, 10.0
_SHORTER_EDGE, _QUALITY = 288, 90

Ask = Callable[[bytes], Mapping[str, float]]
"""A JPEG → label and probability; raises ClipHarError."""


@dataclass(frozen=True)
class Reading:
    """What is being done, as far as it is known now.

    Attributes:
        scores: label and smoothed probability, the likeliest first.
        sure: whether the likeliest is above the threshold.
        at: monotonic time at which its newest frame came.
    """

    scores: tuple[tuple[str, float], ...]
    sure: bool
    at: float

    @property
    def label(self) -> str:
        """The likeliest."""
        return self.scores[0][0]

    @property
    def confidence(self) -> float:
        """Its probability."""
        return self.scores[0][1]


class LiveRecogniser:
    """One camera's stream.

    Args:
        ask: asks the service; called by a thread of its own, one frame at a time.
        half_life: of the smoothing, in seconds.
        threshold: below it nothing is claimed; None: the likeliest always is.

    Attributes:
        reading: the newest; None until there is an answer.
        problem: why the newest frame has no answer.
        frames: that have come.
        shown: pace of the frames that come.
        answered: pace of the answers; each took from its frame's coming to its answer.
    """

    def __init__(self, ask: Ask, half_life: float = 0.5, threshold: float | None = None) -> None:
        self.ask, self.half_life, self.threshold = ask, half_life, threshold
        self._mailbox: Mailbox[tuple[Any, float]] = Mailbox()
        self._overlay = Overlay()
        self._thread: threading.Thread | None = None
        self.frames = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was seen: another stream begins."""
        self._began = time.monotonic()
        self.reading: Reading | None = None
        self.problem: ClipHarError | None = None
        self.shown, self.answered = Pace(), Pace()

    def video_frame(self, frame: Any) -> Any:
        """An `av.VideoFrame` as it comes → as it is shown. Quick, never waits for an answer, raises nothing."""
        try:
            now = time.monotonic()
            self.frames += 1
            self.shown.happened()
            self._mailbox.put((frame, now))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="clip-har live", daemon=True)
                self._thread.start()
            return self._overlay.drawn(frame, self.caption())
        except Exception:  # it would end the stream; the picture without words is better
            logger.exception("a frame was not drawn on")
            return frame

    def caption(self) -> Caption | None:
        """What is written on the frames now."""
        reading, problem = self.reading, self.problem
        if problem is not None:
            return Caption("no answer", None, sure=False)
        if reading is None:
            return None
        name, took = words(reading.label), self.answered.took()
        note = f"{self.shown.rate():.0f} fps" + (f" · {1000 * took:.0f} ms" if took is not None else "")
        if not reading.sure:
            return Caption(f"not sure: {name}?", reading.confidence, sure=False, note=note)
        return Caption(f"{name}  {percent(reading.confidence)}", reading.confidence, sure=True, note=note)

    def _work(self) -> None:
        while (taken := self._mailbox.take(_SILENT_SECONDS)) is not None:
            frame, came = taken
            try:
                self._learn(self.ask(jpeg_of(frame)), came)
            except ClipHarError as error:
                self.problem = error
                self._pause(error)
            except Exception as error:
                logger.exception("a frame was not recognised")
                self.problem = ClipHarError(
                    f"A frame could not be asked about ({type(error).__name__}); the app's log has the reason."
                )
                self._pause(error)

    def _learn(self, scores: Mapping[str, float], came: float) -> None:
        if came < self._began:  # of the stream before
            return
        before = self.reading
        gap = came - before.at if before is not None else 0.0
        calmed = ranked(smoothed(dict(before.scores) if before is not None else None, scores, gap, self.half_life))
        self.answered.happened(time.monotonic() - came)
        self.problem = None
        self.reading = Reading(tuple(calmed), self.threshold is None or calmed[0][1] >= self.threshold, came)

    @staticmethod
    def _pause(error: Exception) -> None:
        asked = getattr(error, "retry_after", None) or _PAUSE_SECONDS
        time.sleep(min(asked, _LONGEST_PAUSE))


def jpeg_of(frame: Any, shorter_edge: int = _SHORTER_EDGE) -> bytes:
    """An `av.VideoFrame` as a JPEG, reduced where it is larger: models see less than that.

    Args:
        shorter_edge: of the picture, in pixels.
    """
    scale = min(1.0, shorter_edge / min(frame.width, frame.height))
    width, height = (max(1, round(edge * scale)) for edge in (frame.width, frame.height))
    image = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_image()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
