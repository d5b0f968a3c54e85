"""Fixtures of the stack's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack.world import Server, World, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests of a process."""
    with pytest.MonkeyPatch.context() as patch, serving(patch) as made:
        yield made


@pytest.fixture
def world(server: Server) -> World:
    """A fresh cloud with the article's network."""
    return World(server)
