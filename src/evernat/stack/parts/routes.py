"""Default routes of the private route tables: to the interface, and on the way back to where they led before."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from evernat.stack import names
from evernat.stack.context import LATER, Context, retag
from evernat.stack.found import Found, RouteTable, Target
from evernat.stack.steps import Call, Change, Step, Verb
from evernat.stack.targets import is_uncertain, remembered, to_remember
from evernat.stack.values import Ref

DEFAULT = "0.0.0.0/0"

LEAVE = "or run with --leave-routes: its table is then left without a default route"


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
        if target and _worth_remembering(table, target, context.found):
            wanted[names.PREVIOUS_ROUTE_TAG] = to_remember(target)
        made += retag("route", table.id, table.tags, wanted)
    return made


def given_back(context: Context) -> list[Step]:
    """Give back tables that are no longer named."""
    named = context.gateway.private_route_table_ids
    because = "private_route_table_ids no longer names it"
    tables = [t for t in context.found.route_tables if t.id not in named]
    return _all_given_back(tables, context.found, because)


def removal(found: Found) -> list[Step]:
    """Give back every table."""
    return _all_given_back(list(found.route_tables), found)


def _all_given_back(tables: list[RouteTable], found: Found, because: str = "") -> list[Step]:
    """First those that may be refused, because nobody could say if the former target is there: then all others stay."""
    tables.sort(key=lambda table: not is_uncertain(remembered(table.tags)))
    return [step for table in tables for step in _given_back(table, found, because)]


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
    return table.tags.get(names.STACK_TAG) == found.stack and table.default == remembered(table.tags)


def stranded(found: Found, kept: Collection[str] = ()) -> Iterator[tuple[RouteTable, str]]:
    """(table, why) of the tables, but for `kept`, whose route is to be put back and cannot be."""
    for table in found.route_tables:
        why = "" if table.id in kept else _lost(table, found)
        if why:
            yield table, why


def _lost(table: RouteTable, found: Found) -> str:
    """Why the former route of a table that leads to the stack cannot be put back; empty if it can, or there is none."""
    if not is_ours(table, found) or table.tags.get(names.STACK_TAG) != found.stack:
        return ""
    former = remembered(table.tags)
    if former and not former.field:
        return f"led to {former.id} before, which is of a kind that this version of evernat does not know"
    if former and former.id in found.gone_targets:
        return f"led to {former.id} before, which does not exist any more, or does not serve this VPC"
    return ""


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
    if target and _worth_remembering(table, target, context.found):
        tags[names.PREVIOUS_ROUTE_TAG] = to_remember(target)
    there = target and not target.propagated
    # The tag first: once the route has changed nobody else remembers where it led.
    calls = (
        Call("ec2", "create_tags", {"Resources": [table.id], "Tags": names.tag_list(tags)}),
        _route(
            "replace_route" if there else "create_route", table.id, {"NetworkInterfaceId": Ref("interface")}
        ),
    )
    change = Change(f"route {DEFAULT}", describe(target), interface or LATER)
    return [Step("change" if there else "create", "route", table.id, calls, (change,))]


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
    former = remembered(table.tags) if tagged else None
    lost = _lost(table, found)
    if lost:
        # The user has been told, and goes on (`checks.routes`, `library.plan_removal`).
        former, because = None, lost
    calls: list[Call] = []
    if tagged and names.GATEWAY_TAG in table.tags:
        calls.append(_withdrawn(table))
    if ours and former:
        calls.append(_put_back(table, former, found))
    if ours and not former:
        calls.append(_deleted(table))
    if tagged:
        forget = [{"Key": names.STACK_TAG}, {"Key": names.PREVIOUS_ROUTE_TAG}]
        calls.append(Call("ec2", "delete_tags", {"Resources": [table.id], "Tags": forget}))
    changes = (Change(f"route {DEFAULT}", describe(table.default), describe(former)),) if ours else ()
    verb: Verb = "delete" if ours and not former else "change"
    return [Step(verb, "route", table.id, tuple(calls), changes, because)]


def _withdrawn(table: RouteTable) -> Call:
    """From here on no node may lead the table; until the end the other tags say what is still to do.

    Should AWS then refuse to put the route back, nodes must be able to lead it again: else it dies with its node.
    """
    tags = [{"Key": names.GATEWAY_TAG, "Value": table.tags[names.GATEWAY_TAG]}]
    undo = Call("ec2", "create_tags", {"Resources": [table.id], "Tags": tags})
    forget = {"Resources": [table.id], "Tags": [{"Key": names.GATEWAY_TAG}]}
    return Call("ec2", "delete_tags", forget, undo=undo)


def _put_back(table: RouteTable, former: Target, found: Found) -> Call:
    call = _route("replace_route", table.id, {former.field: former.id})
    if found.leave_routes:
        return replace(call, otherwise=_deleted(table))
    return replace(call, remedy=f"see why {former.id} does not take the route; {LEAVE}")


def _deleted(table: RouteTable) -> Call:
    params = {"RouteTableId": table.id, "DestinationCidrBlock": DEFAULT}
    return Call("ec2", "delete_route", params, done=("InvalidRoute.NotFound",))


def _worth_remembering(table: RouteTable, target: Target, found: Found) -> bool:
    """A propagated route stays below ours, and needs nobody to put it back."""
    return not is_ours(table, found) and target.state == "active" and not target.propagated


def _route(operation: str, table: str, target: Mapping[str, object]) -> Call:
    return Call("ec2", operation, {"RouteTableId": table, "DestinationCidrBlock": DEFAULT, **target})
