"""Replacing nodes in slots, one slot after the other, so that no connection is lost on the way.

For each slot: what its node holds is handed over, the group launches the new node beside the old one and ends that when
the new one is ready, and all is well again before the next slot's turn. Slots that hold nothing come first, so that a
pair is rolled with one handover; nodes that are not in service anyway come before those.
"""

from __future__ import annotations

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.found import Group, Member
from evernat.stack.layout import Slot
from evernat.stack.parts.group import deleted, ended, outdated
from evernat.stack.steps import Call, Step, Wait


def steps(context: Context) -> list[Step]:
    """One step for each slot with nodes that are not what a launch today would make."""
    old = {slot: outdated(context, slot) for slot in context.layout.slots}
    order = sorted((slot for slot in old if old[slot]), key=lambda slot: _turn(context, slot, old[slot]))
    return [_replaced(context, slot, old[slot]) for slot in order]


def _turn(context: Context, slot: Slot, old: dict[str, str]) -> tuple[bool, bool]:
    works = any(_works(member) for member in _members(context, slot, old))
    holds = any(address.instance_id in old for address in context.found.gateway_addresses)
    return works, holds


def _replaced(context: Context, slot: Slot, old: dict[str, str]) -> Step:
    members = _members(context, slot, old)
    actions: list[Call | Wait] = [ended(member) for member in members if not _works(member)]
    working = tuple(member.id for member in members if _works(member))
    if working:
        if len(context.layout.slots) > 1:
            actions.append(vacated(context, slot.name))
        subject = {"stack": context.gateway.name, "group": context.name_in(slot)}
        actions.append(Wait("replaced", subject, rolled=working))
    actions.append(serving(context))
    because = "; ".join(dict.fromkeys(old.values()))
    return Step("replace", "node", f"{', '.join(old)} in slot {slot.name}", tuple(actions), (), because)


def vacated(context: Context, slot: str) -> Wait:
    """Wait until a slot's nodes hold none of the stack's gateways; they are asked to hand them over."""
    return Wait("vacated", {"slot": slot, "gateways": tuple(g.name for g in context.layout.gateways)})


def cleanup(context: Context) -> list[Step]:
    """Delete groups of slots that the stack no longer has, when they hold nothing any more."""
    wanted = set(map(context.name_in, context.slots))
    extra = [g for g in context.found.own_groups if g.name not in wanted and not g.status]
    return [
        Step(
            "delete",
            "group",
            group.name,
            (vacated(context, group.tags.get(names.SLOT_TAG, "")), deleted(group)),
            (),
            "the stack no longer has its slot",
        )
        for group in extra
    ]


def serving(context: Context) -> Wait:
    """Wait until every gateway is ready, and every slot has a node in service.

    `led`: the gateways that tables are named for; for others the user sets routes, whenever that is.
    """
    shapes = context.layout.gateways
    subject = {
        "slots": tuple(slot.name for slot in context.layout.slots),
        "gateways": tuple(shape.name for shape in shapes),
        "led": tuple(shape.name for shape in shapes if shape.tables),
    }
    return Wait("serving", subject)


def _members(context: Context, slot: Slot, old: dict[str, str]) -> list[Member]:
    group: Group = context.found.groups[context.name_in(slot)]
    return [member for member in group.members if member.id in old]


def _works(member: Member) -> bool:
    return member.state == "InService" and member.health.lower() == "healthy"
