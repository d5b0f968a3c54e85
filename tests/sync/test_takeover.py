"""Connections through a node that is replaced by its standby, on real packets."""

from __future__ import annotations

import pytest

from evernat.lab.addresses import INTERNET_HOST
from tests.lab_fabric.support import ELASTIC
from tests.sync.pair import FORWARDED, HOME, A, B, Echo, Pair, until

pytestmark = pytest.mark.packets


def test_connections_outlive_their_node(pair: Pair) -> None:
    """TCP idle, pushed to and pulled from, UDP, and a forwarded one go on at the standby, and again when it is back."""
    echo = Echo(pair.net, "internet", 7)
    inside = Echo(pair.net, HOME, 80)
    outside = pair.net.udp("internet", INTERNET_HOST, 9)
    before = [pair.net.tcp(HOME, INTERNET_HOST, 7) for _ in range(5)]  # in the full copy
    pair.sync()
    made = before + [pair.net.tcp(HOME, INTERNET_HOST, 7) for _ in range(5)]  # in what changes
    forwarded = pair.net.tcp("internet", ELASTIC, FORWARDED)
    asker = pair.net.udp(HOME)
    asker.sendto(b"?", (INTERNET_HOST, 9))
    _, caller = outside.recvfrom(9)
    outside.sendto(b"!", caller)
    assert asker.recv(9) == b"!"
    until(lambda: len(echo.callers) == 10 and len(inside.callers) == 1)
    for holder, standby in ((B, A), (A, B), (B, A)):
        assert pair.syncs[standby].drain("test") is not None
        pair.move(holder)
        for number, one in enumerate(echo.callers):  # the far end speaks first: nothing but the copy knows it
            one.sendall(b"push%d" % number)
        assert sorted(one.recv(5) for one in made) == [b"push%d" % n for n in range(10)]
        outside.sendto(b"!", caller)
        assert asker.recv(9) == b"!"
        inside.callers[0].sendall(b"from inside")
        assert forwarded.recv(20) == b"from inside"
        for one in [*made, forwarded]:
            one.sendall(b"hello")
            assert one.recv(9) == b"hello"
        pair.sync(holder, standby)


def test_without_the_copy_they_die(pair: Pair) -> None:
    """What the far end sends does not arrive when nothing was copied: the test above tells something."""
    echo = Echo(pair.net, "internet", 7)
    made = pair.net.tcp(HOME, INTERNET_HOST, 7)
    until(lambda: echo.callers)
    pair.move(B)
    echo.callers[0].sendall(b"push")
    made.settimeout(0.5)
    with pytest.raises(TimeoutError):
        made.recv(9)
