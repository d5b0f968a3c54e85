"""VPC, subnets, CIDR blocks, forward targets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from evernat.stack.context import Context
from evernat.stack.errors import Problem
from evernat.stack.found import RouteTable
from evernat.stack.spec import Gateway


def vpc_missing(context: Context) -> Iterator[Problem]:
    """The VPC is not in this region and account."""
    identity = context.environment.identity
    yield Problem(
        "vpc_id",
        context.gateway.vpc_id,
        f"there is no such VPC in {identity.region} of account {identity.account}",
        "check the id; for another region set region (--region), for another account use --profile",
    )


def check(context: Context) -> Iterator[Problem]:
    """Everything the network must be."""
    yield from _public_subnets(context)
    yield from _cidrs(context)
    yield from _targets(context)


def _public_subnets(context: Context) -> Iterator[Problem]:
    gateway, environment = context.gateway, context.environment
    for field, subnet in named_subnets(gateway):
        if subnet not in environment.subnets:
            yield Problem(
                field,
                subnet,
                f"there is no such subnet in {gateway.vpc_id}",
                "name a subnet of the VPC that has a route to an internet gateway",
            )
            continue
        table = environment.route_table_of(subnet)
        if table is None or not leads_out(table):
            target = table.default if table else None
            where = (
                f"its route table {table.id} leads {'to ' + target.id if target else 'nowhere'}"
                if table
                else "no route table"
            )
            yield Problem(
                field,
                subnet,
                f"has no default route to an internet gateway ({where})",
                "choose a public subnet, or give its route table a route 0.0.0.0/0 to the VPC's internet gateway",
            )


def named_subnets(gateway: Gateway) -> Iterator[tuple[str, str]]:
    """The public subnets with the field in which the user names each."""
    if not gateway.public_subnets:
        yield "public_subnet", gateway.public_subnet
    for index, subnet in enumerate(gateway.public_subnets):
        yield f"public_subnets[{index}]", subnet


def leads_out(table: RouteTable) -> bool:
    """Whether the default route leads to an internet gateway."""
    target = table.default
    return target is not None and target.id.startswith("igw-") and target.state == "active"


def _cidrs(context: Context) -> Iterator[Problem]:
    vpc = context.environment.vpc
    assert vpc is not None, "checked before"
    for index, cidr in enumerate(context.gateway.private_subnets_cidr_blocks):
        if not vpc.contains(cidr):
            yield Problem(
                f"private_subnets_cidr_blocks[{index}]",
                cidr,
                f"is outside the VPC ({', '.join(vpc.cidrs)})",
                "list the CIDR blocks of the private subnets of this VPC",
            )


def _targets(context: Context) -> Iterator[Problem]:
    vpc = context.environment.vpc
    assert vpc is not None, "checked before"
    for index, forward in enumerate(context.gateway.port_forward):
        field, target = f"port_forward[{index}].target", forward.target
        if target.startswith("i-"):
            if target not in context.environment.targets:
                remedy = (
                    "name an instance of this VPC, or use name:<Name tag> to follow whichever instance has it"
                )
                yield Problem(field, target, f"there is no such instance in {vpc.id}", remedy)
        elif not target.startswith("name:") and not vpc.contains(f"{ipaddress.IPv4Address(target)}/32"):
            yield Problem(
                field,
                target,
                f"is outside the VPC ({', '.join(vpc.cidrs)})",
                "name an address inside the VPC",
            )
