"""Fixtures of the stack's tests."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from evernat.bundle.sources import agent_sources
from tests.stack.world import Server, World, serving


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One server for all tests of a process. The agent's sources, the same for all, are read once."""
    with pytest.MonkeyPatch.context() as patch, serving(patch) as made:
        patch.setattr("evernat.bundle.cloudconfig.agent_sources", cache(agent_sources))
        yield made


@pytest.fixture
def world(server: Server) -> World:
    """A fresh cloud with the article's network."""
    return World(server)
