"""How long the copies of connections live: as long as their idle timeout says, and no longer than the connection."""

from __future__ import annotations

import pytest

from evernat.lab.addresses import INTERNET_HOST
from tests.sync.pair import HOME, A, B, Echo, Pair, until

pytestmark = pytest.mark.packets

ESTABLISHED = "net.netfilter.nf_conntrack_tcp_timeout_established"


def timeouts(pair: Pair, seconds: int) -> None:
    """The idle timeout of both nodes."""
    for node in (A, B):
        pair.net.run(node, f"sysctl -qw {ESTABLISHED}={seconds}")


def left(pair: Pair, node: str) -> int:
    """Seconds the client's TCP entry has on a node; 0 when there is none."""
    shown = pair.net.run(node, "conntrack -L -p tcp 2>/dev/null").splitlines()
    return next((int(line.split()[2]) for line in shown if INTERNET_HOST in line), 0)


@pytest.mark.parametrize("first", [True, False], ids=["full copy", "change"])
def test_a_copy_lives_as_long_as_a_connection_may_be_silent(pair: Pair, first: bool) -> None:
    """Whether it came with a full copy or as a change, after a takeover a silent connection has its time."""
    timeouts(pair, 5000)
    echo = Echo(pair.net, "internet", 7)
    if not first:
        pair.sync()
    made = pair.net.tcp(HOME, INTERNET_HOST, 7)
    until(lambda: echo.callers)
    if first:
        pair.sync()
    until(lambda: left(pair, B))
    assert 4900 < left(pair, B) <= 5000
    made.close()


def test_a_copy_outlives_a_short_timeout_and_goes_with_the_connection(pair: Pair) -> None:
    """Copies live ten minutes at least, since what keeps a connection alive at home is not told; when it has been
    silent for too long there, it is gone here too."""
    timeouts(pair, 2)
    echo = Echo(pair.net, "internet", 7)
    pair.sync()
    made = pair.net.tcp(HOME, INTERNET_HOST, 7)
    until(lambda: echo.callers)
    until(lambda: left(pair, B))
    assert 500 < left(pair, B) <= 600
    until(lambda: not left(pair, A), 20)
    until(lambda: not left(pair, B))
    made.close()
