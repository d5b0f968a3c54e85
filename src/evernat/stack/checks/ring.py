"""A ring: one node per zone, and everything private belongs to exactly one of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from evernat.stack.context import Context
from evernat.stack.errors import Problem
from evernat.stack.layout import slot_of_forward, slot_of_subnet, slots_of_table


def check(context: Context) -> Iterator[Problem]:
    """Zones, tables, networks and forwards."""
    gateway = context.gateway
    if gateway.topology != "ring" or any(s not in context.environment.subnets for s in gateway.subnets):
        return  # a subnet that is not there has been told already
    yield from _zones(context)
    yield from _tables(context)
    yield from _networks(context)
    yield from _clients(context)
    yield from _forwards(context)


def _zones(context: Context) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, subnet in enumerate(context.gateway.subnets):
        zone = context.environment.subnets[subnet].zone
        if zone in seen:
            yield Problem(
                f"public_subnets[{index}]",
                subnet,
                f"is in {zone}, as {seen[zone]} is",
                "name one subnet in each zone, or use a pair",
            )
        seen.setdefault(zone, subnet)


def _tables(context: Context) -> Iterator[Problem]:
    gateway, environment = context.gateway, context.environment
    for index, table in enumerate(gateway.private_route_table_ids):
        slots = slots_of_table(gateway, environment, table)
        if table not in environment.route_tables or len(slots) == 1:
            continue
        cause = f"serves subnets of several gateways ({', '.join(sorted(slots))})"
        remedy = f'say in table_slots which gateway it belongs to: table_slots = {{ {table} = "a" }}'
        if not slots:
            cause = "serves no subnet in a zone of the ring"
        yield Problem(f"private_route_table_ids[{index}]", table, cause, remedy)
    for table in gateway.table_slots:
        if table not in gateway.private_route_table_ids:
            remedy = "list the table there too, or remove it here"
            yield Problem("table_slots", table, "is not in private_route_table_ids", remedy)


def _networks(context: Context) -> Iterator[Problem]:
    """A node that holds two gateways tells them apart by who is asking, so each network must have its gateway."""
    gateway, environment = context.gateway, context.environment
    served = [
        ipaddress.IPv4Network(s.cidr)
        for s in environment.subnets.values()
        if s.id not in gateway.subnets and slot_of_subnet(gateway, environment, s.id)
    ]
    for index, block in enumerate(gateway.private_subnets_cidr_blocks):
        if not any(ipaddress.IPv4Network(block).overlaps(network) for network in served):
            yield Problem(
                f"private_subnets_cidr_blocks[{index}]",
                block,
                "holds no private subnet in a zone of the ring",
                "list the CIDR blocks of private subnets; add a public subnet in their zone to public_subnets, or name "
                "their route tables in table_slots",
            )


def _clients(context: Context) -> Iterator[Problem]:
    """Each gateway has clients of its own. That no two share any is the layout's doing: subnets never overlap."""
    gateway, environment = context.gateway, context.environment
    for index, shape in enumerate(context.layout.gateways):
        if not shape.clients:
            subnet = gateway.subnets[index]
            yield Problem(
                f"public_subnets[{index}]",
                subnet,
                f"its gateway would serve nobody: private_subnets_cidr_blocks holds no private subnet of its own "
                f"({environment.subnets[subnet].zone})",
                "add the blocks of that zone's private subnets, or take this subnet out of public_subnets",
            )


def _forwards(context: Context) -> Iterator[Problem]:
    for index, forward in enumerate(context.gateway.port_forward):
        if slot_of_forward(context.gateway, context.environment, forward) is None:
            yield Problem(
                f"port_forward[{index}].slot",
                forward.target,
                "cannot be told from the target, and only the gateway that the target's replies leave by will do",
                'add slot = "a" (or b, ...): that of the gateway of the target\'s zone',
            )
