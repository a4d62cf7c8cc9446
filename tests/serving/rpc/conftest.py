from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.rpc.service import Service, grpc_service


@pytest.fixture(scope="module")
def service(served_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A server with the default limits that captures."""
    with grpc_service(served_bundle, workspace=tmp_path_factory.mktemp("workspace")) as running:
        yield running
