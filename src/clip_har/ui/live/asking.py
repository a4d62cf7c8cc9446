"""Asking about a frame: one try and a short deadline, since a newer frame is always at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from clip_har.client import Client, ClientSettings
from clip_har.ui import connection
from clip_har.ui.connection import Service

_ONE_TRY = ClientSettings(deadline_seconds=5.0, connect_seconds=2.0, tries=1)
_MOST_LABELS = 100


def asking(service: Service) -> Callable[[bytes], Mapping[str, float]]:
    """What a JPEG's labels and probabilities are asked with; to be made by the page, to be called by any thread."""
    key = None if service.local else connection.wanted()[1]
    client = _client(service.url, key)
    top = min(len(service.labels), _MOST_LABELS)

    def ask(picture: bytes) -> Mapping[str, float]:
        result = client.predict(picture, top_k=top, conformal=False).results[0]
        return {one.label: one.score for one in result.labels}

    return ask


@st.cache_resource(show_spinner=False, max_entries=16)
def _client(url: str, key: str | None) -> Client:
    return Client(url, key=key, settings=_ONE_TRY)
