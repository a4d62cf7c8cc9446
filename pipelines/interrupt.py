"""Ctrl-C is never lost: Python drops a KeyboardInterrupt that arrives while an object is being finalised."""

import _thread
import sys
import threading

_PAUSE = 0.1  # seconds, to be out of the finaliser


def keep_interrupts() -> None:
    """Raise a dropped KeyboardInterrupt again, a moment later; other unraisable errors are shown as before."""
    show = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is KeyboardInterrupt:
            threading.Timer(_PAUSE, _thread.interrupt_main).start()
        else:
            show(dropped)

    sys.unraisablehook = hook
