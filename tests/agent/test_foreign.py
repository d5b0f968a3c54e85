"""Other programs' chains that stop what is forwarded, as the kernel's own nft lists them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from evernat.agent.kernel.foreign import dropping, tables
from evernat.agent.machine.hops import TABLE, located
from evernat.agent.values import Egress
from evernat.lab import disturbances

OWN = "table ip evernat { chain forward { type filter hook forward priority 0; policy drop; }; }"
HARMLESS = """
table inet counts { chain f { type filter hook forward priority 0; counter; }; }
table ip other { chain input { type filter hook input priority 0; policy drop; }; }
table netdev x { chain y { drop; }; }
table inet closed { chain unused { drop; }; chain f { type filter hook forward priority 5; accept; }; }
"""
MAPPED = """
table inet zones {
  chain guests { reject; }
  chain f { type filter hook forward priority 0; iifname vmap { "ens5" : jump guests }; }
}
"""


def listed(text: str) -> str:
    """Loaded into the kernel in a namespace of its own, and listed."""
    command = ["unshare", "--map-root-user", "--net", "sh", "-c", "nft -f - && nft -j list ruleset"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def disturbed(how: str) -> str:
    """What the lab's disturbance makes."""
    name, content = disturbances._FOREIGN[how]
    return f"table {name} {{\n{content}\n}}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        (OWN, []),
        (HARMLESS, []),
        (MAPPED, ["table inet zones, chain f"]),
        (disturbed("forward-drop"), ["table inet guard, chain forward"]),
        (disturbed("docker-forward"), ["table ip filter, chain FORWARD"]),
        (disturbed("firewalld-forward"), ["table inet firewalld, chain filter_FORWARD"]),
        (OWN + HARMLESS + disturbed("docker-forward"), ["table ip filter, chain FORWARD"]),
        (
            MAPPED + disturbed("forward-drop"),
            ["table inet guard, chain forward", "table inet zones, chain f"],
        ),
    ],
)
def test_who_stops_packets_is_named(text: str, names: list[str]) -> None:
    """By family, table and chain; not who only could, nor who does so elsewhere, nor we."""
    assert dropping([listed(text)]) == names


@pytest.mark.parametrize("odd", ["", "{", "[]", '{"nftables": [{"chain": 1}]}', '{"nftables": 3}', "null"])
def test_what_cannot_be_read_names_nobody(odd: str) -> None:
    """No listing, or an odd one: the check has failed all the same."""
    assert dropping([odd]) == []
    assert tables(odd) == []


def test_the_older_iptables_is_named_too() -> None:
    """nft does not show its tables; that it has the filter table is all that is known."""
    assert dropping([], "nat\nfilter\n") == ["iptables (legacy) table filter"]
    assert dropping([], "nat\n") == []


PASSES, FAILS = Egress(100.0), Egress(100.0, "beyond", "no answer")


@pytest.mark.parametrize(
    ("faults", "foreign", "own", "hop"),
    [
        ((TABLE,), ("x",), None, "own table"),
        ((), ("table ip filter, chain FORWARD",), PASSES, "foreign forward chain"),
        (("sysctl ipv4/ip_forward",), (), PASSES, "route"),
        ((), (), PASSES, "address"),
        ((), (), PASSES._replace(at=80.0), "beyond"),
        ((), (), FAILS, "beyond"),
        ((), (), None, "beyond"),
    ],
)
def test_the_nearest_hop_explains(
    faults: tuple[str, ...], foreign: tuple[str, ...], own: Egress | None, hop: str
) -> None:
    """Own table, foreign chain, routes and switches, the address, then what lies beyond; with the cause in words."""
    found = located(FAILS, faults, foreign, own)
    assert found.hop == hop
    assert all(word in found.cause for word in (*faults[:1], *(foreign if hop.startswith("foreign") else ())))


def test_what_is_known_is_left_alone() -> None:
    """A check that passed, and one that could not be made."""
    for known in (PASSES, FAILS._replace(hop="check")):
        assert located(known, (TABLE,), ("x",), None) == known


def test_a_table_with_an_owner() -> None:
    """Beside the guard's table, of which nft 1.0.6 prints no JSON, a foreign chain is found all the same."""
    program = f"""
import sys
sys.path[:] = {sys.path!r}
from evernat.agent.effects.guard import Guard
from evernat.agent.effects.nft import Nft
import subprocess, time
guard = Guard()
guard.protect(["10.0.0.1"])
for _ in range(100):
    if "evernat-guard" in subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout:
        break
    time.sleep(0.02)
subprocess.run(["sh", "-c", {disturbances.script("docker-forward")!r}], check=True)
print(Nft().foreign())
guard.close()
"""
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['table ip filter, chain FORWARD']\n"
