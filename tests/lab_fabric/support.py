"""Worlds made by hand, and namespaces that play instances: what the fabric's tests are built from."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from evernat.lab.fabric import Fabric
from evernat.lab.world import (
    Attachment,
    Eni,
    Instance,
    NatGateway,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    World,
)

EVERYTHING = Rule("-1", -1, -1, ("0.0.0.0/0",))
OPEN = SecurityGroup("sg-open", (EVERYTHING,), (EVERYTHING,))

PUBLIC, PRIVATE_A, PRIVATE_B = "subnet-public", "subnet-a", "subnet-b"
SUBNETS = (
    Subnet(PUBLIC, "172.18.128.0/20", "us-west-2a", "rtb-public"),
    Subnet(PRIVATE_A, "172.18.64.0/20", "us-west-2a", "rtb-a"),
    Subnet(PRIVATE_B, "172.18.80.0/20", "us-west-2b", "rtb-b"),
)
LOCAL = Route("172.18.0.0/16", "local")
TO_INTERNET = Route("0.0.0.0/0", "igw", "igw-1")

CLIENT, CLIENT_B, NODE, NODE_2 = "172.18.64.10", "172.18.80.10", "172.18.128.5", "172.18.128.6"
ELASTIC, ELASTIC_2, AUTO = "203.0.113.7", "203.0.113.8", "192.0.2.7"


def eni(
    name: str,
    address: str,
    instance: str = "",
    *,
    index: int = 0,
    public: str = "",
    checked: bool = True,
    groups: tuple[str, ...] = ("sg-open",),
) -> Eni:
    """An interface in the subnet that `address` is in; its MAC is made from the address."""
    subnet = {"64": PRIVATE_A, "80": PRIVATE_B, "128": PUBLIC}[address.split(".")[2]]
    return Eni(
        id=f"eni-{name}",
        mac="02:00:" + ":".join(f"{int(part):02x}" for part in address.split(".")),
        subnet_id=subnet,
        addresses=(address,),
        public=((address, public),) if public else (),
        source_dest_check=checked,
        groups=groups,
        attachment=Attachment(instance, index) if instance else None,
    )


def default_to(interface: Eni) -> Route:
    """A default route to an interface."""
    return Route("0.0.0.0/0", "eni", interface.id)


def world(
    *enis: Eni,
    a: Sequence[Route] = (),
    b: Sequence[Route] = (),
    groups: tuple[SecurityGroup, ...] = (OPEN,),
    nat: tuple[NatGateway, ...] = (),
) -> World:
    """A VPC with these interfaces and an instance for each attachment; `a` and `b` are routes besides `local`."""
    owners = {item.attachment.instance_id: item for item in enis if item.attachment}
    return World(
        region="us-west-2",
        account="123456789012",
        vpc_cidrs=("172.18.0.0/16",),
        subnets=SUBNETS,
        route_tables=(
            RouteTable("rtb-public", (LOCAL, TO_INTERNET)),
            RouteTable("rtb-a", (LOCAL, *a)),
            RouteTable("rtb-b", (LOCAL, *b)),
        ),
        groups=groups,
        enis=enis,
        nat_gateways=nat,
        instances=tuple(
            Instance(name, "running", "us-west-2a", item.subnet_id, "t4g.nano", "ami-1", item.addresses[0])
            for name, item in owners.items()
        ),
    )


def change(before: World, instance: str, **fields: object) -> World:
    """The world with some fields of one instance replaced."""
    changed = tuple(replace(item, **fields) if item.id == instance else item for item in before.instances)  # type: ignore[arg-type]
    return replace(before, instances=changed)


def with_eni(before: World, interface: str, **fields: object) -> World:
    """The world with some fields of one interface replaced."""
    changed = tuple(replace(item, **fields) if item.id == interface else item for item in before.enis)  # type: ignore[arg-type]
    return replace(before, enis=changed)


LONG, SHORT = 3.0, 0.3
"""Seconds to wait for what must come, and for what must not."""


def silent(listener: socket.socket) -> bool:
    """Whether nothing comes."""
    listener.settimeout(SHORT)
    try:
        listener.recv(9)
    except TimeoutError:
        return True
    finally:
        listener.settimeout(LONG)
    return False


@dataclass
class Net:
    """A fabric and short ways to use it. The sockets it makes stay open until it is closed."""

    fabric: Fabric
    sockets: list[socket.socket] = field(default_factory=list)

    def open(
        self,
        where: str,
        kind: int,
        address: tuple[str, int] | None = None,
        protocol: int = 0,
        wait: float = LONG,
    ) -> socket.socket:
        """A socket that waits `wait` seconds at most, bound if an address is given."""
        made = self.fabric.socket(where, socket.AF_INET, kind, protocol)
        self.sockets.append(made)
        made.settimeout(wait)
        if address:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        return made

    def raw(self, where: str, protocol: int = socket.IPPROTO_ICMP) -> socket.socket:
        """A raw socket: it receives whole packets with their headers."""
        return self.open(where, socket.SOCK_RAW, protocol=protocol)

    def close(self) -> None:
        """The sockets, then the fabric."""
        for made in self.sockets:
            made.close()
        self.fabric.close()

    def run(self, where: str, command: str) -> str:
        """What a shell command says inside a place or instance, errors included."""
        process = self.fabric.spawn(
            where, ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = process.communicate(timeout=20)
        return output.decode()

    def pings(self, where: str, address: str, options: str = "", wait: float = LONG) -> bool:
        """Whether an echo comes back."""
        said = self.run(where, f"ping -n -c1 -W{wait} {options} {address} >/dev/null 2>&1 && echo yes")
        return said == "yes\n"

    def mute(self, where: str, address: str) -> bool:
        """Whether no echo comes back."""
        return not self.pings(where, address, wait=SHORT)

    def udp(self, where: str, address: str = "0.0.0.0", port: int = 0) -> socket.socket:
        """A bound UDP socket."""
        return self.open(where, socket.SOCK_DGRAM, (address, port))

    def tcp_server(self, where: str, port: int, address: str = "0.0.0.0") -> socket.socket:
        """A listening TCP socket."""
        made = self.open(where, socket.SOCK_STREAM, (address, port))
        made.listen()
        return made

    def tcp(self, where: str, address: str, port: int) -> socket.socket:
        """A connected TCP socket; TimeoutError if it does not come about."""
        made = self.open(where, socket.SOCK_STREAM)
        made.connect((address, port))
        return made

    def connects(self, where: str, address: str, port: int, wait: float = LONG) -> bool:
        """Whether a TCP connection comes about."""
        made = self.open(where, socket.SOCK_STREAM, wait=wait)
        try:
            made.connect((address, port))
        except TimeoutError:
            return False
        return True

    def blocked(self, where: str, address: str, port: int) -> bool:
        """Whether no TCP connection comes about, not even an answer."""
        return not self.connects(where, address, port, SHORT)

    def translate(self, instance: str, address: str) -> None:
        """Makes an instance a plain NAT node, the least that is one."""
        self.run(
            instance,
            "echo 1 > /proc/sys/net/ipv4/ip_forward;"
            "nft add table ip node;"
            "nft 'add chain ip node out { type nat hook postrouting priority srcnat; }';"
            f"nft add rule ip node out snat to {address}",
        )

    def dropped(self, reason: str) -> int:
        """The router's counter."""
        return self.fabric.counters()[reason]
