"""What the user writes: one gateway, as in `evernat.toml`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from evernat.agent.contract import PLACES
from evernat.bundle.text import unfit
from evernat.stack.names import SLOTS
from evernat.text import printable

LONGEST_TAG = 256
"""Characters of a tag's value (EC2 user guide, tag restrictions)."""


def _network(text: str) -> str:
    try:
        return str(ipaddress.IPv4Network(text))
    except ValueError as problem:
        raise ValueError(f"is not an IPv4 network in prefix form: {problem}") from None


def _ports(value: int | str) -> str:
    first, last = port_range(value)
    return str(first) if first == last else f"{first}-{last}"


def _printable(text: str) -> str:
    if not printable(text):
        raise ValueError("has a character that does not print, or ends a line")
    return text


def _target(text: str) -> str:
    name = text.removeprefix("name:")
    if re.fullmatch(r"i-[0-9a-f]+", text) or (name != text and 1 <= len(name) <= LONGEST_TAG):
        return _printable(text)
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(
            f"is neither an IPv4 address, nor an instance id (i-...), "
            f"nor name:<Name tag> of 1 to {LONGEST_TAG} characters"
        ) from None


def _place(text: str) -> str:
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError("is not an IPv4 address and a TCP port, such as 192.0.2.1:443") from None
    first, last = port_range(port)
    if first != last or address.is_loopback or address.is_link_local or address.is_multicast:
        raise ValueError("is not a port of a host on the internet, such as 192.0.2.1:443")
    return f"{address}:{first}"


def port_range(value: int | str) -> tuple[int, int]:
    """(first, last) of `8080` or `"8000-8010"`. Raises ValueError."""
    first, _, last = str(value).partition("-")
    if not first.strip().isdecimal() or not (last or first).strip().isdecimal():
        raise ValueError("is neither a port nor a range such as 8000-8010")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise ValueError("must be from 1 to 65535, the first not above the last")
    return low, high


Printable = Annotated[str, AfterValidator(_printable)]
Cidr = Annotated[str, AfterValidator(_network)]
Place = Annotated[str, AfterValidator(_place)]
Ports = Annotated[int | str, AfterValidator(_ports)]
Target = Annotated[str, AfterValidator(_target)]
SubnetId = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]+$")]
RouteTableId = Annotated[str, Field(pattern=r"^rtb-[0-9a-f]+$")]
InstanceType = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.[a-z0-9-]+$")]

Slot = Annotated[str, Field(pattern=f"^[{SLOTS[0]}-{SLOTS[-1]}]$")]

NODES = {"single": (1, 1), "pair": (1, 2), "ring": (2, len(SLOTS))}
"""Fewest and most public subnets of a topology."""

STRICT = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RootVolume(BaseModel):
    """The node's disk."""

    model_config = STRICT

    size: Annotated[int, Field(strict=True, ge=1, le=16384)] | None = None
    """GiB; the image's own size when left out."""
    encrypted: Annotated[bool, Field(strict=True)] = True
    """Encrypt the volume with the account's default key for EBS."""


class PortForward(BaseModel):
    """Connections to the gateway's public address that are passed on to a machine on the private side."""

    model_config = STRICT

    protocol: Literal["tcp", "udp"] = "tcp"
    """tcp or udp."""
    port: Ports
    """A port, or a range such as "8000-8010"."""
    target: Target
    """An address, an instance id, or name:web for the instance whose Name tag is web."""
    target_port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = None
    """The port there, for a range its first; the same when left out."""
    sources: tuple[Cidr, ...] = Field(default=("0.0.0.0/0",), min_length=1)
    """Who may connect."""
    slot: Slot | None = None
    """In a ring, which gateway's address takes the connections; left out: that of the target's zone."""

    @property
    def ports(self) -> tuple[int, int]:
        """First and last port."""
        return port_range(self.port)

    def for_node(self) -> dict[str, Any]:
        """Fields of `bundle.PortForward`."""
        first, last = self.ports
        return {
            "protocol": self.protocol,
            "ports": [first, last],
            "target": self.target,
            "target_port": self.target_port or first,
            "sources": list(self.sources),
        }

    @model_validator(mode="after")
    def _range_fits(self) -> PortForward:
        first, last = self.ports
        if (self.target_port or first) + last - first > 65535:
            raise ValueError("the range does not fit above target_port")
        return self


