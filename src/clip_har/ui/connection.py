"""Which service the pages ask: one that was named, or one that the app starts for itself, saying so."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from clip_har.client import Client, ClientSettings, ServiceProblem
from clip_har.serving.schemas import ModelResponse
from clip_har.ui.local_service import LocalService, NotStarted
from clip_har.ui.settings import AppSettings

_URL, _KEY, _FOUND, _NOT_STARTED = "service_url", "service_key", "service_found", "service_not_started"
# A person waits: rather a sentence soon than an answer late.
_PATIENCE = ClientSettings(deadline_seconds=45.0, connect_seconds=3.0, tries=3, concurrency=4)
_FRESH_SECONDS = 3.0


@dataclass(frozen=True)
class Service:
    """The service that is asked.

    Attributes:
        client: asks it; safe from several threads.
        model: what it says of its model.
        url: where it is.
        local: whether the app has started it.
    """

    client: Client
    model: ModelResponse
    url: str
    local: bool = False

    @property
    def labels(self) -> list[str]:
        """The model's labels."""
        return self.model.labels


@st.cache_resource(show_spinner=False)
def settings() -> AppSettings:
    """What the app was started with."""
    return AppSettings.of()


def look() -> None:
    """Find the service once in a run of the script; `service` then says what was found."""
    try:
        st.session_state[_FOUND] = _find()
    except Exception as error:  # the page says it, wherever it comes from
        st.session_state[_FOUND] = error


def service() -> Service:
    """The service, which has just answered.

    Raises:
        ClipHarError: if there is none; the shell says so in the page.
    """
    found = st.session_state.get(_FOUND)
    if found is None:
        look()
        found = st.session_state[_FOUND]
    if isinstance(found, Exception):
        raise found
    return found


def wanted() -> tuple[str | None, str | None]:
    """URL and key that this session asks; no URL: a service of the app's own."""
    start = settings()
    return st.session_state.get(_URL, start.url), st.session_state.get(_KEY, start.key)


def choose(url: str | None, key: str | None = None) -> None:
    """Ask another service from now on; None: one of the app's own."""
    st.session_state[_URL], st.session_state[_KEY] = url or None, key or None
    again()


def again() -> None:
    """Forget what the service said of itself, or why none started, and ask anew."""
    st.session_state.pop(_NOT_STARTED, None)
    _model.clear()


def _find() -> Service:
    url, key = wanted()
    local = url is None
    if local:
        url, key = _local_url(), None
    client = _client(url, key)
    try:
        return Service(client, _model(url, key), url, local)
    except ServiceProblem:
        _model.clear()
        raise


def _local_url() -> str:
    own = _local()
    if own.running:
        return own.url()
    if _NOT_STARTED in st.session_state:  # nobody waits for the same failure twice
        raise st.session_state[_NOT_STARTED]
    what = "the bundle" if settings().bundle else "the workspace's champion, or the newest bundle"
    with st.spinner(f"No service was named: the app starts one of its own, with {what} …"):
        try:
            return own.url()
        except NotStarted as error:
            st.session_state[_NOT_STARTED] = error
            raise


@st.cache_resource(show_spinner=False)
def _local() -> LocalService:
    return LocalService(settings())


@st.cache_resource(show_spinner=False, max_entries=16)
def _client(url: str, key: str | None) -> Client:
    return Client(url, key=key, settings=_PATIENCE)


@st.cache_resource(show_spinner=False, ttl=_FRESH_SECONDS, max_entries=16)
def _model(url: str, key: str | None) -> ModelResponse:
    return _client(url, key).model()
