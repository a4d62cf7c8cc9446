from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.stand_in import Server, stand_in


@pytest.fixture
def service() -> Iterator[Server]:
    """A service that answers what it is told to."""
    with stand_in() as server:
        yield server
