"""The ways of others do what they publish: their NAT works, and comes back after a power-off as they say."""

from __future__ import annotations

from bench import rivals

from evernat.lab.client import Lab


def test_reattach_at_boot(one_lab: Lab) -> None:
    """The next instance takes the interface: the same address, after the group has noticed and it has booted."""
    with rivals.reattach_at_boot(one_lab) as rival:
        first = rival.instance()
        found = rivals.outage(one_lab, first, rival.public, counts={"push": 3}, within=30, patience=3)
        assert rival.instance() not in ("", first)
    assert found.same_address
    assert 1.0 < found.gap < 15
    assert (found.kept, found.held) == (0, 3), "what the server sends unasked dies without flow sync"


def test_periodic_check(one_lab: Lab) -> None:
    """The managed gateway takes over within two checks: another address, and no connection lives."""
    with rivals.periodic_check(one_lab) as rival:
        found = rivals.outage(one_lab, rival.instance(), rival.public, counts={}, within=30, patience=3)
    assert not found.same_address
    assert 2.0 < found.gap < 2 * rivals.EVERY + 3
    assert not found.stream
    assert one_lab.status()["nodes"] == []
