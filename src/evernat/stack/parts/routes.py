"""Default routes of the private route tables: to the interface, and on the way back to where they led before."""

from __future__ import annotations

from collections.abc import Mapping

from evernat.stack import names
from evernat.stack.context import LATER, Context, retag
from evernat.stack.found import Found, RouteTable, Target
from evernat.stack.steps import Call, Change, Step, Verb
from evernat.stack.values import Ref

DEFAULT = "0.0.0.0/0"

TAG_FIELDS = {
    "NatGatewayId": "nat-gateway-id",
    "NetworkInterfaceId": "network-interface-id",
    "TransitGatewayId": "transit-gateway-id",
    "VpcPeeringConnectionId": "vpc-peering-connection-id",
    "CarrierGatewayId": "carrier-gateway-id",
    "LocalGatewayId": "local-gateway-id",
    "CoreNetworkArn": "core-network-arn",
    "OdbNetworkArn": "odb-network-arn",
    "InstanceId": "instance-id",
    "GatewayId": "gateway-id",
}
"""AWS's field for a route's target -> its name in the tag that remembers the former one."""


def steps(context: Context) -> list[Step]:
    """Lead the named tables' default routes to the interface; give back tables that are no longer named."""
    named = context.gateway.private_route_table_ids
    tables = context.environment.route_tables
    made = [step for identifier in named for step in _led(context, tables[identifier])]
    return made + given_back(context)


def lent(context: Context) -> list[Step]:
    """Where gateways are addresses the nodes lead the tables. Remember where each led, then allow it, by its tags.

    Whoever holds a gateway sets its routes, at the first start too: that is one way for everything, and it has proven
    NAT before. `--replace-routes` is the consent to it.
    """
    made: list[Step] = []
    led = {table: shape.name for shape in context.layout.gateways for table in shape.tables}
    for identifier, gateway in led.items():
        table = context.environment.route_tables[identifier]
        wanted = {names.STACK_TAG: context.gateway.name, names.GATEWAY_TAG: gateway}
        target = table.default
        if target and not is_ours(table, context.found) and target.state == "active":
            wanted[names.PREVIOUS_ROUTE_TAG] = f"{TAG_FIELDS[target.field]}={target.id}"
        made += retag("route", table.id, table.tags, wanted)
    return made


def given_back(context: Context) -> list[Step]:
    """Give back tables that are no longer named."""
    named = context.gateway.private_route_table_ids
    because = "private_route_table_ids no longer names it"
    tables = [t for t in context.found.route_tables if t.id not in named]
    return [step for table in tables for step in _given_back(table, context.found, because)]


def removal(found: Found) -> list[Step]:
    """Give back every table."""
    return [step for table in found.route_tables for step in _given_back(table, found)]


def taken_over(context: Context) -> list[RouteTable]:
    """The named tables whose working default route leads elsewhere today."""
    tables = [context.environment.route_tables[t] for t in context.gateway.private_route_table_ids]
    return [t for t in tables if t.default and t.default.state == "active" and not is_ours(t, context.found)]


def is_ours(table: RouteTable, found: Found) -> bool:
    """Whether the table's default route leads to an interface or node of the stack (or to one that it had)."""
    target = table.default
    if target is None or target.field != "NetworkInterfaceId":
        return False
    dead_end = target.state == "blackhole" and table.tags.get(names.STACK_TAG) == found.stack
    known = {i.id for i in found.interfaces} | {i for node in found.nodes for i in node.interfaces}
    # Of a table that nodes lead, the interface may be that of a node launched after the nodes were listed.
    return target.id in known or dead_end or is_led(table, found)


def is_led(table: RouteTable, found: Found) -> bool:
    """Whether the stack's nodes lead this table, as the tag allows them to."""
    return table.tags.get(names.STACK_TAG) == found.stack and names.GATEWAY_TAG in table.tags


