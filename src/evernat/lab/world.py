"""What the lab's cloud looks like at one moment, as plain values.

The cloud (`lab.cloud`) makes a `World` after every API call that changed something; the fabric, the
computers and the metadata service each bring themselves in line with it and keep no opinion of their own.
Faults ("pull the plug", "cut the cable") are fields here too, so one value tells everything.

All addresses are strings in dotted form, all CIDRs strings in prefix form, all ids are AWS ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

TargetKind = Literal["local", "eni", "igw", "nat", "blackhole"]
InstanceState = Literal["pending", "running", "shutting-down", "terminated", "stopping", "stopped"]


@dataclass(frozen=True)
class Subnet:
    """One subnet and the route table in force for it (explicit association, or the VPC's main table)."""

    id: str
    cidr: str
    zone: str
    route_table_id: str


@dataclass(frozen=True)
class Route:
    """One route. `target_id` is an eni-, igw- or nat- id, empty for `local` and `blackhole`."""

    destination: str
    kind: TargetKind
    target_id: str = ""


@dataclass(frozen=True)
class RouteTable:
    """A route table; the routes need no order, the longest prefix wins."""

    id: str
    routes: tuple[Route, ...]


@dataclass(frozen=True)
class Rule:
    """One security group permission.

    `protocol` is "-1" (all), "tcp", "udp", "icmp" or a number as text. Ports are inclusive; for icmp they are type and
    code (-1: any); for "-1" both are -1. Any of `cidrs` or the addresses of any of `groups` match.
    """

    protocol: str
    from_port: int
    to_port: int
    cidrs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class SecurityGroup:
    """A security group."""

    id: str
    ingress: tuple[Rule, ...]
    egress: tuple[Rule, ...]


@dataclass(frozen=True)
class Attachment:
    """Where an interface is plugged in. Device index 0 is the primary interface."""

    instance_id: str
    device_index: int


@dataclass(frozen=True)
class Eni:
    """A network interface. `addresses` has the primary private address first; `public` maps private to public."""

    id: str
    mac: str
    subnet_id: str
    addresses: tuple[str, ...]
    public: tuple[tuple[str, str], ...] = ()
    source_dest_check: bool = True
    groups: tuple[str, ...] = ()
    attachment: Attachment | None = None


@dataclass(frozen=True)
class NatGateway:
    """A managed NAT gateway (only one that is available)."""

    id: str
    subnet_id: str
    private_address: str
    public_address: str


@dataclass(frozen=True)
class Instance:
    """An instance that is not terminated.

    `powered` is whether the machine behind it runs: it follows the state, and a pulled plug makes it False while the
    state still says running. `connected` False: all its cables are cut. `boots` counts boots: when it grows the machine
    starts anew with the same files and nothing of its kernel's memory. `host` is a name for the lab's own hosts
    (client-a ...), which have services of the lab and boot no user data; empty for all others.
    """

    id: str
    state: InstanceState
    zone: str
    subnet_id: str
    instance_type: str
    image_id: str
    private_address: str
    boots: int = 1
    powered: bool = True
    connected: bool = True
    lossy: int = 0
    """Of a thousand packets on its cables so many are lost."""
    parted: int = 0
    """Of a thousand packets between it and other instances (hosts of the lab aside) so many are lost."""
    host: str = ""
    user_data: bytes = b""
    tags: tuple[tuple[str, str], ...] = ()
    tags_in_metadata: bool = False
    metadata_hop_limit: int = 1
    profile_arn: str = ""
    role_name: str = ""
    spot: bool = False
    spot_action: tuple[str, str] | None = None
    """("terminate", ISO time) once an interruption notice was given."""
    rebalance: str = ""
    """ISO time of a rebalance recommendation."""


@dataclass(frozen=True)
class Unreachable:
    """Something outside the VPC between which and somebody nothing passes, in both directions.

    `what`: "api" (the AWS API), "checkip", "places" (everything outside but these two), "internet" (everything outside
    but the API), or an IPv4 address. `instance`: for whom, empty for everybody. `interface`: only through this
    interface of the instance, empty for all of them.
    """

    what: str
    instance: str = ""
    interface: str = ""


@dataclass(frozen=True)
class World:
    """Everything the fabric, the computers and the metadata service need, at one moment."""

    region: str
    account: str
    vpc_cidrs: tuple[str, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    groups: tuple[SecurityGroup, ...] = ()
    enis: tuple[Eni, ...] = ()
    nat_gateways: tuple[NatGateway, ...] = ()
    instances: tuple[Instance, ...] = ()
    unreachable: tuple[Unreachable, ...] = ()
    generation: int = field(default=0, compare=False)
