"""What was found in AWS, as plain frozen values. Discovery fills these in; checks, planner and status read them.

Everything here was seen. A query that failed raises instead: unknown is never absent.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evernat.stack import names

Tags = Mapping[str, str]


@dataclass(frozen=True, order=True)
class Rule:
    """One source of one permission. `kind` is cidr, ipv6, prefix-list or group; ports are -1 where there are none.

    To AWS rules are the same whatever their descriptions.
    """

    protocol: str
    first: int
    last: int
    source: str
    kind: str = "cidr"
    description: str = field(default="", compare=False)


RULE_FIELDS = {
    "cidr": ("IpRanges", "CidrIp"),
    "ipv6": ("Ipv6Ranges", "CidrIpv6"),
    "prefix-list": ("PrefixListIds", "PrefixListId"),
    "group": ("UserIdGroupPairs", "GroupId"),
}
"""Kind of source -> where a permission of the EC2 API has it, and under which name."""


@dataclass(frozen=True)
class SecurityGroup:
    """A security group."""

    id: str
    vpc_id: str
    tags: Tags
    ingress: frozenset[Rule]
    egress: frozenset[Rule]


@dataclass(frozen=True)
class Interface:
    """A network interface; `instance_id` and `allocation_id` are empty when there is none."""

    id: str
    vpc_id: str
    subnet_id: str
    tags: Tags
    source_dest_check: bool
    groups: tuple[str, ...]
    private_address: str
    status: str
    attachment_id: str = ""
    instance_id: str = ""
    association_id: str = ""
    allocation_id: str = ""
    public_address: str = ""


@dataclass(frozen=True)
class Address:
    """An Elastic IP."""

    id: str
    public_address: str
    tags: Tags
    association_id: str = ""
    interface_id: str = ""
    instance_id: str = ""
    private_address: str = ""

    @property
    def gateway(self) -> str:
        """The gateway it is the identity of; empty when it is none's."""
        return self.tags.get(names.GATEWAY_TAG, "")

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots that can hold the gateway, home first."""
        return tuple(self.tags.get(names.SLOTS_TAG, "").split())


@dataclass(frozen=True)
class Role:
    """The node's role."""

    name: str
    tags: Tags
    trust: Any
    attached: tuple[str, ...]
    inline: tuple[str, ...]
    agent_policy: Any = None
    session_policy: Any = None
    """Text of the inline policy for Session Manager."""


@dataclass(frozen=True)
class InstanceProfile:
    """The role's instance profile."""

    name: str
    tags: Tags
    roles: tuple[str, ...]


@dataclass(frozen=True)
class TemplateVersion:
    """One version of the launch template."""

    number: int
    data: Mapping[str, Any]
    description: str
    created: str


@dataclass(frozen=True)
class Template:
    """The launch template with its versions."""

    id: str
    tags: Tags
    latest: int
    versions: Mapping[int, TemplateVersion]


@dataclass(frozen=True)
class Member:
    """An instance as the Auto Scaling group sees it; `version` is 0 when the group does not say."""

    id: str
    zone: str
    type: str
    state: str
    health: str
    version: int


@dataclass(frozen=True)
class Group:
    """The Auto Scaling group. `raw` is AWS's own description of it."""

    name: str
    tags: Tags
    subnets: tuple[str, ...]
    status: str
    members: tuple[Member, ...]
    hooks: Mapping[str, Mapping[str, Any]]
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Nic:
    """One of an instance's network interfaces: whether its source/destination check is on, and its security groups."""

    checked: bool
    groups: tuple[str, ...]


@dataclass(frozen=True)
class Node:
    """An instance of the stack that is not terminated."""

    id: str
    state: str
    type: str
    zone: str
    spot: bool
    private_address: str
    public_address: str
    launched: str
    tags: Tags
    interfaces: tuple[str, ...] = ()
    subnet: str = ""
    vpc_id: str = ""
    nics: Mapping[str, Nic] = field(default_factory=dict)
    """The same interfaces, by id."""

    @property
    def slot(self) -> str:
        """The slot it lives in; empty when the stack has none."""
        return self.tags.get(names.SLOT_TAG, "")


@dataclass(frozen=True)
class Target:
    """Where a default route leads: AWS's name of the field (`NatGatewayId`), the id, and whether it is `active`.

    `field` is empty when the kind is not known (`targets`). A propagated route was learned by a gateway: a static one
    takes precedence over it, and without that it holds again.
    """

    field: str
    id: str
    state: str = "active"
    propagated: bool = False


@dataclass(frozen=True)
class RouteTable:
    """A route table with its default route (0.0.0.0/0), if it has one."""

    id: str
    vpc_id: str
    tags: Tags
    subnets: tuple[str, ...]
    main: bool
    default: Target | None


