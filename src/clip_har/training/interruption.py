"""SIGTERM, as pre-emption sends it: the step is finished and the run is saved before the process ends."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from clip_har.errors import TrainingError


class TrainingInterrupted(TrainingError):
    """The run was told to end, and has left a checkpoint: started again it goes on from there."""


class Interruption:
    """Takes note of SIGTERM within its block instead of ending the process.

    Args:
        wanted: whether there is anything to finish; without, the signal does what it did. Only the main thread can take
            signals.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted and threading.current_thread() is threading.main_thread()
        self.asked = False

    def __enter__(self) -> Interruption:
        if self._wanted:
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def __exit__(self, *_: object) -> None:
        if self._wanted:
            signal.signal(signal.SIGTERM, self._before)
