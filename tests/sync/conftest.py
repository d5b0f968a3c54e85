from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sync.pair import Pair


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two nodes; no process runs yet."""
    made = Pair()
    yield made
    made.close()
