"""Replacing nodes in slots, one slot after the other, so that no connection is lost on the way.

For each slot: what its node holds is handed over, the group launches the new node beside the old one and ends that when
the new one is ready, and all is well again before the next slot's turn. Slots that hold nothing come first, so that a
pair is rolled with one handover; nodes that are not in service anyway come before those.
"""

from __future__ import annotations

from evernat.stack.context import Context
from evernat.stack.found import Group, Member
from evernat.stack.layout import Slot
from evernat.stack.parts.group import ended, outdated
from evernat.stack.steps import Call, Step, Wait

PREFERENCES = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0}
"""The new node first. It needs no time to warm up: its launch hook has let it into service knowing all connections."""


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
    name = context.name_in(slot)
    members = _members(context, slot, old)
    actions: list[Call | Wait] = [ended(member) for member in members if not _works(member)]
    if len(actions) < len(members):
        if len(context.layout.slots) > 1:
            actions.append(Wait("vacated", slot.name))
        params = {"AutoScalingGroupName": name, "Preferences": PREFERENCES}
        # One that is under way already, by a run that was cut off, launches from the newest template as well.
        refresh = Call("autoscaling", "start_instance_refresh", params, done=("InstanceRefreshInProgress",))
        actions.append(refresh)
    actions += [Wait("replaced", name, rolled=tuple(old)), serving(context)]
    because = "; ".join(dict.fromkeys(old.values()))
    return Step("replace", "node", f"{', '.join(old)} in slot {slot.name}", tuple(actions), (), because)


def serving(context: Context) -> Wait:
    """Wait until every gateway has a holder that leads its tables, and every slot a node in service."""
    slots = tuple(slot.name for slot in context.layout.slots)
    return Wait("serving", {"slots": slots, "gateways": tuple(g.name for g in context.layout.gateways)})


def _members(context: Context, slot: Slot, old: dict[str, str]) -> list[Member]:
    group: Group = context.found.groups[context.name_in(slot)]
    return [member for member in group.members if member.id in old]


def _works(member: Member) -> bool:
    return member.state == "InService" and member.health.lower() == "healthy"
