"""For all tests: the order of files."""

from __future__ import annotations

import pytest

LONG = ("docs", "e2e", "sim", "terraform", "stack", "lab_faults")
"""Folders with files that take long. These begin first: with one file left at the end, one worker would do nothing."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of LONG first; the order within a file stays."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return LONG.index(folder) if folder in LONG else len(LONG)

    items.sort(key=rank)
