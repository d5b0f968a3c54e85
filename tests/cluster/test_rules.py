"""The rules of a cluster node, in a kernel's own words."""

from __future__ import annotations

import subprocess

import pytest

from evernat.agent.cluster_model import Gateway, Rules
from evernat.agent.common import Forward
from evernat.agent.rules import table

FORWARDS = (
    Forward("tcp", (8080, 8080), "172.18.64.10", 80, ("198.51.100.0/24",)),
    Forward("udp", (7000, 7009), "name:web", 7000, ("0.0.0.0/0",)),
)
HOME = Gateway("home", "eipalloc-1", "a", "b", {"a": 0, "b": 1}, (), ("172.18.64.0/20",), FORWARDS)
NEXT = Gateway("next", "eipalloc-2", "b", "a", {"b": 0, "a": 1}, (), ("172.18.80.0/20", "172.18.80.0/24"))
ADDRESSES = {"home": "172.18.128.20", "next": "172.18.128.21"}
TARGETS = frozenset({("name:web", "172.18.64.11")})


def render(*opened: str, members: frozenset[str] = frozenset()) -> str:
    return table([HOME, NEXT], ADDRESSES, Rules(frozenset(opened), TARGETS, members), 4817, "lo", False)


def loaded(text: str) -> str:
    """What the kernel lists after it took the text twice, in a network of its own."""
    done = subprocess.run(
        [
            "unshare",
            "-n",
            "sh",
            "-c",
            't=$(cat); for i in 1 2; do echo "$t" | nft -f - || exit 1; done; nft list ruleset',
        ],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.packets
def test_each_gateway_has_its_own_address() -> None:
    """Clients of both gateways go out as the private address that stands for theirs."""
    shown = loaded(render("home", "next", members=frozenset({"172.18.144.20"})))
    assert "ip saddr 172.18.64.0/20 snat to 172.18.128.20" in shown
    assert "ip saddr 172.18.80.0/20 snat to 172.18.128.21" in shown
    assert "dnat to 172.18.64.10:80" in shown
    assert "udp dport 7000-7009 dnat to 172.18.64.11" in shown


@pytest.mark.packets
def test_resets_are_kept_from_the_clients_of_who_may_have_lost_the_address() -> None:
    """Closed or in doubt: a reset is not for the client. Clients of a gateway that is surely here get theirs."""
    guard = "ip daddr {} tcp flags rst drop"
    home, other = guard.format(ADDRESSES["home"]), guard.format(ADDRESSES["next"])
    shown = loaded(render("home"))
    assert (home in shown, other in shown) == (False, True)
    doubt = Rules(frozenset({"home", "next"}), contested=frozenset({"home"}))
    shown = loaded(table([HOME, NEXT], ADDRESSES, doubt, 4817, "lo", False))
    assert (home in shown, other in shown) == (True, False)
    assert "priority raw" in shown[: shown.index(home)].splitlines()[-2]


@pytest.mark.packets
def test_in_what_is_ending_nothing_begins() -> None:
    """Of a gateway that is handed over the established flows go on, new ones of either direction do not begin."""
    ending = frozenset({"home"})
    rules = Rules(frozenset({"home", "next"}), TARGETS, contested=ending, ending=ending)
    shown = loaded(table([HOME, NEXT], ADDRESSES, rules, 4817, "lo", False))
    for new in ("ip saddr {} ct state new accept", "ip saddr {} snat to"):
        home, other = new.format("172.18.64.0/20"), new.format("172.18.80.0/20")
        assert (home in shown, other in shown) == ("snat" in new, True)
    assert "dnat to 172.18.64" not in shown
    assert "ip saddr 172.18.64.0/20 drop" not in shown


@pytest.mark.packets
def test_closed_lets_no_client_out() -> None:
    """A closed gateway's clients are dropped before anything established is let through, the open one's are not."""
    shown = loaded(render("home"))
    forward = shown[shown.index("chain forward") : shown.index("chain input")]
    assert forward.index("ip saddr 172.18.80.0/20 drop") < forward.index("established")
    assert "ip saddr 172.18.64.0/20 drop" not in forward
    assert "ip saddr 172.18.80.0/20 snat" not in shown


@pytest.mark.packets
def test_only_members_beat() -> None:
    """The members' port is open to members; clients get a trickle of it, nobody else any."""
    shown = loaded(render(members=frozenset({"172.18.144.20"})))
    chain = shown[shown.index("chain input") :]
    member = chain.index("ip saddr 172.18.144.20 meta l4proto { tcp, udp } th dport 4817 accept")
    trickle = chain.index("udp dport 4817 limit rate 20/second")
    assert member < trickle < chain.index("th dport 4817 drop") < chain.index("meta l4proto icmp")
