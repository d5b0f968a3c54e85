"""The cloud's records as a `World`: plain values for the fabric, the computers and the metadata service."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from evernat.lab.cloud import ec2_public, ec2_routes
from evernat.lab.cloud.resources import Interface, Machine, RouteRecord
from evernat.lab.cloud.state import Region
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


def build(region: Region) -> World:
    """The world as it is now. Interfaces that NAT gateways manage appear as `nat_gateways` only."""
    return World(
        region=region.name,
        account=region.account,
        vpc_cidrs=tuple(c for vpc_id in region.ec2.vpcs for c in ec2_routes.local_cidrs(region, vpc_id)),
        subnets=_subnets(region),
        route_tables=tuple(_table(region, t) for t in region.ec2.route_tables.values()),
        groups=tuple(_group(g) for by_id in region.ec2.groups.values() for g in by_id.values()),
        enis=tuple(_eni(region, i) for i in region.interfaces.values() if i.kind == "interface"),
        nat_gateways=_nat_gateways(region),
        instances=tuple(_instance(region, m) for m in region.machines.values() if m.state != "terminated"),
        unreachable=tuple(region.unreachable),
    )


def _subnets(region: Region) -> tuple[Subnet, ...]:
    explicit: dict[str, str] = {}
    main: dict[str, str] = {}
    for table in region.ec2.route_tables.values():
        explicit.update(dict.fromkeys(table._associations.values(), table.id))
        if table.main_association_id:
            main[table.vpc_id] = table.id
    return tuple(
        Subnet(s.id, s.cidr_block, s.availability_zone, explicit.get(s.id) or main.get(s.vpc_id, ""))
        for s in region.all_subnets()
    )


def _table(region: Region, table: Any) -> RouteTable:
    routes = [Route(c, "local") for c in ec2_routes.local_cidrs(region, table.vpc_id)]
    for record in region.routes.get(table.id, {}).values():
        routes.append(_route(region, record, table.vpc_id))
    return RouteTable(table.id, tuple(routes))


def _route(region: Region, record: RouteRecord, vpc_id: str) -> Route:
    if record.kind == "eni" and record.target_id in region.interfaces:
        return Route(record.destination, "eni", record.target_id)
    if record.kind in ("igw", "nat") and ec2_routes.active(region, record, vpc_id):
        return Route(record.destination, "igw" if record.kind == "igw" else "nat", record.target_id)
    # No packets come back from the other kinds (`ec2_targets`).
    return Route(record.destination, "blackhole")


def _group(group: Any) -> SecurityGroup:
    return SecurityGroup(group.id, _rules(group.ingress_rules), _rules(group.egress_rules))


def _rules(rules: list[Any]) -> tuple[Rule, ...]:
    cidrs: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    groups: dict[tuple[str, int, int], list[str]] = defaultdict(list)
    for rule in rules:
        low = -1 if rule.from_port is None else int(rule.from_port)
        high = -1 if rule.to_port is None else int(rule.to_port)
        key = (str(rule.ip_protocol), low, high)
        if rule.ip_range.get("CidrIp"):
            cidrs[key].append(rule.ip_range["CidrIp"])
        if rule.source_group.get("GroupId"):
            groups[key].append(rule.source_group["GroupId"])
    keys = list(dict.fromkeys([*cidrs, *groups]))
    return tuple(Rule(*key, cidrs=tuple(cidrs[key]), groups=tuple(groups[key])) for key in keys)


def _eni(region: Region, interface: Interface) -> Eni:
    public = [(a, ec2_public.public_at(region, interface, a)) for a in interface.addresses]
    plug = interface.plug
    return Eni(
        id=interface.id,
        mac=interface.mac,
        subnet_id=interface.subnet_id,
        addresses=tuple(interface.addresses),
        public=tuple((private, address) for private, address in public if address),
        source_dest_check=interface.source_dest_check,
        groups=tuple(interface.groups),
        attachment=Attachment(plug.instance_id, plug.device_index) if plug else None,
    )


def _nat_gateways(region: Region) -> tuple[NatGateway, ...]:
    found = []
    for gateway in region.nat_gateways.values():
        interface = region.interfaces.get(gateway.interface_id)
        elastic = region.elastic.get(gateway.allocation_id)
        if gateway.state == "available" and interface and elastic:
            private = interface.addresses[0]
            found.append(NatGateway(gateway.id, gateway.subnet_id, private, elastic.public_ip))
    return tuple(found)


def _instance(region: Region, machine: Machine) -> Instance:
    plugged = region.plugged(machine.id)
    return Instance(
        id=machine.id,
        state=machine.state,
        zone=machine.zone,
        subnet_id=machine.subnet_id,
        instance_type=machine.instance_type,
        image_id=machine.image_id,
        private_address=plugged[0].addresses[0] if plugged else "",
        boots=machine.boots,
        powered=machine.powered,
        connected=machine.connected,
        lossy=machine.lossy,
        parted=machine.parted,
        host=machine.host,
        user_data=machine.user_data,
        tags=tuple(region.tags(machine.id).items()),
        tags_in_metadata=machine.metadata.get("InstanceMetadataTags") == "enabled",
        metadata_hop_limit=int(machine.metadata.get("HttpPutResponseHopLimit", 1)),
        profile_arn=machine.profile_arn,
        role_name=role_of(region, machine.profile_arn),
        spot=machine.spot,
        spot_action=machine.spot_action,
        rebalance=machine.rebalance,
    )


def role_of(region: Region, profile_arn: str) -> str:
    """The name of the role in an instance profile; empty if there is none."""
    for profile in region.iam.instance_profiles.values():
        if profile.arn == profile_arn and profile.roles:
            return str(profile.roles[0].name)
    return ""
