"""Which network interface is plugged into which machine. Pure: from a World to the ports the router must have."""

from __future__ import annotations

import hashlib
import ipaddress
from dataclasses import dataclass

from evernat.lab.world import Attachment, Eni, World

Machine = tuple[str, int]
"""An instance and which of its boots (from 1): a machine that boots anew has a new network stack."""

NAT_GATEWAY = 0
"""Instead of the number of the boot, for the machine behind a managed NAT gateway."""


@dataclass(frozen=True)
class Port:
    """One plugged-in interface: the router's end of its cable and what is at the other end.

    `cut`: the cable carries nothing. `hops`: the time to live of the metadata service's answers. `lossy` and
    `parted` are the instance's. `node`: an instance that is not one of the lab's own hosts.
    """

    name: str
    machine: Machine
    index: int
    mac: str
    addresses: tuple[str, ...]
    subnet_cidr: str
    route_table_id: str
    checked: bool
    groups: tuple[str, ...] | None
    cut: bool = False
    hops: int = 64
    lossy: int = 0
    parted: int = 0
    node: bool = False

    @property
    def cable(self) -> tuple[str, Machine, int, str]:
        """What cannot change without pulling the plug."""
        return (self.name, self.machine, self.index, self.mac)

    @property
    def managed(self) -> bool:
        """A NAT gateway: AWS's own machine, without security groups."""
        return self.groups is None

    @property
    def guest(self) -> str:
        """The interface's name inside the machine: ens5, ens6 ... as on Nitro instances with Amazon Linux."""
        return f"ens{5 + self.index}"

    @property
    def gateway(self) -> str:
        """The VPC router's address in the subnet: the first one."""
        return str(ipaddress.ip_network(self.subnet_cidr)[1])

    @property
    def prefix_length(self) -> int:
        """The subnet's."""
        return ipaddress.ip_network(self.subnet_cidr).prefixlen


def port_name(interface_id: str) -> str:
    """The router's end of an interface's cable: the end of the interface's id, as much as fits in 15 characters."""
    return f"p-{interface_id[-13:]}"


def machines(world: World) -> set[Machine]:
    """All machines that run."""
    instances = {(instance.id, instance.boots) for instance in world.instances if instance.powered}
    return instances | {(nat.id, NAT_GATEWAY) for nat in world.nat_gateways}


def wire(world: World) -> dict[str, Port]:
    """All ports by interface id: of interfaces attached to a machine that runs, and of NAT gateways."""
    subnets = {subnet.id: subnet for subnet in world.subnets}
    powered = {instance.id: instance for instance in world.instances if instance.powered}
    ports: dict[str, Port] = {}
    for eni in (*world.enis, *(_nat_interface(world, number) for number in range(len(world.nat_gateways)))):
        subnet = subnets.get(eni.subnet_id)
        if eni.attachment is None or subnet is None:
            continue
        owner = eni.attachment.instance_id
        machine = powered.get(owner)
        managed = eni.id == owner
        if machine is None and not managed:
            continue
        ports[eni.id] = Port(
            name=port_name(eni.id),
            machine=(owner, machine.boots if machine else NAT_GATEWAY),
            index=eni.attachment.device_index,
            mac=eni.mac,
            addresses=eni.addresses,
            subnet_cidr=subnet.cidr,
            route_table_id=subnet.route_table_id,
            checked=eni.source_dest_check,
            groups=None if managed else tuple(sorted(eni.groups)),
            cut=machine is not None and not machine.connected,
            hops=machine.metadata_hop_limit if machine else 64,
            lossy=machine.lossy if machine else 0,
            parted=machine.parted if machine else 0,
            node=machine is not None and not machine.host,
        )
    return ports


def _nat_interface(world: World, number: int) -> Eni:
    """A NAT gateway seen as an interface attached to itself."""
    nat = world.nat_gateways[number]
    digest = hashlib.sha256(nat.id.encode()).hexdigest()
    mac = "02:" + ":".join(digest[at : at + 2] for at in range(0, 10, 2))
    return Eni(
        id=nat.id,
        mac=mac,
        subnet_id=nat.subnet_id,
        addresses=(nat.private_address,),
        source_dest_check=False,
        attachment=Attachment(nat.id, 0),
    )
