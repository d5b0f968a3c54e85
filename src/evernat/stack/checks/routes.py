"""The private route tables."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.stack.checks.network import leads_out
from evernat.stack.context import Context
from evernat.stack.errors import Problem
from evernat.stack.found import RouteTable
from evernat.stack.parts.routes import LEAVE, describe, is_agreed, is_ours, stranded


def check(context: Context, *, replace_routes: bool) -> Iterator[Problem]:
    """Tables of this VPC, not the public subnet's own, without a foreign default route (unless agreed to).

    And of those that are given back: their former routes can be put back (unless agreed to).
    """
    gateway, environment = context.gateway, context.environment
    own = (environment.route_table_of(subnet) for subnet in gateway.subnets)
    # One that leads nowhere has been told already.
    public = {table.id for table in own if table and leads_out(table)}
    for index, identifier in enumerate(gateway.private_route_table_ids):
        field = f"private_route_table_ids[{index}]"
        table = environment.route_tables.get(identifier)
        if table is None:
            remedy = "correct the id, or remove it"
            yield Problem(
                field, identifier, f"there is no such route table in {environment.identity.region}", remedy
            )
        elif table.vpc_id != gateway.vpc_id:
            remedy = "list route tables of this VPC only"
            yield Problem(field, identifier, f"is in {table.vpc_id}, not in {gateway.vpc_id}", remedy)
        elif table.id in public:
            remedy = "list the route tables of the private subnets only"
            yield Problem(
                field,
                identifier,
                "is the route table of public_subnet: nodes would lose their own way out",
                remedy,
            )
        elif _foreign(table, context) and _strange(table):
            yield Problem(
                field,
                identifier,
                "has a default route to a target of a kind that this version of evernat does not know, "
                "so nobody could put it back",
                "replace or delete that route yourself, or remove the table from the list",
            )
        elif _foreign(table, context) and not replace_routes:
            yield Problem(
                field,
                identifier,
                f"has a default route to {describe(table.default)}, which is not this stack's",
                "run with --replace-routes to replace it (destroy puts it back), or remove the table from the list",
            )

    if not context.found.leave_routes:
        for table, why in stranded(context.found, kept=gateway.private_route_table_ids):
            remedy = f"keep the table, or set its default route yourself, {LEAVE}"
            yield Problem("private_route_table_ids", table.id, f"is no longer named, and {why}", remedy)


def _strange(table: RouteTable) -> bool:
    target = table.default
    return target is not None and not target.field and not target.propagated and target.state == "active"


def _foreign(table: RouteTable, context: Context) -> bool:
    return (
        table.default is not None
        and not is_ours(table, context.found)
        and not is_agreed(table, context.found)
    )
