"""One client that finishes handshakes and forgets them, as many as it can: what the others notice."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.checks import until
from tests.agent import handshakes

from .cluster import SETTLE, Cluster, deployed

pytestmark = [pytest.mark.packets, pytest.mark.timeout(300)]

PROGRAM = [sys.executable, str(Path(handshakes.__file__))]
PORTS = [str(port) for port in range(9000, 9008)]
SHARE = 10_000
ASKED = 500


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    directory = tmp_path_factory.mktemp("attack")
    with deployed("pair", 2, directory, more=f"client_connections = {SHARE}") as made:
        yield made


@contextlib.contextmanager
def server(pair: Cluster) -> Iterator[None]:
    """Takes every connection on the internet, and says nothing."""
    command = [*PROGRAM, "serve", INTERNET_HOST, *PORTS]
    process = pair.lab.popen("internet", command, stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"ready\n"
    try:
        yield
    finally:
        process.kill()
        process.wait()


def made(pair: Cluster, host: str, count: int, first: int = 0) -> int:
    """How many of so many handshakes a host has finished."""
    words = ["open", INTERNET_HOST, str(first), str(count), *PORTS]
    return int(pair.lab.exec(host, [*PROGRAM, *words], timeout=120).stdout)


def entries(pair: Cluster, node: str) -> int:
    """Of a node's connection table."""
    return int(pair.lab.exec(node, ["cat", "/proc/sys/net/netfilter/nf_conntrack_count"]).stdout)


def test_others_do_not_notice(pair: Cluster) -> None:
    """The attacker gets its share, on the standby too; of what others and the node itself ask for, 99 % is made."""
    whole = pair.whole()["main"]
    holder, standby = str(whole["holder"]), str(whole["standby"])
    with server(pair):
        begun = made(pair, "client-a", 2 * SHARE)
        assert 0.85 * SHARE < begun < 1.15 * SHARE
        again = pair.lab.popen(
            "client-a", [*PROGRAM, "open", INTERNET_HOST, "50000", "20000", *PORTS], stdout=-3
        )
        try:
            for host in ("client-b", "client-c", holder):
                assert made(pair, host, ASKED) >= 0.99 * ASKED, host
        finally:
            again.kill()
            again.wait()
        assert entries(pair, holder) < 1.3 * SHARE + 4 * ASKED
        assert until(lambda: 0.8 * SHARE < entries(pair, standby) < 1.3 * SHARE + 4 * ASKED, SETTLE, 0.5)
        assert pair.gateway()["state"] == "ready"
        dropped = pair.lab.exec(
            holder, ["nft", "list", "counter", "ip", "evernat-limits", "client_connections"]
        )
        assert "packets 0" not in dropped.stdout
