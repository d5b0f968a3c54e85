"""Two nodes, a client and the internet on real packets; the gateway is moved by hand."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from evernat.agent.sync import SyncProcess
from evernat.lab.fabric import Fabric
from tests.lab_fabric import support
from tests.lab_fabric.support import CLIENT, ELASTIC, NODE, NODE_2, Net

T = TypeVar("T")
A, B, HOME = "i-a", "i-b", "i-client"
ADDRESS = {A: NODE, B: NODE_2}
GATEWAY = "test"
KEY = bytes(range(32))
FORWARDED = 8080
RULES = f"""
table ip node {{
  chain in {{ type nat hook prerouting priority dstnat; ip daddr %s tcp dport {FORWARDED} dnat to {CLIENT}:80; }}
  chain out {{ type nat hook postrouting priority srcnat; ip saddr 172.18.64.0/20 snat to %s; }}
  chain forward {{ type filter hook forward priority filter; policy drop;
    ct state established,related accept; ct status dnat accept; ip saddr 172.18.64.0/20 accept; }}
}}
"""


class Pair:
    """`a` holds the gateway at first."""

    def __init__(self) -> None:
        self.net = Net(Fabric())
        self.port = 20000 + secrets.randbelow(10000)
        self.syncs: dict[str, SyncProcess] = {}
        self.logged: list[dict[str, object]] = []
        self._place(A)
        for node, address in ADDRESS.items():
            self.net.run(
                node, "sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_events=1 "
                "net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.ens5.send_redirects=0"
            )  # fmt: skip
            self.net.run(node, f"echo '{RULES % (address, address)}' | nft -f -")

    def move(self, holder: str) -> None:
        """Address and route. Nothing is forwarded meanwhile: what a node forwards before it has the address leaves with
        another one, the far end answers with a reset, and that finds its way to the client."""
        for node in ADDRESS:
            self.net.run(node, "sysctl -qw net.ipv4.ip_forward=0")
        self._place(holder)
        for node in ADDRESS:
            self.net.run(node, "sysctl -qw net.ipv4.ip_forward=1")

    def _place(self, holder: str) -> None:
        nodes = {
            node: support.eni(
                node, address, node, public=ELASTIC if node == holder else f"192.0.2.{index}", checked=False
            )
            for index, (node, address) in enumerate(ADDRESS.items(), 7)
        }
        route = [support.default_to(nodes[holder])]
        self.net.fabric.apply(support.world(*nodes.values(), support.eni("client", CLIENT, HOME), a=route))

    def start(self, node: str) -> SyncProcess:
        """The node's process, in its namespace."""
        made = self.inside(
            node, lambda: SyncProcess(KEY, self.port, node, lambda event, **more: self.logged.append(more))
        )
        self.syncs[node] = made
        return made

    def inside(self, node: str, work: Callable[[], T]) -> T:
        """What `work` gives when done in the node's namespace."""
        fabric = self.net.fabric
        return fabric._namespaces.run(fabric.netns(node), work)

    def sync(self, holder: str = A, standby: str = B) -> None:
        """Both processes, and a full copy made."""
        for node in holder, standby:
            if node not in self.syncs:
                self.start(node)
        self.syncs[holder].serve(GATEWAY, ADDRESS[standby], standby, ADDRESS[holder])
        self.syncs[standby].follow(GATEWAY, ADDRESS[holder], holder, ADDRESS[standby])
        until(lambda: self.state(holder)["synced"] and self.state(standby)["synced"])

    def state(self, node: str) -> dict[str, Any]:
        """What the node's process says about the gateway."""
        return self.syncs[node].status().get(GATEWAY, {"synced": False})

    def flows(self, node: str, options: str = "") -> set[str]:
        """What conntrack(8) shows that goes through the gateway, without the seconds left."""
        shown = self.net.run(node, f"conntrack -L {options} 2>/dev/null")
        return {_plain(line) for line in shown.splitlines() if CLIENT in line}

    def close(self) -> None:
        """Ends all."""
        for sync in self.syncs.values():
            sync.close()
        self.net.close()


def _plain(line: str) -> str:
    words = line.split()
    return " ".join(w for n, w in enumerate(words) if n != 2 and not w.startswith(("use=", "mark=")))


def until(fact: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


class Echo:
    """A TCP server that echoes, and can say something unasked to each caller."""

    def __init__(self, net: Net, where: str, port: int) -> None:
        self.socket = net.tcp_server(where, port)
        self.socket.settimeout(None)
        self.callers: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self.socket.accept()
            except OSError:
                return
            self.callers.append(one)
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        try:
            while data := one.recv(4096):
                one.sendall(data)
        except OSError:
            pass
