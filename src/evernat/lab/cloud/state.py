"""One region of the lab's cloud: the overlay's records beside moto's backends."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import moto.backends

from evernat.lab.addresses import AUTO_PUBLIC_POOL, ELASTIC_POOL
from evernat.lab.cloud.autoscaling.model import Group
from evernat.lab.cloud.errors import AwsError, invalid, missing, not_found
from evernat.lab.cloud.faults import Faults
from evernat.lab.cloud.resources import (
    ElasticIp,
    Interface,
    Machine,
    NatGatewayRecord,
    RouteRecord,
    Template,
    Volume,
)
from evernat.lab.cloud.timers import Timers
from evernat.lab.profile import Profile
from evernat.lab.world import Unreachable

FIRST_ELASTIC = 7
"""The first Elastic IP ends in .7, as the lab's addresses promise."""


class Pool:
    """Hands out addresses of a block in turn; one that was given back comes round last."""

    def __init__(self, block: str, first: int) -> None:
        self._hosts = [str(a) for a in ipaddress.ip_network(block).hosts()]
        self._next = first - 1
        self.used: set[str] = set()

    def take(self) -> str:
        """An address nobody uses."""
        for _ in self._hosts:
            address = self._hosts[self._next % len(self._hosts)]
            self._next += 1
            if address not in self.used:
                self.used.add(address)
                return address
        raise AwsError(
            "InsufficientAddressCapacity", "Not enough available addresses to fulfill the request.", 500
        )

    def give_back(self, address: str) -> None:
        """The address is free again."""
        self.used.discard(address)


