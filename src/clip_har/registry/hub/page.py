"""What was sent to the Hub, or would be, as a page."""

from __future__ import annotations

from clip_har.models.bundle import ModelBundle
from clip_har.pages import environment
from clip_har.registry.hub.client import Sent


def render_sent(sent: Sent, bundle: ModelBundle, card: str) -> str:
    """One self-contained page: where, under which names, every file, and the card's text."""
    return environment("clip_har.registry.hub").get_template("sent.html").render(sent=sent, bundle=bundle, card=card)
