"""Pages on a stand-in of the service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from clip_har.ui import connection
from clip_har.ui.connection import Service
from clip_har.ui.settings import VARIABLES
from tests.ui.stand_in import StandInClient, model

URL = "http://127.0.0.1:3000"


@pytest.fixture
def client() -> StandInClient:
    """What the pages ask."""
    return StandInClient()


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder with nothing in it, whose `workspace` and `outputs` are the app's."""
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(VARIABLES["workspace"], str(tmp_path / "workspace"))
    for cached in (connection.settings, connection._local, connection._client, connection._model):
        cached.clear()
    yield tmp_path
    connection.settings.clear()


@pytest.fixture
def show(client, place, monkeypatch) -> Callable[..., AppTest]:
    """Shows a page: `show("recognise")`; keywords change what the service says of its model."""

    def shown(name: str, **changes) -> AppTest:
        service = Service(client, model(**changes), URL)
        monkeypatch.setattr(connection, "service", lambda: service)
        return AppTest.from_string(f"from clip_har.ui.pages import {name}\n{name}.page()", default_timeout=20).run()

    return shown


def texts(page: AppTest) -> str:
    """All that a page says in words."""
    said = [
        one.value
        for kind in (page.markdown, page.caption, page.info, page.error, page.warning, page.success)
        for one in kind
    ]
    return "\n".join([*said, *(one.proto.body for one in page.get("html"))])
