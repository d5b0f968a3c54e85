from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab_cloud.support import Lab, Server, make_lab


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def lab(server: Server) -> Lab:
    return make_lab(server)
