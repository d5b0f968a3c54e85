"""A stub cloud on real packets for the tests that need one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent import stub


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[stub.Lab]:
    """A node, a client and the internet; the agent is not started yet."""
    yield from stub.lab(tmp_path)
