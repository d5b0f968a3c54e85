"""Which instance a group launches next: zone, type, spot or on demand; and launching it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evernat.lab.cloud import ec2_run, ec2_templates
from evernat.lab.cloud.autoscaling.model import Group, Member
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params
from evernat.lab.cloud.resources import Machine
from evernat.lab.cloud.state import Region

NO_CAPACITY = ("InsufficientInstanceCapacity", "InsufficientFreeAddressesInSubnet")
"""Errors after which another zone or type is tried."""


@dataclass(frozen=True)
class Choice:
    """One way to launch."""

    subnet_id: str
    template: dict[str, Any]
    instance_type: str
    """Empty: the template's own."""
    spot: bool


def template_of(group: Group) -> dict[str, Any]:
    """The launch template specification of a group."""
    if group.mixed:
        spec: dict[str, Any] = group.mixed["LaunchTemplate"]["LaunchTemplateSpecification"]
        return spec
    return group.template or {}


def overrides_of(group: Group) -> list[dict[str, Any]]:
    """The overrides of a mixed instances policy, in their order."""
    found: list[dict[str, Any]] = ((group.mixed or {}).get("LaunchTemplate") or {}).get("Overrides") or []
    return found


def choices(region: Region, group: Group) -> Iterator[Choice]:
    """Ways to launch, the preferred ones first.

    Zones with the fewest instances come first (user guide, zone balance). Within a zone types come in the order of the
    overrides: the lab has no market whose prices and depths `price-capacity-optimized` could weigh.
    """
    spot = _next_is_spot(group)
    for subnet_id in _subnets_by_use(region, group):
        for override in overrides_of(group) or [{}]:
            spec = override.get("LaunchTemplateSpecification") or template_of(group)
            yield Choice(subnet_id, spec, override.get("InstanceType", ""), spot)


def _subnets_by_use(region: Region, group: Group) -> list[str]:
    zones = {s: region.subnet(s).availability_zone for s in group.subnets}
    use = {s: sum(m.subnet_id == s for m in group.staying()) for s in group.subnets}
    per_zone = {z: sum(m.zone == z for m in group.staying()) for z in zones.values()}
    return sorted(group.subnets, key=lambda s: (per_zone[zones[s]], use[s], group.subnets.index(s)))


def _next_is_spot(group: Group) -> bool:
    """Base capacity on demand, above it a percentage (API reference, InstancesDistribution)."""
    if not group.mixed:
        return False
    distribution = group.mixed.get("InstancesDistribution") or {}
    base = int(distribution.get("OnDemandBaseCapacity") or 0)
    percent = distribution.get("OnDemandPercentageAboveBaseCapacity")
    percent = 100 if percent is None else int(percent)
    above = max(0, group.desired - base)
    wanted = min(group.desired, base) + math.ceil(above * percent / 100)
    return sum(not m.spot for m in group.staying()) >= wanted


def launch(region: Region, group: Group) -> Member:
    """Launch one instance into the group. Raises AwsError if no choice works."""
    problem: AwsError | None = None
    for choice in choices(region, group):
        try:
            machine = ec2_run.launch(region, params(region, group, choice))[0]
        except AwsError as error:
            problem = problem or error
            if error.code not in NO_CAPACITY:
                raise
            continue
        return _join(region, group, machine, choice)
    raise problem or AwsError("ValidationError", "The group has no subnets.")


def params(region: Region, group: Group, choice: Choice) -> Params:
    """RunInstances parameters of a choice."""
    made: Params = {"LaunchTemplate": choice.template, "MinCount": 1, "MaxCount": 1}
    version = ec2_templates.resolve(
        ec2_templates.find(region, choice.template), choice.template.get("Version")
    )
    nics = version.data.get("NetworkInterfaces")
    if nics:
        made["NetworkInterfaces"] = copy.deepcopy(nics)
        for nic in made["NetworkInterfaces"]:
            nic["SubnetId"] = choice.subnet_id
    else:
        made["SubnetId"] = choice.subnet_id
    if choice.instance_type:
        made["InstanceType"] = choice.instance_type
    if choice.spot:
        made["InstanceMarketOptions"] = {"MarketType": "spot"}
    tags = [{"Key": t.key, "Value": t.value} for t in group.tags.values() if t.propagate]
    if tags:
        made["TagSpecifications"] = [{"ResourceType": "instance", "Tags": tags}]
    return made


def _join(region: Region, group: Group, machine: Machine, choice: Choice) -> Member:
    template = ec2_templates.find(region, choice.template)
    machine.owner = group.name
    region.tag(machine.id, {"aws:autoscaling:groupName": group.name})
    member = Member(
        instance_id=machine.id,
        zone=machine.zone,
        subnet_id=machine.subnet_id,
        instance_type=machine.instance_type,
        template=(template.id, template.name, machine.template[1]),
        spot=machine.spot,
        joined=region.clock(),
        protected=group.protect_new,
    )
    group.members[machine.id] = member
    return member
