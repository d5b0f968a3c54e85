"""Elastic IPs. The association is a lock with compare-and-swap, which moto does not keep.

Rules: EC2 API reference of AllocateAddress, AssociateAddress, DisassociateAddress, ReleaseAddress.
"""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud import ec2_public, ec2_tags
from evernat.lab.cloud.errors import AwsError, missing
from evernat.lab.cloud.filters import apply, page
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import ElasticIp, Interface, new_id
from evernat.lab.cloud.state import Region

QUOTA = 50
"""Elastic IPs per region. AWS's default is 5 (service quotas); the lab is generous, the fault
`AddressLimitExceeded` plays the smaller ones."""

FILTERS = {
    "allocation-id": "AllocationId",
    "association-id": "AssociationId",
    "domain": "Domain",
    "instance-id": "InstanceId",
    "network-interface-id": "NetworkInterfaceId",
    "network-interface-owner-id": "NetworkInterfaceOwnerId",
    "private-ip-address": "PrivateIpAddress",
    "public-ip": "PublicIp",
    "network-border-group": "NetworkBorderGroup",
}


@handles("ec2", "AllocateAddress")
def allocate(region: Region, params: Params) -> Params:
    """An address of the lab's Elastic IP range."""
    if len(region.elastic) >= QUOTA:
        raise AwsError("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    tags = ec2_tags.specified(params, "elastic-ip")
    elastic = ElasticIp(new_id("eipalloc"), region.elastic_pool.take())
    region.elastic[elastic.allocation_id] = elastic
    region.tag(elastic.allocation_id, tags)
    return {
        "AllocationId": elastic.allocation_id,
        "PublicIp": elastic.public_ip,
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": region.name,
        "Domain": "vpc",
    }


def _named(region: Region, params: Params) -> ElasticIp:
    if params.get("AllocationId"):
        return region.allocation(params["AllocationId"])
    if params.get("PublicIp"):
        return _by_ip(region, params["PublicIp"])
    raise missing("AllocationId")


def _by_ip(region: Region, public_ip: str) -> ElasticIp:
    for elastic in region.elastic.values():
        if elastic.public_ip == public_ip:
            return elastic
    raise AwsError("InvalidAddress.NotFound", f"Address '{public_ip}' not found.")


def _target(region: Region, params: Params) -> Interface:
    if params.get("NetworkInterfaceId"):
        return region.interface(params["NetworkInterfaceId"])
    if not params.get("InstanceId"):
        raise missing("instanceId or networkInterfaceId")
    machine = region.machine(params["InstanceId"])
    if not machine.alive or machine.state == "pending":
        raise AwsError(
            "InvalidInstanceID", f"The instance '{machine.id}' is not in a valid state for this operation."
        )
    plugged = region.plugged(machine.id)
    if len(plugged) > 1:
        raise AwsError(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{machine.id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return plugged[0]


@handles("ec2", "AssociateAddress")
def associate(region: Region, params: Params) -> Params:
    """Moves an address by default; with AllowReassociation=false it fails if it is associated already."""
    elastic = _named(region, params)
    interface = _target(region, params)
    private_ip = params.get("PrivateIpAddress") or interface.addresses[0]
    if private_ip not in interface.addresses:
        raise AwsError(
            "InvalidParameterValue", f"The private address {private_ip} is not assigned to {interface.id}."
        )
    if not _has_gateway(region, interface.vpc_id):
        raise AwsError(
            "Gateway.NotAttached", f"Network {interface.vpc_id} is not attached to any internet gateway"
        )
    if elastic.interface_id == interface.id and elastic.private_ip == private_ip:
        return {"AssociationId": elastic.association_id}
    occupied = any(e.private_ip == private_ip for e in region.elastic_on(interface.id))
    if params.get("AllowReassociation", True) is False and (elastic.association_id or occupied):
        what = elastic.allocation_id if elastic.association_id else interface.id
        raise AwsError(
            "Resource.AlreadyAssociated", f"resource {what} is already associated with another one"
        )
    ec2_public.associate(region, elastic, interface, private_ip)
    return {"AssociationId": elastic.association_id}


def _has_gateway(region: Region, vpc_id: str) -> bool:
    return any(g.vpc is not None and g.vpc.id == vpc_id for g in region.ec2.internet_gateways.values())


@handles("ec2", "DisassociateAddress")
def disassociate(region: Region, params: Params) -> Params:
    """By association id this succeeds once: an id that was replaced since is unknown."""
    if params.get("AssociationId"):
        wanted = params["AssociationId"]
        found = [e for e in region.elastic.values() if e.association_id == wanted]
        if not found:
            raise AwsError("InvalidAssociationID.NotFound", f"The association ID '{wanted}' does not exist")
        elastic = found[0]
    elif params.get("PublicIp"):
        elastic = _by_ip(region, params["PublicIp"])
    else:
        raise missing("AssociationId")
    _refuse_managed(region, elastic)
    ec2_public.dissociate(region, elastic)
    return {}


def _refuse_managed(region: Region, elastic: ElasticIp) -> None:
    interface = region.interfaces.get(elastic.interface_id)
    if interface is not None and interface.kind != "interface":
        raise AwsError("OperationNotPermitted", f"{elastic.public_ip} belongs to a NAT gateway.")


@handles("ec2", "ReleaseAddress")
def release(region: Region, params: Params) -> Params:
    """Refused while associated."""
    elastic = _named(region, params)
    if elastic.association_id:
        raise AwsError("InvalidIPAddress.InUse", f"Address {elastic.public_ip} is in use.")
    region.elastic_pool.give_back(elastic.public_ip)
    del region.elastic[elastic.allocation_id]
    region.untag(elastic.allocation_id)
    return {}


@handles("ec2", "DescribeAddresses")
def describe(region: Region, params: Params) -> Params:
    """All Elastic IPs, or those asked for by allocation id or address."""
    wanted = [region.allocation(a) for a in params.get("AllocationIds") or []]
    wanted += [_by_ip(region, a) for a in params.get("PublicIps") or []]
    shown = [described(region, e) for e in wanted or region.elastic.values()]
    return page(apply(shown, params.get("Filters"), FILTERS), {}, "Addresses")


def described(region: Region, elastic: ElasticIp) -> dict[str, Any]:
    """An Elastic IP as DescribeAddresses shows it."""
    shown: dict[str, Any] = {
        "AllocationId": elastic.allocation_id,
        "PublicIp": elastic.public_ip,
        "Domain": "vpc",
        "PublicIpv4Pool": "amazon",
        "NetworkBorderGroup": region.name,
        "Tags": region.tag_list(elastic.allocation_id),
    }
    interface = region.interfaces.get(elastic.interface_id)
    if interface is not None:
        shown |= {
            "AssociationId": elastic.association_id,
            "NetworkInterfaceId": interface.id,
            "NetworkInterfaceOwnerId": region.account,
            "PrivateIpAddress": elastic.private_ip,
            "InstanceId": interface.plug.instance_id if interface.plug else None,
        }
    return shown


@handles("ec2", "DescribeAddressesAttribute")
def describe_attribute(region: Region, params: Params) -> Params:
    """The addresses' host names for mail. Nobody has set any here, and Terraform asks for them at each refresh."""
    chosen = [region.allocation(a) for a in params.get("AllocationIds") or region.elastic]
    return {"Addresses": [{"AllocationId": e.allocation_id, "PublicIp": e.public_ip} for e in chosen]}