@dataclass
class Region:
    """The records of one region and what its handlers need to work on them."""

    name: str
    account: str
    profile: Profile
    clock: Callable[[], float]
    timers: Timers
    faults: Faults
    log: Callable[[str], None]
    machines: dict[str, Machine] = field(default_factory=dict)
    interfaces: dict[str, Interface] = field(default_factory=dict)
    elastic: dict[str, ElasticIp] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    nat_gateways: dict[str, NatGatewayRecord] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    routes: dict[str, dict[str, RouteRecord]] = field(default_factory=dict)
    """Route table id -> destination -> route."""
    propagated: dict[str, list[RouteRecord]] = field(default_factory=dict)
    """Route table id -> routes that a gateway learned by BGP, which nobody speaks here. `routes` come first."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Targets of routes that are made outside of EC2 (`ec2_targets`) -> the VPC that they serve."""
    unreachable: list[Unreachable] = field(default_factory=list)
    console: Callable[[str], bytes] = lambda _instance: b""
    """What an instance wrote to its console; there is none where no machines run."""
    caller: str = ""
    """ARN of who makes the call being answered."""
    elastic_pool: Pool = field(default_factory=lambda: Pool(ELASTIC_POOL, FIRST_ELASTIC))
    auto_pool: Pool = field(default_factory=lambda: Pool(AUTO_PUBLIC_POOL, 10))
    _cursors: dict[str, int] = field(default_factory=dict)

    @property
    def ec2(self) -> Any:
        """moto's EC2 backend of this region."""
        return moto.backends.get_backend("ec2")[self.account][self.name]

    @property
    def iam(self) -> Any:
        """moto's IAM backend."""
        return moto.backends.get_backend("iam")[self.account]["aws"]

    @property
    def ssm(self) -> Any:
        """moto's SSM backend of this region."""
        return moto.backends.get_backend("ssm")[self.account][self.name]

    def later(self, delay: float, action: Callable[[], None]) -> None:
        """Do something `delay` seconds from now."""
        self.timers.add(self.clock() + delay, action)

    # tags -------------------------------------------------------------------------------------------------------

    def tags(self, resource_id: str) -> dict[str, str]:
        """The tags of a resource."""
        return dict(self.ec2.tags.get(resource_id, {}))

    def tag(self, resource_id: str, tags: dict[str, str]) -> None:
        """Add or replace tags."""
        if tags:
            self.ec2.tags[resource_id].update(tags)

    def untag(self, resource_id: str) -> None:
        """Forget the tags of something deleted."""
        self.ec2.tags.pop(resource_id, None)

    def tag_list(self, resource_id: str) -> list[dict[str, str]]:
        """The tags as the API lists them."""
        return [{"Key": k, "Value": v} for k, v in self.tags(resource_id).items()]

    # lookups that refuse as AWS does ----------------------------------------------------------------------------

    def vpc(self, vpc_id: str) -> Any:
        """moto's VPC object."""
        if vpc_id not in self.ec2.vpcs:
            raise not_found("InvalidVpcID.NotFound", "vpc", vpc_id)
        return self.ec2.vpcs[vpc_id]

    def subnet(self, subnet_id: str) -> Any:
        """moto's subnet object."""
        for by_id in self.ec2.subnets.values():
            if subnet_id in by_id:
                return by_id[subnet_id]
        raise not_found("InvalidSubnetID.NotFound", "subnet", subnet_id)

    @staticmethod
    def maps_public(subnet: Any) -> bool:
        """Whether instances launched into a subnet get a public address; moto keeps a text or a bool."""
        return str(subnet.map_public_ip_on_launch).lower() == "true"

    def all_subnets(self) -> list[Any]:
        """Every subnet of moto's."""
        return [s for by_id in self.ec2.subnets.values() for s in by_id.values()]

    def security_group(self, group_id: str) -> Any:
        """moto's security group object."""
        for by_id in self.ec2.groups.values():
            if group_id in by_id:
                return by_id[group_id]
        raise AwsError("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")

    def route_table(self, table_id: str) -> Any:
        """moto's route table object."""
        if table_id not in self.ec2.route_tables:
            raise not_found("InvalidRouteTableID.NotFound", "routeTable", table_id)
        return self.ec2.route_tables[table_id]

    def machine(self, instance_id: str) -> Machine:
        """An instance, terminated ones included for as long as the API remembers them."""
        if not instance_id.startswith("i-"):
            raise AwsError("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
        if instance_id not in self.machines:
            raise not_found("InvalidInstanceID.NotFound", "instance", instance_id)
        return self.machines[instance_id]

    def interface(self, interface_id: str | None) -> Interface:
        """A network interface."""
        if not interface_id:
            raise missing("networkInterfaceId")
        if interface_id not in self.interfaces:
            raise AwsError(
                "InvalidNetworkInterfaceID.NotFound",
                f"The networkInterface ID '{interface_id}' does not exist",
            )
        return self.interfaces[interface_id]

    def allocation(self, allocation_id: str) -> ElasticIp:
        """An Elastic IP by its allocation id."""
        if allocation_id not in self.elastic:
            raise AwsError(
                "InvalidAllocationID.NotFound", f"The allocation ID '{allocation_id}' does not exist"
            )
        return self.elastic[allocation_id]

    # addresses --------------------------------------------------------------------------------------------------

    def plugged(self, instance_id: str) -> list[Interface]:
        """The interfaces of an instance in the order of their device index."""
        found = [i for i in self.interfaces.values() if i.plug and i.plug.instance_id == instance_id]
        return sorted(found, key=lambda i: i.plug.device_index if i.plug else 0)

    def elastic_on(self, interface_id: str) -> list[ElasticIp]:
        """The Elastic IPs associated with an interface."""
        return [e for e in self.elastic.values() if e.interface_id == interface_id]

    def used_private(self, subnet_id: str) -> set[str]:
        """The private addresses in use in a subnet."""
        return {a for i in self.interfaces.values() if i.subnet_id == subnet_id for a in i.addresses}

    def free_addresses(self, subnet: Any) -> int:
        """How many addresses a subnet has left; AWS keeps five for itself (VPC guide, subnet sizing)."""
        return int(subnet.cidr.num_addresses) - 5 - len(self.used_private(subnet.id))

    def take_private(self, subnet: Any, wanted: str | None = None) -> str:
        """A private address of a subnet: the wanted one if it is free, else the next free one."""
        used = self.used_private(subnet.id)
        if wanted:
            return self._check_private(subnet, wanted, used)
        size = int(subnet.cidr.num_addresses)
        for _ in range(size):
            offset = self._cursors.get(subnet.id, 20)
            self._cursors[subnet.id] = offset + 1 if offset + 1 < size - 1 else 4
            address = str(subnet.cidr.network_address + offset) if offset < size - 1 else ""
            if address and address not in used:
                return address
        raise AwsError(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet.id}'.",
        )

    @staticmethod
    def _check_private(subnet: Any, wanted: str, used: set[str]) -> str:
        # The first four and the last address of a subnet are AWS's (VPC guide, subnet sizing).
        try:
            address = ipaddress.ip_address(wanted)
        except ValueError:
            raise invalid("privateIpAddress", wanted) from None
        if address not in subnet.cidr:
            raise AwsError(
                "InvalidParameterValue", f"Address {wanted} does not fall within the subnet's address range"
            )
        offset = int(address) - int(subnet.cidr.network_address)
        if offset < 4 or offset >= int(subnet.cidr.num_addresses) - 1:
            raise AwsError("InvalidParameterValue", f"Address {wanted} is in subnet's reserved address range")
        if wanted in used:
            raise AwsError("InvalidIPAddress.InUse", f"Address {wanted} is in use.")
        return wanted


def forget_moto_defaults(region: Region) -> None:
    """Drop the default VPC that moto makes: the lab's account starts empty."""
    backend = region.ec2
    for store in (
        backend.vpcs,
        backend.subnets,
        backend.route_tables,
        backend.groups,
        backend.internet_gateways,
        backend.network_acls,
        backend.tags,
    ):
        store.clear()
