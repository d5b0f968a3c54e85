"""A node's kernel alone, on real packets: namespaces joined as in a VPC, into which a test loads rules.

```
 client  172.18.64.10 --+
 other   172.18.64.11 --+-- router -- outside   198.51.100.10, 1.1.1.1
 node    172.18.128.20 -+     |
   |                          every packet of either direction visits the node by its one interface
   +-- evernat0 = evernat1 check   169.254.82.2, .10, .11
```

The router checks no source and translates nothing, so the outside may forge what it likes.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator

from evernat.agent import contract
from evernat.lab.fabric.namespaces import Namespaces

CLIENT, OTHER, OUTSIDE, PLACE = "172.18.64.10", "172.18.64.11", "198.51.100.10", "1.1.1.1"
NODE, SECOND = "172.18.128.20", "172.18.128.21"
LINK = "ens5"

_NET = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"


def _host(router: str, *addresses: str) -> str:
    added = "; ".join(f"ip addr add {address}/32 dev eth0" for address in addresses)
    route = f"ip route add {router} dev eth0; ip route add default via {router} src {addresses[0]}"
    return f"ip link set lo up; ip link set eth0 up; {added}; {route}"


SETUP = {
    "router": f"""
        {_NET}; ip link set lo up
        for each in client other outside node; do ip link set $each up; done
        ip addr add 172.18.64.1/32 dev client; ip addr add 172.18.64.2/32 dev other
        ip addr add 198.51.100.1/32 dev outside; ip addr add 172.18.128.1/24 dev node
        ip route add {CLIENT} dev client; ip route add {OTHER} dev other; ip route add {OUTSIDE} dev outside
        ip route add default via {NODE} dev node table 7
        for each in client other; do
          ip rule add iif $each to 172.18.0.0/16 lookup main priority 6; ip rule add iif $each lookup 7 priority 7
        done
        ip route add {PLACE} via {OUTSIDE} dev outside; ip route add default via {OUTSIDE} dev outside""",
    "client": _host("172.18.64.1", CLIENT),
    "other": _host("172.18.64.2", OTHER),
    "outside": _host("198.51.100.1", OUTSIDE, PLACE) + "; sysctl -qw net.ipv4.ip_nonlocal_bind=1",
    "node": f"""
        {_NET}; ip link set lo up; ip addr add {NODE}/24 dev {LINK}; ip addr add {SECOND}/32 dev {LINK}
        sysctl -qw net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.{LINK}.send_redirects=0
        ip link set {LINK} up; ip route add default via 172.18.128.1
        ip addr add {contract.NODE}/24 dev {contract.LINK}; ip link set {contract.LINK} up""",
    "check": f"""
        for each in 2 10 11; do ip addr add 169.254.82.$each/24 dev {contract.INSIDE}; done
        ip link set {contract.INSIDE} up; ip route add default via {contract.NODE}""",
}


class Net:
    """The namespaces, and what runs in them."""

    def __init__(self) -> None:
        self.namespaces = Namespaces()
        self.places = {name: self.namespaces.create() for name in SETUP}
        for far, device in (("client", "eth0"), ("other", "eth0"), ("outside", "eth0"), ("node", LINK)):
            self._cable("router", far, far, device)
        self._cable("node", contract.LINK, "check", contract.INSIDE)
        for name, script in SETUP.items():
            self.run(name, script)

    def _cable(self, near: str, device: str, far: str, other: str) -> None:
        peer = f"peer name {other} netns /proc/self/fd/{self.places[far]}"
        self.run(near, f"ip link add {device} type veth {peer}")

    def run(self, place: str, script: str, text: str = "", check: bool = True) -> str:
        """What a shell script says in a place; an AssertionError when it fails, unless `check` is off."""
        made = self.namespaces.spawn(
            self.places[place],
            ["sh", "-ec", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=list(self.places.values()),
        )
        said = made.communicate(text.encode(), timeout=60)[0].decode()
        assert not (check and made.returncode), f"{place}: {said}"
        return said

    def load(self, text: str) -> None:
        """Load rules on the node."""
        self.run("node", "nft -f -", text)

    def socket(self, place: str, kind: int = socket.SOCK_STREAM, timeout: float = 3.0) -> socket.socket:
        """A socket of a place."""
        made = self.namespaces.socket(self.places[place], socket.AF_INET, kind)
        made.settimeout(timeout)
        return made

    @contextlib.contextmanager
    def server(self, place: str, port: int, address: str = "") -> Iterator[None]:
        """A TCP server that says to each caller who it is, then echoes."""
        listener = self.socket(place)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.settimeout(None)
        listener.bind((address, port))
        listener.listen(4096)
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def call(self, place: str, address: str, port: int, source: str = "", timeout: float = 1.0) -> str:
        """Who a server sees when it is called from a place; why not, when it does not answer."""
        with self.socket(place, timeout=timeout) as made:
            try:
                if source:
                    made.bind((source, 0))
                made.connect((address, port))
                return made.recv(100).decode().strip()
            except OSError as error:
                return type(error).__name__

    def close(self) -> None:
        """End it all."""
        for descriptor in self.places.values():
            os.close(descriptor)
        self.namespaces.close()


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            made, (caller, _) = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(made, caller), daemon=True).start()


def _serve(made: socket.socket, caller: str) -> None:
    with contextlib.suppress(OSError), made:
        made.sendall(f"{caller}\n".encode())
        while data := made.recv(4096):
            made.sendall(data)
