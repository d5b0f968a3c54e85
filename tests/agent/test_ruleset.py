"""The nftables text and the routes, loaded into a real kernel."""

from __future__ import annotations

import json
import subprocess

import pytest

from evernat.agent import routing, ruleset, sysctls
from evernat.agent.common import Forward
from evernat.agent.model import Element, Gateway

GATEWAY = Gateway("lo", "172.18.128.50", "172.18.128.0/20")
CLIENTS = ("172.18.64.0/20", "172.18.80.0/20", "172.18.64.0/24")
ANY = ("0.0.0.0/0",)
FORWARDS = (
    Forward("tcp", (8080, 8080), "172.18.64.10", 80, ANY),
    Forward("udp", (5000, 5002), "172.18.64.10", 6000, ANY),
    Forward("tcp", (9000, 9999), "name:web", 9000, ("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24")),
)


def kernel(script: str, text: str = "") -> str:
    """What a shell script says in a network namespace of its own."""
    done = subprocess.run(
        ["unshare", "-rn", "sh", "-ec", script], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_elements() -> None:
    """A port that stays is one element, a shifted range one per port; sources do not overlap."""
    assert ruleset.elements(FORWARDS, {"name:web": "172.18.80.10"}) == {
        Element("move", "0.0.0.0/0 . tcp . 8080", "172.18.64.10 . 80"),
        Element("move", "0.0.0.0/0 . udp . 5000", "172.18.64.10 . 6000"),
        Element("move", "0.0.0.0/0 . udp . 5001", "172.18.64.10 . 6001"),
        Element("move", "0.0.0.0/0 . udp . 5002", "172.18.64.10 . 6002"),
        Element("keep", "10.0.0.0/8 . tcp . 9000-9999", "172.18.80.10"),
        Element("keep", "192.0.2.0/24 . tcp . 9000-9999", "172.18.80.10"),
    }


def test_a_target_that_is_not_known_closes_its_forward() -> None:
    """No address, no element."""
    assert not [e for e in ruleset.elements(FORWARDS, {}) if e.map == "keep"]


def test_the_kernel_takes_the_table() -> None:
    """The table loads, twice over too, in one transaction, and has the elements; overlapping clients are merged."""
    text = ruleset.table(GATEWAY, CLIENTS, ruleset.elements(FORWARDS, {"name:web": "172.18.80.10"}), False)
    load = 'echo "$table" | nft -f -'
    shown = kernel(f"table=$(cat); {load}; {load}; nft -j list ruleset", text)
    items = json.loads(shown)["nftables"]
    (clients,) = (i["set"]["elem"] for i in items if i.get("set", {}).get("name") == "clients")
    assert clients == [{"prefix": {"addr": "172.18.64.0", "len": 19}}]
    sizes = {item["map"]["name"]: len(item["map"]["elem"]) for item in items if "map" in item}
    assert sizes == {"move": 4, "keep": 2}


def test_an_update_touches_only_what_changed() -> None:
    """Between two targets only the elements of that forward are deleted and added."""
    old = ruleset.elements(FORWARDS, {"name:web": "172.18.80.10"})
    new = ruleset.elements(FORWARDS, {"name:web": "172.18.80.11"})
    lines = ruleset.update(old, new).splitlines()
    assert lines == [
        "delete element ip evernat keep { 10.0.0.0/8 . tcp . 9000-9999 }",
        "delete element ip evernat keep { 192.0.2.0/24 . tcp . 9000-9999 }",
        "add element ip evernat keep { 10.0.0.0/8 . tcp . 9000-9999 : 172.18.80.11 }",
        "add element ip evernat keep { 192.0.2.0/24 . tcp . 9000-9999 : 172.18.80.11 }",
    ]
    first = ruleset.table(GATEWAY, CLIENTS, old, False)
    shown = kernel("nft -f -; nft list map ip evernat keep", first + ruleset.update(old, new))
    assert "172.18.80.11" in shown
    assert "172.18.80.10" not in shown


def test_a_flowtable_is_asked_for() -> None:
    """With a flowtable the same table has one on the gateway's device, and established TCP and UDP go there."""
    text = ruleset.table(GATEWAY, CLIENTS, frozenset(), True)
    assert 'devices = { "lo" }' in text
    assert "ct state established ct status assured meta l4proto { tcp, udp } flow add @fast" in text


PAIR = "ip link add gw0 type veth peer name gw1; ip link set gw1 up; ip link set gw0 up"
DEVICE = Gateway("gw0", "172.18.128.50", "172.18.128.0/20")


def shown(before: str) -> str:
    """What `routing` reads, after some `ip` commands."""
    return kernel(f"{PAIR}\n{before}\nip -4 -force -batch - || true", routing.show(DEVICE))


def test_routing_converges() -> None:
    """The commands remove every fault they were made from, and made anew from the result they do no harm."""
    bare = shown("")
    assert len(routing.faults(bare, DEVICE)) == 9
    fix = routing.commands(bare, DEVICE)
    after = shown(f"ip -4 -batch - <<EOF\n{fix}EOF")
    assert routing.faults(after, DEVICE) == []
    again = routing.commands(after, DEVICE)
    assert routing.faults(shown(f"ip -4 -batch - <<EOF\n{fix}{again}EOF"), DEVICE) == []


def test_routing_removes_what_is_of_yesterday() -> None:
    """Rules for another device or address at our priority are a fault, and go."""
    stray = "ip rule add priority 9000 iif old0 lookup 9000; ip rule add priority 9000 from 192.0.2.1 lookup 9000\n"
    before = shown(stray)
    assert "stray 9000: from all iif old0 lookup 9000" in routing.faults(before, DEVICE)
    fix = routing.commands(before, DEVICE)
    assert routing.faults(shown(f"{stray}ip -4 -batch - <<EOF\n{fix}EOF"), DEVICE) == []


def test_the_instance_keeps_its_routes() -> None:
    """The main table is the same before and after."""
    fix = routing.commands(shown(""), DEVICE)
    setup = (
        "ip link add eth0 type veth peer name eth1; ip link set eth1 up; ip address add 172.18.128.5/20 dev eth0; "
        f"ip link set eth0 up; ip route add default via 172.18.128.1; {PAIR}; ip route"
    )
    before, after = kernel(f"{setup}; echo ---; ip -4 -batch -; ip route", fix).split("---\n")
    assert before == after


@pytest.mark.parametrize("pages", [131_072, 1 << 26])
def test_conntrack_grows_with_memory(pages: int) -> None:
    """A tenth of the memory for connections, at most a million."""
    assert sysctls.should(pages)["netfilter/nf_conntrack_max"] == str(min(pages, 1 << 20))


def test_silence_and_fragments_are_bounded() -> None:
    """A silent connection goes after the hour or what the user says; fragments wait for seconds, in more memory."""
    found = sysctls.should(131_072, 350)
    assert found["netfilter/nf_conntrack_tcp_timeout_established"] == "350"
    assert sysctls.should(1)["netfilter/nf_conntrack_tcp_timeout_established"] == "3600"
    assert [found[f"ipv4/ipfrag_{name}"] for name in ("high_thresh", "low_thresh", "time")] == [
        "16777216",
        "12582912",
        "2",
    ]
    assert sysctls.should(1)["ipv4/ipfrag_high_thresh"] == "4194304"
