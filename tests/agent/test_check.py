"""The egress check's packets: a client's way through the rules, before clients have it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evernat.agent import contract, rules, ruleset
from evernat.agent.cluster_model import Gateway, Rules
from evernat.agent.model import Gateway as Interface
from tests.agent.packets import LINK, NODE, PLACE, SECOND, Net

pytestmark = pytest.mark.packets

CLIENTS = ("172.18.64.0/24",)
HOME = Gateway("home", "eipalloc-1", "a", "b", {"a": 0, "b": 1}, (), CLIENTS)
NEXT = Gateway("next", "eipalloc-2", "b", "a", {"b": 0, "a": 1}, (), ("172.18.80.0/20",))
OWN, FIRST, SECOND_CHECK = contract.OWN, contract.client(0), contract.client(1)


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    with made.server("outside", 443):
        yield made
    made.close()


def pair(rules_of: Rules) -> str:
    addresses = {"home": NODE, "next": SECOND}
    return rules.table([HOME, NEXT], addresses, rules_of, 4817, LINK, False, NODE)


@pytest.mark.parametrize("opened", [frozenset(), frozenset({"home", "next"})])
def test_a_pairs_check_leaves_as_its_gateway(net: Net, opened: frozenset[str]) -> None:
    """Open or closed to clients, the check of each gateway has the gateway's address, that of the node the node's."""
    net.load(pair(Rules(opened)))
    seen = [net.call("check", PLACE, 443, source) for source in (OWN, FIRST, SECOND_CHECK)]
    assert seen == [NODE, NODE, SECOND]
    assert net.call("client", PLACE, 443) == (NODE if opened else "TimeoutError")


def test_a_singles_check_leaves_as_its_gateway(net: Net) -> None:
    """So does a single's: as the gateway's address, and as the node's own where it leaves by another interface."""
    net.load(ruleset.table(Interface(LINK, SECOND, "172.18.128.0/24"), CLIENTS, frozenset(), False))
    assert [net.call("check", PLACE, 443, source) for source in (FIRST, OWN)] == [SECOND, NODE]


@pytest.mark.parametrize("chain", ["forward priority 10", "forward priority -10", "postrouting priority 10"])
def test_what_stops_clients_stops_the_check(net: Net, chain: str) -> None:
    """A foreign chain in the forward hook, or behind it, drops the check's packets like everybody's."""
    net.load(pair(Rules(frozenset({"home", "next"}))))
    net.load(f"table ip foreign {{\n chain it {{\n type filter hook {chain}; policy drop;\n }}\n}}\n")
    for source in (OWN, FIRST, SECOND_CHECK):
        assert net.call("check", PLACE, 443, source, timeout=0.3) == "TimeoutError"


def test_nobody_else_is_the_check(net: Net) -> None:
    """Its addresses count from its own device alone: a client that uses one gets nowhere."""
    net.load(pair(Rules()))
    net.run("client", f"ip addr add {FIRST}/32 dev eth0")
    net.run("router", f"ip route add {FIRST} dev client")
    assert net.call("client", PLACE, 443, FIRST, timeout=0.3) == "TimeoutError"
