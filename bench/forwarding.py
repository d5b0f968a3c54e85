"""Throughput and packets per second through a node's ruleset, beside plain forwarding and a masquerade rule.

    source ── router ── sink
                │
               node

As in a VPC, every packet of either direction visits the node by the one interface it has. Between measurements only the
node's ruleset changes; ratios are of rounds taken in turn.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.figure import Figure, median
from evernat.agent import ruleset
from evernat.agent.model import Gateway
from evernat.lab.fabric.namespaces import Namespaces

ROUNDS, SECONDS = 5, 2
SOURCE, SINK, NODE = "192.168.71.2", "192.168.72.2", "192.168.73.2"
MASQUERADE = """
table ip peer {
  chain postrouting { type nat hook postrouting priority srcnat; ip saddr 192.168.71.0/24 masquerade; }
}
"""


def run() -> list[Figure]:
    """Both measures, each for the three rulesets."""
    with _bench() as (spawn, load):
        rulesets = {
            "plain": "flush ruleset",
            "evernat": "flush ruleset\n" + _ours(),
            "masquerade": "flush ruleset\n" + MASQUERADE,
        }
        bulk: dict[str, list[float]] = {name: [] for name in rulesets}
        small: dict[str, list[float]] = {name: [] for name in rulesets}
        for _ in range(ROUNDS):
            for name, text in rulesets.items():
                load(text)
                bulk[name].append(_iperf(spawn)["sum_received"]["bits_per_second"] / 1e9)
                answer = _iperf(spawn, "-u", "-b", "0", "-l", "64")["sum"]
                small[name].append(
                    answer["packets"] * (1 - answer["lost_percent"] / 100) / answer["seconds"] / 1e3
                )
    on = f"4 namespaces, {ROUNDS} rounds of {SECONDS} s, medians"
    return [
        *(_figure("bulk TCP", "Gbit/s", bulk, name, on) for name in rulesets),
        *(_figure("64-byte UDP", "kpackets/s", small, name, on) for name in rulesets),
    ]


def _figure(what: str, unit: str, found: dict[str, list[float]], name: str, on: str) -> Figure:
    ratio = median([mine / plain for mine, plain in zip(found[name], found["plain"], strict=True)])
    return Figure(
        f"{what}, {name}", f"{median(found[name]):.1f} {unit} ({ratio:.2f} of plain forwarding)", on=on
    )


def _ours() -> str:
    gateway = Gateway("eth0", NODE, "192.168.73.0/24")
    return ruleset.table(gateway, ["192.168.71.0/24"], frozenset(), flowtable=False)


Spawn = Callable[..., "subprocess.Popen[bytes]"]


def _iperf(spawn: Spawn, *words: str) -> dict[str, dict[str, float]]:
    process = spawn(
        "source", ["iperf3", "-J", "-c", SINK, "-t", str(SECONDS), *words], stdout=subprocess.PIPE
    )
    out, _ = process.communicate(timeout=SECONDS + 20)
    answer = json.loads(out)
    if "error" in answer:
        raise RuntimeError(f"iperf3: {answer['error']}")
    return dict(answer["end"])


SETUP = {
    "router": f"""
        ip addr add 192.168.71.1/24 dev source; ip addr add 192.168.72.1/24 dev sink
        ip addr add 192.168.73.1/24 dev node
        ip route add default via {NODE} dev node table 7
        ip rule add iif source lookup 7; ip rule add iif sink to 192.168.71.0/24 lookup 7
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0""",
    "source": f"ip addr add {SOURCE}/24 dev eth0; ip route add default via 192.168.71.1",
    "sink": f"ip addr add {SINK}/24 dev eth0; ip route add default via 192.168.72.1",
    "node": f"""
        ip addr add {NODE}/24 dev eth0; ip route add default via 192.168.73.1
        sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.eth0.send_redirects=0
        sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1 || true""",
}


@contextmanager
def _bench() -> Iterator[tuple[Spawn, Callable[[str], None]]]:
    """Gives a way to start programs in the namespaces, and one to load a ruleset on the node."""
    namespaces = Namespaces()
    places = {name: namespaces.create() for name in SETUP}

    def spawn(place: str, command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return namespaces.spawn(places[place], command, **options)

    def do(place: str, command: list[str], text: str = "") -> None:
        process = spawn(place, command, stdin=subprocess.PIPE, pass_fds=list(places.values()))
        process.communicate(text.encode())
        if process.returncode:
            raise RuntimeError(f"{command} failed in {place}")

    for far in ("source", "sink", "node"):
        peer = ["peer", "name", "eth0", "mtu", "1500", "netns", f"/proc/self/fd/{places[far]}"]
        do("router", ["ip", "link", "add", far, "mtu", "1500", "type", "veth", *peer])
        do("router", ["ip", "link", "set", far, "up"])
        do(far, ["ip", "link", "set", "eth0", "up"])
    for place, commands in SETUP.items():
        do(place, ["sh", "-ec", "ip link set lo up\n" + commands])
    server = spawn("sink", ["iperf3", "-s"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    try:
        yield spawn, lambda text: do("node", ["nft", "-f", "-"], text)
    finally:
        server.kill()
        server.wait()
        for fd in places.values():
            os.close(fd)
        namespaces.close()
