from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.serving.rest.service import RestService, rest_service


@pytest.fixture(scope="module")
def service(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestService]:
    """The REST side over the tiny model, on a socket; what it answers is captured."""
    workspace = tmp_path_factory.mktemp("workspace")
    with rest_service(served_bundle, workspace=workspace, queue={"deadline_seconds": 60}) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: RestService) -> Iterator[httpx.Client]:
    """Asks it."""
    with httpx.Client(base_url=service.url, timeout=60) as asking:
        yield asking


@pytest.fixture(scope="session")
def photos(served_bundle: Path) -> list[bytes]:
    """Files of the photographs that the tiny model was trained on."""
    return [path.read_bytes() for path in sorted((served_bundle.parent / "study").rglob("*.jpg"))[::7]]
