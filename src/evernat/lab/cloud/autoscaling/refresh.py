"""Instance refresh: replace the members one after the other (user guide, instance refresh).

This module decides who is next; `reconcile` replaces.
"""

from __future__ import annotations

from evernat.lab.cloud.autoscaling.model import Group, Member, Refresh
from evernat.lab.cloud.resources import utc_now
from evernat.lab.cloud.state import Region


def active(group: Group) -> Refresh | None:
    """The refresh under way, if any."""
    return next((r for r in group.refreshes if r.status in ("Pending", "InProgress", "Cancelling")), None)


def next_member(region: Region, group: Group) -> Member | None:
    """Whom to replace now; None while the last replacement is not settled or nothing is left."""
    current = active(group)
    if current is None or not group.runs("InstanceRefresh"):
        return None
    if current.status == "Cancelling":
        _end(current, "Cancelled", "Cancelled by user")
        for member in group.staying():
            member.retiring = "" if member.retiring == "refresh" else member.retiring
        return None
    current.status = "InProgress"
    current.todo = [i for i in current.todo if i in group.members and not group.members[i].leaving]
    if not _settled(region, group, current):
        return None
    if not current.todo:
        _end(current, "Successful", "")
        return None
    return group.members[current.todo[0]]


def launches_first(group: Group, current: Refresh) -> bool:
    """Whether the new one comes before the old one goes: all must stay healthy and there is room above."""
    policy = {"MinHealthyPercentage": 90, "MaxHealthyPercentage": 100, **(group.maintenance or {})}
    policy |= current.preferences
    return int(policy["MinHealthyPercentage"]) >= 100 and int(policy["MaxHealthyPercentage"]) > 100


def percentage(current: Refresh) -> int:
    """How far it is."""
    return 100 if not current.total else 100 * (current.total - len(current.todo)) // current.total


def _settled(region: Region, group: Group, current: Refresh) -> bool:
    """All members but those still to do are in service and warm, and nobody is on the way out."""
    warmup = current.preferences.get("InstanceWarmup")
    if warmup is None:
        warmup = group.grace if group.warmup is None else group.warmup
    for member in group.staying():
        if member.instance_id in current.todo:
            continue
        if member.in_service_since is None:
            return False
        warm = member.in_service_since + float(warmup)
        if member.joined >= current.since and region.clock() < warm:
            region.timers.add(warm, lambda: None)
            return False
    return len(group.staying()) >= group.desired and not any(m.leaving for m in group.members.values())


def _end(current: Refresh, status: str, reason: str) -> None:
    current.status, current.reason, current.end = status, reason, utc_now()
