"""A fabric for each test: it takes some 50 ms to make and remove one."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest

from evernat.lab.fabric import Fabric
from tests.lab_fabric.support import Net


def _may_make_namespaces() -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(0x40000000) == 0 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.fixture(scope="session")
def namespaces_allowed() -> None:
    """Skips where network namespaces cannot be made."""
    if not _may_make_namespaces():
        pytest.skip("needs root, or a user namespace: unshare -Urnmpf --mount-proc make test")


@pytest.fixture
def net(namespaces_allowed: None) -> Iterator[Net]:
    """A fabric with nothing in it."""
    made = Net(Fabric())
    yield made
    made.close()