@dataclass(frozen=True)
class Found:
    """All that carries the stack's name, and the route tables of its VPC.

    The singular things are looked up by their deterministic name and may turn out to belong to somebody else: `checks`
    looks at their tags.
    """

    stack: str
    security_groups: tuple[SecurityGroup, ...] = ()
    interfaces: tuple[Interface, ...] = ()
    addresses: tuple[Address, ...] = ()
    role: Role | None = None
    profile: InstanceProfile | None = None
    templates: Mapping[str, Template] = field(default_factory=dict)
    """By name; a stack with slots has one for each."""
    groups: Mapping[str, Group] = field(default_factory=dict)
    """By name, likewise."""
    parameters: tuple[str, ...] = ()
    """Names of the stack's SSM parameters: the members' shared key, files of the agent, and reports."""
    reports: Mapping[str, str] = field(default_factory=dict)
    """What nodes reported, as it was written: by gateway its holder's, by `node-SLOT` that of a boot that failed."""
    borrowed: tuple[Address, ...] = ()
    """Elastic IPs of the user's that serve as a gateway's."""
    nodes: tuple[Node, ...] = ()
    route_tables: tuple[RouteTable, ...] = ()
    gone_targets: frozenset[str] = frozenset()
    """Targets that route tables remember and that do not exist any more."""
    leave_routes: bool = False
    """The user has agreed to leave tables without a default route whose former one cannot be put back."""

    @property
    def template(self) -> Template | None:
        """The launch template of a stack without slots."""
        return self.templates.get(names.resource_name(self.stack))

    @property
    def group(self) -> Group | None:
        """The Auto Scaling group of a stack without slots."""
        return self.groups.get(names.resource_name(self.stack))

    @property
    def own_groups(self) -> tuple[Group, ...]:
        """The groups that carry the stack's tag. (The name `evernat-x-a` may be stack `x-a`'s.)"""
        return tuple(g for g in self.groups.values() if g.tags.get(names.STACK_TAG) == self.stack)

    @property
    def own_templates(self) -> Mapping[str, Template]:
        """The launch templates that carry the stack's tag."""
        own = self.templates.items()
        return {name: t for name, t in own if t.tags.get(names.STACK_TAG) == self.stack}

    @property
    def gateway_addresses(self) -> tuple[Address, ...]:
        """Elastic IPs that are a gateway's identity, the stack's own or borrowed, by gateway."""
        found = [a for a in (*self.addresses, *self.borrowed) if a.gateway]
        return tuple(sorted(found, key=lambda a: a.gateway))


@dataclass(frozen=True)
class Subnet:
    """A subnet."""

    id: str
    vpc_id: str
    zone: str
    cidr: str


@dataclass(frozen=True)
class Vpc:
    """A VPC."""

    id: str
    cidrs: tuple[str, ...]
    tags: Tags = field(default_factory=dict)

    def contains(self, network: str) -> bool:
        """Whether a network lies wholly inside one of the VPC's."""
        wanted = ipaddress.IPv4Network(network)
        return any(wanted.subnet_of(ipaddress.IPv4Network(cidr)) for cidr in self.cidrs)


@dataclass(frozen=True)
class Image:
    """A machine image; `size` is its root snapshot's in GiB."""

    id: str
    architecture: str
    root_device: str
    size: int


@dataclass(frozen=True)
class InstanceType:
    """An instance type: its architecture in image terms, whether it has CPU credits, the zones that offer it."""

    name: str
    architecture: str
    burstable: bool
    interfaces: int
    zones: frozenset[str]
    addresses: int = 2
    """IPv4 addresses per interface."""


@dataclass(frozen=True)
class Identity:
    """Who is asking, and where."""

    account: str
    partition: str
    region: str


@dataclass(frozen=True)
class Environment:
    """What is there without the stack, and what the stack's input refers to."""

    identity: Identity
    vpc: Vpc | None = None
    subnets: Mapping[str, Subnet] = field(default_factory=dict)
    route_tables: Mapping[str, RouteTable] = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    address_quota: int | None = None
    rule_quota: int = 60
    image: Image | None = None
    types: Mapping[str, InstanceType] = field(default_factory=dict)
    key_exists: bool = True
    policy_exists: bool = True
    targets: frozenset[str] = frozenset()
    """Instances of the VPC that port forwards name by id."""
    target_subnets: Mapping[str, str] = field(default_factory=dict)
    """The subnets of those."""

    def route_table_of(self, subnet_id: str) -> RouteTable | None:
        """The table in force for a subnet: its own, or the VPC's main table."""
        tables = self.route_tables.values()
        own = next((t for t in tables if subnet_id in t.subnets), None)
        return own or next((t for t in tables if t.main), None)
