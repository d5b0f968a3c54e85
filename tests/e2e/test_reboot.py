"""A standby that is rebooted: how soon it could take the gateway again, and what it asks AWS for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from evernat.lab.checks import clock, until

from .cluster import Cluster, deployed, kept

pytestmark = pytest.mark.timeout(180)

SOON = 2.0
"""Seconds from the agent's first line until it has all connections."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("pair")) as made:
        yield made


def reboot(pair: Cluster, node: str, how: str) -> list[str]:
    """Reboot it; what it wrote to its console since, once it stands by."""
    before = len(pair.lab.call("console", node=node))
    if how == "api":
        pair.lab.call("reboot", node=node)
    else:
        pair.lab.exec(node, ["systemctl", "reboot"], inside=True)

    def since() -> str:
        return str(pair.lab.call("console", node=node))[before:]

    assert until(lambda: '"new": "standby"' in since(), 60, 0.1), since()
    return [line for line in since().splitlines() if '"event"' in line]


@pytest.mark.parametrize("how", ["api", "inside", "again"])
def test_copied_soon(pair: Cluster, how: str) -> None:
    """Within two seconds it has every connection, old and new, and loses none of them when it takes the gateway. Of
    the parameters it asks for its key alone: the agent's files are on its disk."""
    node = str(pair.whole()["main"]["standby"])
    with pair.load(("client-a",)) as load:
        begun = time.time()
        lines = reboot(pair, node, how if how != "again" else "api")
        if how == "again":  # while its connections from before are not forgotten yet
            lines = reboot(pair, node, "api")
        start = next(line for line in lines if '"event": "start"' in line)
        copied = next(line for line in lines if '"new": "standby"' in line)
        assert "connections copied" in copied
        assert clock(copied) - clock(start) < SOON, lines
        asked = [c for c in pair.lab.call("calls", since=begun) if c["action"] == "GetParameters"]
        assert [c["params"]["Names"] for c in asked] == [["/evernat/main/key"]] * (1 + (how == "again"))
        assert pair.whole()["main"]["standby"] == node
        pair.failover("main")
        kept(load)
    assert pair.whole()["main"]["holder"] == node
