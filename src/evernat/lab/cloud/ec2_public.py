"""Public addresses on interfaces: Elastic IPs and those AWS assigns by itself.

An Elastic IP on the primary private address of the primary interface takes the place of the auto-assigned address;
when it goes, AWS assigns a new one, but only while the instance has a single interface and no Elastic IP on a secondary
private address (EC2 user guide, "Elastic IP addresses" and "Public IPv4 addresses"). An Elastic IP on a secondary
address leaves the auto-assigned one alone, and nothing takes its place when it goes.
"""

from __future__ import annotations

from typing import Any

from evernat.lab.cloud.resources import ElasticIp, Interface, new_id
from evernat.lab.cloud.state import Region


def associate(region: Region, elastic: ElasticIp, interface: Interface, private_ip: str) -> None:
    """Put an Elastic IP on one private address, taking it from wherever it was."""
    if elastic.interface_id:
        dissociate(region, elastic)
    for other in region.elastic_on(interface.id):
        if other.private_ip == private_ip:
            _clear(other)
    if private_ip == interface.addresses[0]:
        release_auto(region, interface)
    elastic.association_id = new_id("eipassoc")
    elastic.interface_id = interface.id
    elastic.private_ip = private_ip
    # The answer comes before packets follow; how long after is the profile's.
    elastic.effective = region.clock() + region.profile.public_address
    region.later(region.profile.public_address, lambda: None)


def dissociate(region: Region, elastic: ElasticIp) -> None:
    """Take an Elastic IP off; the instance may get an auto-assigned address again."""
    interface = region.interfaces.get(elastic.interface_id)
    primary = interface is not None and interface.addresses[0] == elastic.private_ip
    _clear(elastic)
    if interface is not None and primary:
        assign_auto(region, interface)


def _clear(elastic: ElasticIp) -> None:
    elastic.association_id = elastic.interface_id = elastic.private_ip = ""


def assign_auto(region: Region, interface: Interface) -> None:
    """Give the primary interface an auto-assigned address where its instance was launched to have one."""
    plug = interface.plug
    machine = region.machines.get(plug.instance_id) if plug else None
    if plug is None or machine is None or plug.device_index != 0 or not machine.auto_public_wanted:
        return
    if machine.state not in ("pending", "running") or len(region.plugged(machine.id)) > 1:
        return
    if not interface.auto_public and not region.elastic_on(interface.id):
        interface.auto_public = region.auto_pool.take()


def release_auto(region: Region, interface: Interface) -> None:
    """Take the auto-assigned address away, if there is one."""
    if interface.auto_public:
        region.auto_pool.give_back(interface.auto_public)
        interface.auto_public = ""


def _elastic_at(region: Region, interface: Interface, private_ip: str) -> ElasticIp | None:
    return next((e for e in region.elastic_on(interface.id) if e.private_ip == private_ip), None)


def association(region: Region, interface: Interface, private_ip: str) -> dict[str, Any] | None:
    """The public address on a private one as the API shows it, None if there is none."""
    elastic = _elastic_at(region, interface, private_ip)
    if elastic:
        return {
            "PublicIp": elastic.public_ip,
            "PublicDnsName": dns_name(region, elastic.public_ip),
            "AllocationId": elastic.allocation_id,
            "AssociationId": elastic.association_id,
            "IpOwnerId": region.account,
        }
    if interface.auto_public and private_ip == interface.addresses[0]:
        return {
            "PublicIp": interface.auto_public,
            "PublicDnsName": dns_name(region, interface.auto_public),
            "IpOwnerId": "amazon",
        }
    return None


def public_at(region: Region, interface: Interface, private_ip: str) -> str:
    """The public address that packets of a private one really have now; empty if none."""
    elastic = _elastic_at(region, interface, private_ip)
    if elastic:
        return elastic.public_ip if region.clock() >= elastic.effective else ""
    return interface.auto_public if private_ip == interface.addresses[0] else ""


def dns_name(region: Region, address: str) -> str:
    """The public DNS name EC2 gives to an address."""
    return f"ec2-{address.replace('.', '-')}.{region.name}.compute.amazonaws.com"
