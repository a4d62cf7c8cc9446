"""Why there is no stream, or no camera at all, in a sentence with what to do about it."""

from __future__ import annotations

import importlib.util
import ipaddress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from clip_har.ui.live.settings import VARIABLE

State = Literal["idle", "connecting", "streaming", "failed"]

NO_PACKAGE = (
    "The stream needs the package streamlit-webrtc, which is not installed where the app runs "
    "(`pip install 'clip-har[webcam]'`, then start the app again)."
)
NOT_SECURE = (
    "Browsers give the camera only to pages that come over https, or from the machine itself: this page came over plain http "
    "from another one. Serve the app over https, or open it where it runs."
)
NO_WAY = (
    "The camera's stream did not reach the app: the two found no way to each other (ICE failed). That happens across networks "
    f"and firewalls; a TURN server helps (`{VARIABLE}`)."
)


def package_missing() -> bool:
    """Whether streamlit-webrtc is not installed."""
    return importlib.util.find_spec("streamlit_webrtc") is None


def camera_forbidden(url: str | None) -> bool:
    """Whether browsers refuse the camera to a page at this address (W3C, Secure Contexts)."""
    if not url:
        return False
    parts = urlsplit(url)
    if parts.scheme != "http":
        return False
    host = (parts.hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


@dataclass
class Attempt:
    """Watches whether a stream that was begun arrives.

    Attributes:
        patience: seconds until the first frame.
        state: what became of it.
    """

    patience: float = 12.0
    state: State = "idle"
    _since: float | None = field(default=None, repr=False)
    _frames: int = field(default=0, repr=False)

    def look(self, *, active: bool, frames: int, now: float) -> State:
        """What is to be said now.

        Args:
            active: whether the browser says that it connects or plays.
            frames: how many have ever come.
            now: seconds, never going back.
        """
        if active and self._since is None:
            self._since, self._frames, self.state = now, frames, "connecting"
        elif not active and self._since is not None:
            # one that ended before a frame came has failed, unless that was at once: then a person did it
            never = frames == self._frames and now - self._since > self.patience / 4
            self._since, self.state = None, "failed" if never or self.state == "failed" else "idle"
        if self._since is not None:
            if frames > self._frames:
                self.state = "streaming"
            elif now - self._since > self.patience:
                self.state = "failed"
        return self.state
