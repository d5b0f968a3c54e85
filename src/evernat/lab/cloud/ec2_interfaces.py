"""Network interfaces: create, attach, detach, addresses, attributes.

moto attaches an interface twice, ignores device indexes and limits, and never releases the interface of a dead
instance. The rules are those of the EC2 API reference for each call and of the user guide's chapter on network
interfaces.
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from evernat.lab.cloud import ec2_public, ec2_tags
from evernat.lab.cloud.errors import AwsError, invalid, missing
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import Interface, Machine, Plug, new_id, new_mac, utc_now
from evernat.lab.cloud.state import Region

ATTACHABLE = ("running", "stopped")
"""An interface can be attached to a running (hot) or stopped (warm) instance (user guide, attach an interface)."""

FILTERS = {
    "network-interface-id": "NetworkInterfaceId",
    "description": "Description",
    "status": "Status",
    "subnet-id": "SubnetId",
    "vpc-id": "VpcId",
    "availability-zone": "AvailabilityZone",
    "mac-address": "MacAddress",
    "interface-type": "InterfaceType",
    "requester-managed": "RequesterManaged",
    "source-dest-check": "SourceDestCheck",
    "private-ip-address": "PrivateIpAddress",
    "addresses.private-ip-address": "PrivateIpAddresses.PrivateIpAddress",
    "addresses.primary": "PrivateIpAddresses.Primary",
    "addresses.association.public-ip": "PrivateIpAddresses.Association.PublicIp",
    "group-id": "Groups.GroupId",
    "group-name": "Groups.GroupName",
    "association.allocation-id": "Association.AllocationId",
    "association.association-id": "Association.AssociationId",
    "association.public-ip": "Association.PublicIp",
    "attachment.attachment-id": "Attachment.AttachmentId",
    "attachment.device-index": "Attachment.DeviceIndex",
    "attachment.instance-id": "Attachment.InstanceId",
    "attachment.status": "Attachment.Status",
    "attachment.delete-on-termination": "Attachment.DeleteOnTermination",
    "owner-id": "OwnerId",
}


def new_interface(region: Region, subnet_id: str, params: Params, wanted_ip: str | None = None) -> Interface:
    """Make an interface in a subnet. `params` may have Groups, Description and the address parameters."""
    subnet = region.subnet(subnet_id)
    groups = params.get("Groups") or [_default_group(region, subnet.vpc_id)]
    for group_id in groups:
        if region.security_group(group_id).vpc_id != subnet.vpc_id:
            raise AwsError(
                "InvalidParameter",
                f"Security group {group_id} and subnet {subnet_id} belong to different networks.",
            )
    given = params.get("PrivateIpAddresses") or []
    primary = wanted_ip or params.get("PrivateIpAddress")
    primary = primary or next((a["PrivateIpAddress"] for a in given if a.get("Primary")), None)
    interface = Interface(
        id=new_id("eni"),
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        zone=subnet.availability_zone,
        mac=new_mac(),
        addresses=[region.take_private(subnet, primary)],
        groups=list(groups),
        description=params.get("Description", ""),
        client_token=params.get("ClientToken", ""),
    )
    secondary = [a["PrivateIpAddress"] for a in given if not a.get("Primary")]
    region.interfaces[interface.id] = interface
    try:
        add_addresses(region, interface, secondary, int(params.get("SecondaryPrivateIpAddressCount") or 0))
    except AwsError:
        del region.interfaces[interface.id]
        raise
    return interface


def add_addresses(region: Region, interface: Interface, wanted: list[str], count: int) -> list[str]:
    """Give an interface secondary addresses: those wanted, or `count` free ones."""
    subnet = region.subnet(interface.subnet_id)
    before = list(interface.addresses)
    try:
        for address in [*wanted, *([None] * count)]:
            interface.addresses.append(region.take_private(subnet, address))
        machine = region.machines.get(interface.plug.instance_id) if interface.plug else None
        if machine:
            check_address_limit(interface, machine.instance_type)
    except AwsError:
        interface.addresses = before
        raise
    return interface.addresses[len(before) :]


def check_address_limit(interface: Interface, instance_type: str) -> None:
    """Addresses per interface are limited by the instance type."""
    limit = int(limits(instance_type).get("Ipv4AddressesPerInterface", 4))
    if len(interface.addresses) > limit:
        raise AwsError(
            "PrivateIpAddressLimitExceeded",
            f"Number of private addresses will exceed limit ({limit}) of instance type {instance_type}.",
        )


def limits(instance_type: str) -> dict[str, Any]:
    """Network limits of an instance type, from the data DescribeInstanceTypes answers with."""
    found: dict[str, Any] = INSTANCE_TYPES.get(instance_type, {}).get("NetworkInfo", {})
    return found


def _default_group(region: Region, vpc_id: str) -> str:
    return str(next(g.id for g in region.ec2.groups[vpc_id].values() if g.name == "default"))


def plug_in(
    region: Region, interface: Interface, machine: Machine, index: int, *, delete_on_termination: bool
) -> Plug:
    """Attach an interface, checked as AttachNetworkInterface does."""
    if interface.plug is not None:
        raise AwsError("InvalidNetworkInterface.InUse", f"Interface: {interface.id} in use.")
    if interface.zone != machine.zone:
        raise AwsError(
            "InvalidParameterCombination",
            f"The instance {machine.id} is in {machine.zone}, the interface {interface.id} in {interface.zone}.",
        )
    if interface.vpc_id != machine.vpc_id:
        raise AwsError("InvalidParameterCombination", "The interface and the instance are in different VPCs.")
    plugged = region.plugged(machine.id)
    if any(i.plug and i.plug.device_index == index for i in plugged):
        raise AwsError(
            "InvalidParameterValue",
            f"Instance '{machine.id}' already has an interface attached at device index '{index}'.",
        )
    limit = int(limits(machine.instance_type).get("MaximumNetworkInterfaces", 15))
    if len(plugged) >= limit:
        raise AwsError(
            "AttachmentLimitExceeded",
            f"Interface count {len(plugged) + 1} exceeds the limit for {machine.instance_type}",
        )
    check_address_limit(interface, machine.instance_type)
    interface.plug = Plug(new_id("eni-attach"), machine.id, index, delete_on_termination, utc_now())
    return interface.plug


def delete(region: Region, interface: Interface) -> None:
    """Remove an interface and what hangs on it."""
    for elastic in region.elastic_on(interface.id):
        ec2_public.dissociate(region, elastic)
    ec2_public.release_auto(region, interface)
    del region.interfaces[interface.id]
    region.untag(interface.id)


@handles("ec2", "CreateNetworkInterface")
def create(region: Region, params: Params) -> Params:
    """A client token that was used before gives the interface it made then."""
    if not params.get("SubnetId"):
        raise missing("subnetId")
    tags = ec2_tags.specified(params, "network-interface")
    token = params.get("ClientToken", "")
    same = next((i for i in region.interfaces.values() if token and i.client_token == token), None)
    interface = same or new_interface(region, params["SubnetId"], params)
    if same is None:
        region.tag(interface.id, tags)
    return {"NetworkInterface": described(region, interface), "ClientToken": token}


@handles("ec2", "DeleteNetworkInterface")
def delete_call(region: Region, params: Params) -> Params:
    """Refused while attached."""
    interface = region.interface(params.get("NetworkInterfaceId"))
    if interface.plug is not None:
        raise AwsError("InvalidParameterValue", f"Network interface '{interface.id}' is currently in use.")
    if interface.kind != "interface":
        raise AwsError("OperationNotPermitted", "You do not have permission to delete this interface.")
    delete(region, interface)
    return {}


@handles("ec2", "AttachNetworkInterface")
def attach(region: Region, params: Params) -> Params:
    """Attach to a running or stopped instance in the same zone, at a free device index."""
    interface = region.interface(params.get("NetworkInterfaceId"))
    if params.get("DeviceIndex") is None:
        raise missing("deviceIndex")
    machine = region.machine(params.get("InstanceId", ""))
    if machine.state not in ATTACHABLE:
        raise AwsError(
            "IncorrectState", f"Instance '{machine.id}' is not 'running' or 'stopped': {machine.state}"
        )
    plug = plug_in(region, interface, machine, int(params["DeviceIndex"]), delete_on_termination=False)
    return {"AttachmentId": plug.id, "NetworkCardIndex": 0}


@handles("ec2", "DetachNetworkInterface")
def detach(region: Region, params: Params) -> Params:
    """The primary interface cannot be detached.

    An instance that is dead or going does not let go: the attachment stays `detaching` until AWS releases it or
    somebody forces it (API reference: Force is "a last resort to detach a network interface from a failed instance").
    """
    attachment_id = params.get("AttachmentId")
    if not attachment_id:
        raise missing("attachmentId")
    found = [i for i in region.interfaces.values() if i.plug and i.plug.id == attachment_id]
    if not found:
        raise AwsError("InvalidAttachmentID.NotFound", f"The attachment '{attachment_id}' does not exist")
    interface = found[0]
    if interface.plug and interface.plug.device_index == 0:
        raise AwsError("OperationNotPermitted", "The network interface at device index 0 cannot be detached.")
    if _lets_go(region, interface) or params.get("Force"):
        interface.plug = None
    elif interface.plug:
        interface.plug.status = "detaching"
    return {}


def _lets_go(region: Region, interface: Interface) -> bool:
    machine = region.machines.get(interface.plug.instance_id) if interface.plug else None
    if machine is None or machine.state == "stopped":
        return True
    return machine.state == "running" and machine.powered


@handles("ec2", "AssignPrivateIpAddresses")
def assign(region: Region, params: Params) -> Params:
    """With AllowReassignment an address moves here from another interface of the subnet, its Elastic IP with it."""
    interface = region.interface(params.get("NetworkInterfaceId"))
    wanted: list[str] = params.get("PrivateIpAddresses") or []
    count = int(params.get("SecondaryPrivateIpAddressCount") or 0)
    if not wanted and not count:
        raise missing("privateIpAddress or secondaryPrivateIpAddressCount")
    moved = [a for a in wanted if params.get("AllowReassignment") and _holder(region, interface, a)]
    for address in moved:
        holder = _holder(region, interface, address)
        if holder and holder.addresses[0] == address:
            raise AwsError("InvalidParameterValue", f"{address} is the primary address of {holder.id}.")
    fresh = [a for a in wanted if a not in moved and a not in interface.addresses]
    added = add_addresses(region, interface, fresh, count)
    for address in moved:
        _move(region, address, interface)
    return {
        "NetworkInterfaceId": interface.id,
        "AssignedPrivateIpAddresses": [{"PrivateIpAddress": a} for a in [*added, *moved]],
    }


def _holder(region: Region, interface: Interface, address: str) -> Interface | None:
    others = (
        i for i in region.interfaces.values() if i.subnet_id == interface.subnet_id and i is not interface
    )
    return next((i for i in others if address in i.addresses), None)


def _move(region: Region, address: str, target: Interface) -> None:
    holder = _holder(region, target, address)
    if holder is None:
        return
    holder.addresses.remove(address)
    target.addresses.append(address)
    for elastic in region.elastic_on(holder.id):
        if elastic.private_ip == address:
            elastic.interface_id = target.id


@handles("ec2", "UnassignPrivateIpAddresses")
def unassign(region: Region, params: Params) -> Params:
    """Secondary addresses only; an Elastic IP on one is dissociated."""
    interface = region.interface(params.get("NetworkInterfaceId"))
    for address in params.get("PrivateIpAddresses") or []:
        if address not in interface.addresses[1:]:
            raise AwsError(
                "InvalidParameterValue",
                f"Some of {address} is not assigned to interface {interface.id} as a secondary address",
            )
    for address in params.get("PrivateIpAddresses") or []:
        interface.addresses.remove(address)
        for elastic in region.elastic_on(interface.id):
            if elastic.private_ip == address:
                ec2_public.dissociate(region, elastic)
    return {}


@handles("ec2", "ModifyNetworkInterfaceAttribute")
def modify(region: Region, params: Params) -> Params:
    """Description, groups, source/destination check, or what happens to it when the instance is terminated."""
    interface = region.interface(params.get("NetworkInterfaceId"))
    if "SourceDestCheck" in params:
        interface.source_dest_check = bool(params["SourceDestCheck"].get("Value"))
    if "Description" in params:
        interface.description = params["Description"].get("Value", "")
    if params.get("Groups"):
        for group_id in params["Groups"]:
            region.security_group(group_id)
        interface.groups = list(params["Groups"])
    if "Attachment" in params:
        change = params["Attachment"]
        if interface.plug is None or interface.plug.id != change.get("AttachmentId"):
            raise AwsError("InvalidAttachmentID.NotFound", f"{change.get('AttachmentId')} does not exist")
        interface.plug.delete_on_termination = bool(change.get("DeleteOnTermination"))
    return {}


@handles("ec2", "DescribeNetworkInterfaceAttribute")
def describe_attribute(region: Region, params: Params) -> Params:
    """One attribute of an interface."""
    shown = described(region, region.interface(params.get("NetworkInterfaceId")))
    keys = {
        "description": ("Description", {"Value": shown["Description"]}),
        "groupSet": ("Groups", shown["Groups"]),
        "sourceDestCheck": ("SourceDestCheck", {"Value": shown["SourceDestCheck"]}),
        "attachment": ("Attachment", shown.get("Attachment")),
    }
    attribute = params.get("Attribute", "")
    if attribute not in keys:
        raise invalid("attribute", attribute)
    key, value = keys[attribute]
    return {"NetworkInterfaceId": shown["NetworkInterfaceId"], key: value}


@handles("ec2", "DescribeNetworkInterfaces")
def describe(region: Region, params: Params) -> Params:
    """All interfaces, those of instances and NAT gateways included."""
    shown = [described(region, i) for i in region.interfaces.values()]
    shown = select(
        shown,
        "NetworkInterfaceId",
        params.get("NetworkInterfaceIds"),
        "InvalidNetworkInterfaceID.NotFound",
        "networkInterface",
    )
    shown = apply(shown, params.get("Filters"), FILTERS)
    return page(shown, params, "NetworkInterfaces")


def described(region: Region, interface: Interface) -> dict[str, Any]:
    """An interface as DescribeNetworkInterfaces shows it."""
    addresses = [
        {
            "PrivateIpAddress": address,
            "Primary": index == 0,
            "PrivateDnsName": dns_name(region, address),
            "Association": ec2_public.association(region, interface, address),
        }
        for index, address in enumerate(interface.addresses)
    ]
    plug = interface.plug
    return {
        "NetworkInterfaceId": interface.id,
        "Description": interface.description,
        "SubnetId": interface.subnet_id,
        "VpcId": interface.vpc_id,
        "AvailabilityZone": interface.zone,
        "OwnerId": region.account,
        "RequesterManaged": interface.kind != "interface",
        "InterfaceType": interface.kind,
        "Status": "in-use" if plug or interface.kind != "interface" else "available",
        "MacAddress": interface.mac,
        "PrivateIpAddress": interface.addresses[0],
        "PrivateDnsName": dns_name(region, interface.addresses[0]),
        "SourceDestCheck": interface.source_dest_check,
        "Groups": [{"GroupId": g, "GroupName": region.security_group(g).name} for g in interface.groups],
        "Association": addresses[0]["Association"],
        "PrivateIpAddresses": addresses,
        "Ipv6Addresses": [],
        "TagSet": region.tag_list(interface.id),
        "Attachment": {
            "AttachmentId": plug.id,
            "InstanceId": plug.instance_id,
            "InstanceOwnerId": region.account,
            "DeviceIndex": plug.device_index,
            "NetworkCardIndex": 0,
            "Status": plug.status,
            "AttachTime": plug.since,
            "DeleteOnTermination": plug.delete_on_termination,
        }
        if plug
        else None,
    }


def dns_name(region: Region, address: str) -> str:
    """The private DNS name EC2 gives to an address."""
    return f"ip-{address.replace('.', '-')}.{region.name}.compute.internal"