def is_agreed(table: RouteTable, found: Found) -> bool:
    """Whether a cut-off run had begun to replace this very route: the consent was given then."""
    return table.tags.get(names.STACK_TAG) == found.stack and table.default == previous(table.tags)


def previous(tags: Mapping[str, str]) -> Target | None:
    """The target that the tag remembers."""
    field, _, identifier = tags.get(names.PREVIOUS_ROUTE_TAG, "").partition("=")
    known = {tag: name for name, tag in TAG_FIELDS.items()}
    return Target(known[field], identifier) if field in known and identifier else None


def describe(target: Target | None) -> str:
    """A target for people."""
    if target is None:
        return "(none)"
    return target.id + (" (blackhole)" if target.state == "blackhole" else "")


def _led(context: Context, table: RouteTable) -> list[Step]:
    interface = context.known.get("interface")
    target = table.default
    if target and target.id == interface:
        return _remembered(context, table)
    tags = {names.STACK_TAG: context.gateway.name}
    if target and not is_ours(table, context.found) and target.state == "active":
        tags[names.PREVIOUS_ROUTE_TAG] = f"{TAG_FIELDS[target.field]}={target.id}"
    # The tag first: once the route has changed nobody else remembers where it led.
    calls = (
        Call("ec2", "create_tags", {"Resources": [table.id], "Tags": names.tag_list(tags)}),
        _route(
            "replace_route" if target else "create_route", table.id, {"NetworkInterfaceId": Ref("interface")}
        ),
    )
    change = Change(f"route {DEFAULT}", describe(target), interface or LATER)
    return [Step("change" if target else "create", "route", table.id, calls, (change,))]


def _remembered(context: Context, table: RouteTable) -> list[Step]:
    if table.tags.get(names.STACK_TAG) == context.gateway.name:
        return []
    tags = {names.STACK_TAG: context.gateway.name}
    call = Call("ec2", "create_tags", {"Resources": [table.id], "Tags": names.tag_list(tags)})
    change = Change(f"tag {names.STACK_TAG}", table.tags.get(names.STACK_TAG, "(none)"), context.gateway.name)
    return [Step("change", "route", table.id, (call,), (change,))]


def _given_back(table: RouteTable, found: Found, because: str = "") -> list[Step]:
    ours = is_ours(table, found)
    tagged = table.tags.get(names.STACK_TAG) == found.stack
    if not ours and not tagged:
        return []
    former = previous(table.tags) if tagged else None
    if former and former.id in found.gone_targets:
        because = f"{former.id}, where it led before, does not exist any more"
        former = None
    calls: list[Call] = []
    if tagged and names.GATEWAY_TAG in table.tags:
        # From here on no node may lead the table; until the end the other tags say what is still to do.
        forget_gateway = {"Resources": [table.id], "Tags": [{"Key": names.GATEWAY_TAG}]}
        calls.append(Call("ec2", "delete_tags", forget_gateway))
    if ours and former:
        calls.append(_route("replace_route", table.id, {former.field: former.id}))
    if ours and not former:
        params = {"RouteTableId": table.id, "DestinationCidrBlock": DEFAULT}
        calls.append(Call("ec2", "delete_route", params, done=("InvalidRoute.NotFound",)))
    if tagged:
        forget = [{"Key": names.STACK_TAG}, {"Key": names.PREVIOUS_ROUTE_TAG}]
        calls.append(Call("ec2", "delete_tags", {"Resources": [table.id], "Tags": forget}))
    changes = (Change(f"route {DEFAULT}", describe(table.default), describe(former)),) if ours else ()
    verb: Verb = "delete" if ours and not former else "change"
    return [Step(verb, "route", table.id, tuple(calls), changes, because)]


def _route(operation: str, table: str, target: Mapping[str, object]) -> Call:
    return Call("ec2", operation, {"RouteTableId": table, "DestinationCidrBlock": DEFAULT, **target})
