"""A lab without cloud and fabric for a module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab_computer.support import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Shared by a module; each test makes instances of its own."""
    made = Lab(tmp_path_factory.mktemp("lab"))
    yield made
    made.close()
