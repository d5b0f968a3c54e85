"""Whatever happens to the holder's agent, connections go on and the internet never sees another address."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from evernat.agent import elect
from evernat.lab.addresses import INTERNET_HOST, METADATA
from evernat.lab.checks import until

from .cluster import Cluster, deployed, kept, out_under

STACKS = {
    "pair": ("pair", 2, "own", "none"),
    "pair, shared": ("pair", 2, "shared", "none"),
    "ring": ("ring", 3, "own", "none"),
    "ring, shared": ("ring", 3, "shared", "none"),
    "pair, slow": ("pair", 2, "own", "aws"),
    "pair, shared, slow": ("pair", 2, "shared", "aws"),
    "ring, slow": ("ring", 3, "own", "aws"),
    "ring, shared, slow": ("ring", 3, "shared", "aws"),
}
"""Topology, zones, where the Elastic IPs sit, latency of the cloud."""

QUICK = {"pair": (3.0,), "pair, shared": (1.0, 3.0), "ring, shared": (10.0,)}
"""What `make test` plays of it, and how long it stops agents; the rest is long."""

SECONDS = (0.3, 1.0, 2.0, 3.0, 10.0, 100.0)
WATCHDOG = 120.0
"""Seconds systemd waits for a sign of life."""

FREEZE = """
for process in /proc/[0-9]*; do
  if tr '\\0' ' ' < $process/cmdline | grep -q -e '-m [a]gent cluster'; then
    kill -STOP ${process#/proc/} && echo stopped
  fi
done
"""

PATIENCE = {"none": 30.0, "aws": 240.0}
"""Seconds in which a stack is whole again; where the API is as slow as AWS is said to be."""


def long(*quick: bool) -> list[pytest.MarkDecorator]:
    """The mark of what `make test` leaves out."""
    return [] if all(quick) else [pytest.mark.long]


STOPPED = [
    pytest.param(name, seconds, marks=long(seconds in QUICK.get(name, ())))
    for name in STACKS
    for seconds in SECONDS
]
EACH = [pytest.param(name, marks=long(name in QUICK)) for name in STACKS]


@dataclass(frozen=True)
class Silenced:
    """A stack, and the gateway whose holder's agent is silenced."""

    cluster: Cluster
    gateway: str
    patience: float

    def holder(self) -> str:
        """The holder, once the stack is whole."""
        return str(self.cluster.whole(self.patience)[self.gateway]["holder"])

    def at_rest(self) -> str:
        """The same, once each gateway of a ring is home.

        A node that has two with shared addresses may lose the one on its primary address first. Then AWS gives it no
        public address any more (see docs/limits.md), and the stack is not whole until somebody terminates it.
        """

        def home() -> bool:
            found = self.cluster.gateways().values()
            return len(found) == 1 or all(g["holder_slot"] == g["home_slot"] for g in found)

        assert until(home, elect.BACK + self.patience)
        return self.holder()


@pytest.fixture(scope="module")
def silenced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Silenced]:
    topology, zones, address, latency = STACKS[request.param]
    # Three addresses of a node's interface, as a ring's own ones need, come with larger types.
    more = f'node_address = "{address}"\ninstance_types = ["t4g.small"]\n'
    folder = tmp_path_factory.mktemp("silent")
    with deployed(topology, zones, folder, more=more, latency=latency) as made:
        yield Silenced(made, min(made.gateways()), PATIENCE[latency])


def seen_by_the_internet(cluster: Cluster) -> set[str]:
    """The source addresses of all packets that reached the internet host since `forget`."""
    shown = cluster.lab.exec("internet", ["curl", "-s", f"http://{INTERNET_HOST}/seen"])
    return set(json.loads(shown.stdout)) - {INTERNET_HOST}


@contextlib.contextmanager
def undisturbed(silenced: Silenced) -> Iterator[None]:
    """100 connections that talk, and idle ones, stay alive inside, under the gateways' addresses alone."""
    cluster = silenced.cluster
    expected = {str(g["public_address"]) for g in cluster.gateways().values()}
    with cluster.load(("client-a", "client-b")) as load:
        cluster.lab.exec("internet", ["curl", "-s", "-X", "DELETE", f"http://{INTERNET_HOST}/seen"])
        yield
        kept(load)
        silenced.holder()
        kept(load)
        assert seen_by_the_internet(cluster) <= expected


@pytest.mark.timeout(600)
@pytest.mark.parametrize("silenced", EACH, indirect=True)
def test_killed(silenced: Silenced) -> None:
    """SIGKILL: what the kernel's killer of programs without memory sends, and systemd's watchdog in the end."""
    before = silenced.at_rest()
    with undisturbed(silenced):
        silenced.cluster.lab.kill(before, "agent")
        silenced.holder()


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("silenced", "seconds"), STOPPED, indirect=["silenced"])
def test_stopped(silenced: Silenced, seconds: float) -> None:
    """SIGSTOP of all on the node: less than what makes the standby take over, a moment more, and for long."""
    before = silenced.at_rest()
    cluster = silenced.cluster
    with undisturbed(silenced):
        cluster.lab.call("stall", node=before, seconds=seconds)
        frozen = cluster.agent(before)["at"]
        assert until(lambda: cluster.agent(before).get("at", frozen) != frozen, 60 + seconds)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("silenced", EACH, indirect=True)
def test_ended_by_the_watchdog(silenced: Silenced) -> None:
    """SIGSTOP of the agent alone, for good: systemd ends it, and starts it again."""
    before = silenced.at_rest()
    lab = silenced.cluster.lab
    with undisturbed(silenced):
        begun = silenced.cluster.agent(before)["at"]
        stopped = lab.exec(before, ["sh", "-c", FREEZE], inside=True)
        assert "stopped" in stopped.stdout, stopped
        assert until(
            lambda: (
                silenced.cluster.agent(before).get("at", begun) > begun
                and "Watchdog" in lab.call("console", node=before)
            ),
            WATCHDOG + 120,
            1.0,
        )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("silenced", EACH, indirect=True)
def test_started_again_without_metadata(silenced: Silenced) -> None:
    """An agent that dies while the metadata service does not answer cannot start; the standby serves."""
    before = silenced.at_rest()
    lab = silenced.cluster.lab
    dark = (
        "table ip dark { chain out { type filter hook output priority 0; ip daddr " + METADATA + " drop; }; }"
    )
    with undisturbed(silenced):
        assert lab.exec(before, ["nft", dark], inside=True).returncode == 0
        lab.kill(before, "agent")
        gateways = silenced.cluster.gateways
        assert until(
            lambda: gateways()[silenced.gateway]["holder"] not in (before, None, ""), silenced.patience
        )
        lab.exec(before, ["nft", "delete table ip dark"], inside=True)


@pytest.mark.parametrize("silenced", EACH, indirect=True)
def test_clients_are_out(silenced: Silenced) -> None:
    """After all of it a client of the gateway's zone is out under its address."""
    silenced.holder()
    gateway = silenced.cluster.gateways()[silenced.gateway]
    host = "client-a"
    assert until(lambda: out_under(silenced.cluster, host, str(gateway["public_address"])), 20)