class NodeIngress(BaseModel):
    """What may reach the nodes themselves, besides what clients and members need."""

    model_config = STRICT

    protocol: Literal["tcp", "udp", "icmp"] = "tcp"
    """tcp, udp or icmp."""
    port: Ports | None = None
    """A port of the node, or a range such as "8000-8010"; none for icmp."""
    sources: tuple[Cidr, ...] = Field(min_length=1)
    """Who may connect."""

    @property
    def range(self) -> tuple[int, int]:
        """First and last port; for icmp every type and code."""
        return port_range(self.port) if self.port else (-1, -1)

    @model_validator(mode="after")
    def _port_fits(self) -> NodeIngress:
        if (self.port is None) != (self.protocol == "icmp"):
            raise ValueError("needs a port for tcp and udp, and takes none for icmp")
        return self


class Gateway(BaseModel):
    """One gateway for the private subnets of a VPC: a fixed public address on nodes that heal."""

    model_config = STRICT

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    """Name of the stack, unique per account and region: a small letter, then up to 30 small letters, digits or -."""
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d+$")] | None = None
    """AWS region; --region wins, and without both the environment or the profile says it."""
    topology: Literal["single", "pair", "ring"] = "single"
    """single: one gateway, one node; pair: one gateway, two nodes; ring: in each zone a gateway and a node."""
    identity: Literal["eni", "address"] | None = None
    """What moves to another node: eni (an interface; single only, its default) or address (Elastic IP and routes)."""
    node_address: Literal["own", "shared"] | None = None
    """own: a node keeps its public address beside the gateway's (default of a pair); shared: that takes its place."""
    vpc_id: Annotated[str, Field(pattern=r"^vpc-[0-9a-f]+$")]
    """The VPC."""
    public_subnets: tuple[SubnetId, ...] = Field(default=(), max_length=len(SLOTS))
    """Where nodes live: subnets with a route to an internet gateway, one or two for a pair, one per zone of a ring."""
    public_subnet: Annotated[str, Field(pattern=r"^(subnet-[0-9a-f]+)?$", validate_default=True)] = ""
    """The subnet in which nodes live, when it is one: with a route to an internet gateway."""
    private_subnets_cidr_blocks: tuple[Cidr, ...] = Field(min_length=1)
    """Who may use the gateway: networks inside the VPC."""
    private_route_table_ids: tuple[RouteTableId, ...] = ()
    """Route tables whose default route is to lead to the gateway, in a ring to the gateway of their subnets' zone."""
    table_slots: dict[RouteTableId, Slot] = Field(default_factory=dict)
    """In a ring, the gateway (a, b, ... in the order of public_subnets) of route tables whose subnets do not say it."""
    enabled: Annotated[bool, Field(strict=True)] = True
    """False keeps everything but the node: nothing runs, nothing is forwarded."""
    image_id: Annotated[str, Field(pattern=r"^(ami-[0-9a-f]+)?$")] = ""
    """The image; empty: the latest Amazon Linux 2023 of the architecture of instance_types."""
    instance_types: tuple[InstanceType, ...] = Field(default=("t4g.nano",), min_length=1, max_length=40)
    """Types to choose from, all of one architecture."""
    use_spot_instance: Annotated[bool, Field(strict=True)] = True
    """Spot instead of on demand."""
    key_name: Printable = ""
    """SSH key pair; empty: none."""
    tags: dict[str, str] = Field(default_factory=dict, max_length=40)
    """Tags for everything the stack makes."""
    ssm_policy_arn: Annotated[
        str, Field(pattern=r"^(none|arn:aws[a-z-]*:iam::[0-9a-z]*:policy/[!-~]+)?$")
    ] = ""
    """Policy that lets Session Manager in; empty: an inline one of just that; none: no such policy."""
    elastic_ip: Annotated[str, Field(pattern=r"^(create|none|eipalloc-[0-9a-f]+)$")] = "create"
    """create, an allocation id of your own, or none (you associate one yourself)."""
    user_data_write_files: tuple[dict[str, Any], ...] = ()
    """cloud-init write_files entries that are added to the node's."""
    user_data_runcmd: tuple[str | tuple[str, ...], ...] = ()
    """cloud-init runcmd entries that run after the node's own."""
    root_volume: RootVolume = RootVolume()
    """Size and encryption of the node's disk."""
    port_forward: tuple[PortForward, ...] = ()
    """Connections from outside that are passed on."""
    node_ingress: tuple[NodeIngress, ...] = ()
    """What may reach the nodes themselves. Rules of your own on the security group are heeded as well."""
    allow_transit: tuple[Cidr, ...] = ()
    """Networks inside the VPC, or link-local ones, that clients may reach through the gateway: else it drops that."""
    idle_timeout: Annotated[int, Field(strict=True, ge=1, le=432_000)] = 3600
    """Seconds a TCP connection may be silent. What its client sends later gets a reset."""
    client_connections: Annotated[int, Field(strict=True, ge=1)] | None = None
    """Connections that one client may have at a time; left out: a quarter of what the node's memory has room for."""
    fast_path: Literal["on", "off"] = "off"
    """on: established connections bypass the node's rules, in the kernel's flowtable. Less work, hardly tried."""

    egress_check: tuple[Place, ...] = Field(default=PLACES, min_length=2, max_length=4)
    """Places of the internet, address:port, that nodes connect to every five seconds: one answer means a way out."""

    @field_validator("egress_check")
    @classmethod
    def _independent(cls, places: tuple[str, ...]) -> tuple[str, ...]:
        if len({place.partition(":")[0] for place in places}) < len(places):
            raise ValueError("names a host twice: when that fails alone, clients would count as cut off")
        return places

    @field_validator("tags")
    @classmethod
    def _tags(cls, tags: dict[str, str]) -> dict[str, str]:
        for key, value in tags.items():
            if key.lower().startswith(("aws:", "evernat:")):
                raise ValueError(f"the tag {key!r} uses a reserved prefix (aws:, evernat:)")
            if not 1 <= len(key) <= 128 or len(value) > LONGEST_TAG:
                raise ValueError(
                    f"the tag {key!r} is too long: 128 characters for the key, {LONGEST_TAG} for the value"
                )
            if not printable(key + value):
                raise ValueError(f"the tag {key!r} has a character that does not print, or ends a line")
        return tags

    @field_validator("identity")
    @classmethod
    def _identity(cls, value: str | None, info: ValidationInfo) -> str | None:
        topology = info.data.get("topology", "single")
        if value == "eni" and topology != "single":
            raise ValueError(f"cannot be that of a {topology}: an interface cannot move to another zone")
        return value

    @field_validator("node_address")
    @classmethod
    def _node_address(cls, value: str | None, info: ValidationInfo) -> str | None:
        by_address = info.data.get("topology") != "single" or info.data.get("identity") == "address"
        if value and not by_address and "topology" in info.data and "identity" in info.data:
            raise ValueError(
                "is for gateways that are addresses: with identity eni a node always has its own"
            )
        return value

    @field_validator("fast_path")
    @classmethod
    def _fast_path(cls, value: str, info: ValidationInfo) -> str:
        topology = info.data.get("topology", "single")
        own = (info.data.get("node_address") or ("own" if topology == "pair" else "shared")) == "own"
        if value == "on" and topology != "single" and not own:
            raise ValueError(
                "cannot be on while a gateway is on its node's primary address: what bypasses the rules would go on "
                'under a stranger\'s address when the agent dies. Set node_address = "own"'
            )
        return value

    @field_validator("public_subnets")
    @classmethod
    def _enough_subnets(cls, values: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        least, most = NODES[info.data.get("topology", "single")]
        if len(set(values)) < len(values):
            raise ValueError("names a subnet twice")
        if values and not least <= len(values) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"are {len(values)}, a {info.data.get('topology')} takes {wanted}")
        return values

    @field_validator("public_subnet")
    @classmethod
    def _one_subnet(cls, value: str, info: ValidationInfo) -> str:
        several: tuple[str, ...] = info.data.get("public_subnets", ())
        if "public_subnets" not in info.data or info.data.get("topology") is None:
            return value  # that mistake is told already
        if value and several:
            raise ValueError("stands beside public_subnets: give one of the two")
        if info.data["topology"] == "ring" and not several:
            raise ValueError("is one, a ring needs public_subnets in at least two zones")
        if not value and not several:
            raise PydanticKnownError("missing")
        return value or several[0]

    @field_validator("elastic_ip")
    @classmethod
    def _address(cls, value: str, info: ValidationInfo) -> str:
        topology = info.data.get("topology", "single")
        if topology == "ring" and value != "create":
            raise ValueError("must be create: a ring has an address in each zone")
        if value == "none" and (topology == "pair" or info.data.get("identity") == "address"):
            raise ValueError("cannot be none: the address is what moves from node to node")
        return value

    @field_validator("table_slots", "port_forward")
    @classmethod
    def _only_in_a_ring(cls, value: Any, info: ValidationInfo) -> Any:
        named = value if info.field_name == "table_slots" else [f for f in value if f.slot]
        if named and info.data.get("topology", "ring") != "ring":
            raise ValueError("names slots: that is for a ring, elsewhere there is one gateway")
        last = SLOTS[max(len(info.data.get("public_subnets", SLOTS)), 1) - 1]
        slots = value.values() if info.field_name == "table_slots" else [f.slot for f in named]
        beyond = sorted({slot for slot in slots if slot > last})
        if beyond:
            raise ValueError(f"names slot {beyond[0]}, the last one is {last}")
        return value

    @property
    def by_address(self) -> bool:
        """Whether the gateway's identity is its Elastic IP rather than a persistent interface."""
        return self.topology != "single" or self.identity == "address"

    @property
    def on_secondary(self) -> bool:
        """Whether gateways' addresses are on secondary private addresses, and each node keeps its own public one."""
        return (self.node_address or ("own" if self.topology == "pair" else "shared")) == "own"

    @property
    def subnets(self) -> tuple[str, ...]:
        """The public subnets, however they were given."""
        return self.public_subnets or (self.public_subnet,)

    @field_validator(
        "public_subnets", "private_subnets_cidr_blocks", "private_route_table_ids", "instance_types"
    )
    @classmethod
    def _unique(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        twice = [v for v in dict.fromkeys(values) if values.count(v) > 1]
        if twice:
            raise ValueError(f"names {', '.join(twice)} twice")
        return values

    @field_validator("user_data_write_files")
    @classmethod
    def _write_files(
        cls, entries: tuple[dict[str, Any], ...], info: ValidationInfo
    ) -> tuple[dict[str, Any], ...]:
        for entry in entries:
            path = entry.get("path")
            if not isinstance(path, str) or not path.startswith("/"):
                raise ValueError("each entry needs a path that begins with /")
            if not printable(path):
                raise ValueError(f"the path {path!r} has a character that does not print, or ends a line")
        return _fit(entries, info)

    @field_validator("user_data_runcmd")
    @classmethod
    def _runcmd(cls, entries: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        return _fit(entries, info)

    @field_validator("port_forward")
    @classmethod
    def _overlaps(cls, forwards: tuple[PortForward, ...]) -> tuple[PortForward, ...]:
        for index, one in enumerate(forwards):
            for other in forwards[:index]:
                if one.protocol == other.protocol and _overlap(one.ports, other.ports):
                    raise ValueError(
                        f"{one.protocol} {one.port} overlaps with {other.protocol} {other.port}: one port, one target"
                    )
        return forwards

    def node_config(
        self, interface: object, address: object, group: str, hook: str, version: str
    ) -> Mapping[str, Any]:
        """Fields of `bundle.NodeConfig`; `interface` and `address` may be references of a plan."""
        return {
            "stack": self.name,
            "interface": interface,
            "address": address,
            "clients": list(self.private_subnets_cidr_blocks),
            "forwards": [f.for_node() for f in self.port_forward],
            "group": group,
            "hook": hook,
            "version": version,
            "firewall": self.firewall(),
            "places": list(self.egress_check),
        }

    def firewall(self) -> dict[str, Any]:
        """Fields of the agent's `Firewall`."""
        return {
            "idle_timeout": self.idle_timeout,
            "client_connections": self.client_connections or 0,
            "allow_transit": list(self.allow_transit),
            "node_ingress": [[o.protocol, *o.range, list(o.sources)] for o in self.node_ingress],
            "ssh": bool(self.key_name),
            "fast_path": self.fast_path,
        }


def _fit(entries: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    for index, entry in enumerate(entries):
        for place, cause in unfit(entry, f"{info.field_name}[{index}]"):
            raise ValueError(f"{place} {cause}")
    return entries


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]
