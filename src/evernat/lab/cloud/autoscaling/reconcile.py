"""What Auto Scaling does by itself.

`advance` follows instances and hooks and fills the gap between desired and actual; it runs whenever something
happened. `check` looks at health, once per tick: that is how long AWS takes to notice.

A member is replaced in one of two orders. By default the old one ends first and the gap is filled. Where the
maintenance policy, a refresh or capacity rebalancing says so it is `retiring`: one more is launched, and it ends when
enough others are in service (user guide, instance maintenance policies; capacity rebalancing).
"""

from __future__ import annotations

import math
import uuid

from evernat.lab.cloud import ec2_state
from evernat.lab.cloud.autoscaling import launch, refresh
from evernat.lab.cloud.autoscaling.model import LAUNCHING, TERMINATING, Group, Hook, Member, Wait
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.state import Region

RETRY_FIRST, RETRY_MOST = 1.0, 60.0
"""Seconds between launches that fail, growing twofold. AWS backs off too, by figures it does not tell."""


def advance(region: Region) -> None:
    """Bring every group one step on."""
    for group in list(region.groups.values()):
        for member in list(group.members.values()):
            _follow(region, group, member)
        _refresh(region, group)
        _end_retiring(region, group)
        _capacity(region, group)
        if group.deleting and not group.members:
            del region.groups[group.name]


def check(region: Region) -> None:
    """Look at the health of every member and act on it."""
    for group in region.groups.values():
        if not group.deleting:
            for member in group.staying():
                if group.runs("HealthCheck"):
                    _observe(region, group, member)
                _rebalance(region, group, member)
                _age(region, group, member)
            _replace_unhealthy(region, group)


# following one member ---------------------------------------------------------------------------------------------


def _follow(region: Region, group: Group, member: Member) -> None:
    machine = region.machines.get(member.instance_id)
    state = machine.state if machine else "terminated"
    _timeout(region, group, member)
    if member.state == "Pending" and state == "running":
        _next_hook(region, group, member, LAUNCHING)
    if member.state == "Pending:Proceed":
        _in_service(region, group, member)
    if member.state == "Terminating:Proceed" and machine:
        ec2_state.terminate(region, machine, "Client.UserInitiatedShutdown", "User initiated")
    if member.state == "Terminating:Proceed" and (not machine or not machine.alive):
        _finish(member, "Successful")
        group.members.pop(member.instance_id, None)


def _hooks(group: Group, transition: str) -> list[Hook]:
    return [h for h in group.hooks.values() if h.transition == transition]


def _next_hook(region: Region, group: Group, member: Member, transition: str) -> None:
    """Wait for the next hook of a transition, or proceed when none is left."""
    prefix = "Pending" if transition == LAUNCHING else "Terminating"
    left = [h for h in _hooks(group, transition) if h.name not in member.hooks_done and not member.skip_hooks]
    if not left:
        member.state = "Pending:Proceed" if prefix == "Pending" else "Terminating:Proceed"
        member.wait = None
        return
    now = region.clock()
    hook = left[0]
    member.state = "Pending:Wait" if prefix == "Pending" else "Terminating:Wait"
    member.wait = Wait(hook.name, str(uuid.uuid4()), now + hook.heartbeat, now + hook.total)
    region.timers.add(member.wait.deadline, lambda: None)


def complete(region: Region, group: Group, member: Member, result: str) -> None:
    """A hook's action ended with CONTINUE or ABANDON."""
    if member.wait is None:
        return
    member.hooks_done.append(member.wait.hook)
    member.wait = None
    if member.state == "Pending:Wait":
        if result == "CONTINUE":
            _next_hook(region, group, member, LAUNCHING)
        else:
            _finish(member, "Cancelled", "Lifecycle action was abandoned")
            member.skip_hooks = True
            terminate(region, group, member, "an instance was abandoned by a lifecycle hook")
    else:
        # On the way out both results end the wait; ABANDON skips the hooks that are left.
        member.skip_hooks = member.skip_hooks or result != "CONTINUE"
        _next_hook(region, group, member, TERMINATING)
    _follow(region, group, member)


def _timeout(region: Region, group: Group, member: Member) -> None:
    if member.wait is None:
        return
    if region.clock() >= min(member.wait.deadline, member.wait.limit):
        hook = group.hooks.get(member.wait.hook)
        complete(region, group, member, hook.default_result if hook else "CONTINUE")


def _in_service(region: Region, group: Group, member: Member) -> None:
    member.state = "InService"
    member.in_service_since = region.clock()
    _finish(member, "Successful")
    group.failures = 0


def _finish(member: Member, status: str, message: str = "") -> None:
    if member.activity and member.activity.end is None:
        member.activity.finish(status, message)


def terminate(region: Region, group: Group, member: Member, cause: str) -> None:
    """Begin to end a member; termination hooks come first."""
    if member.leaving:
        return
    _finish(member, "Cancelled", "The instance was terminated before it was in service")
    member.state = "Terminating"
    member.retiring = ""
    member.hooks_done = []
    member.wait = None
    member.activity = group.log(f"Terminating EC2 instance: {member.instance_id}", cause)
    machine = region.machines.get(member.instance_id)
    if machine is None or not machine.alive:
        member.skip_hooks = True
    _next_hook(region, group, member, TERMINATING)
    _follow(region, group, member)


# health -----------------------------------------------------------------------------------------------------------


def _observe(region: Region, group: Group, member: Member) -> None:
    """EC2 health: stopped and terminated at once, failed status checks after the grace period."""
    machine = region.machines.get(member.instance_id)
    if machine is None or machine.state not in ("pending", "running"):
        member.healthy = False
        member.retiring = ""
        return
    since = member.in_service_since
    if not machine.healthy and since is not None and region.clock() - since >= group.grace:
        member.healthy = False


def _replace_unhealthy(region: Region, group: Group) -> None:
    if not group.runs("ReplaceUnhealthy"):
        return
    for member in [m for m in group.staying() if not m.healthy and not m.retiring]:
        machine = region.machines.get(member.instance_id)
        works = machine is not None and machine.state == "running" and machine.healthy
        if works and launches_first(group):
            member.retiring = "unhealthy"
        elif group.runs("Terminate") or not works:
            whose = "a user health-check" if member.sentenced else "an EC2 health check"
            cause = f"an instance was taken out of service in response to {whose}."
            terminate(region, group, member, cause)
            group.cause = (
                "an instance was started in response to a difference between desired and actual capacity."
            )


def launches_first(group: Group) -> bool:
    """Whether the maintenance policy lets no healthy instance go before another one came."""
    policy = group.maintenance or {}
    return policy.get("MinHealthyPercentage", -1) == 100 and policy.get("MaxHealthyPercentage", -1) > 100


def _rebalance(region: Region, group: Group, member: Member) -> None:
    """Capacity rebalancing acts on the recommendation and on the notice; it needs room below the maximum."""
    machine = region.machines.get(member.instance_id)
    warned = machine is not None and (machine.rebalance or machine.spot_action)
    if group.capacity_rebalance and warned and not member.retiring and len(group.staying()) < group.maximum:
        member.retiring = "rebalance"
        group.cause = "an instance was started in response to an EC2 instance rebalance recommendation."


def _age(region: Region, group: Group, member: Member) -> None:
    old = group.max_lifetime and region.clock() - member.joined >= group.max_lifetime
    if not old or member.retiring or any(m.retiring for m in group.staying()):
        return
    if launches_first(group):
        member.retiring = "lifetime"
    else:
        terminate(region, group, member, "an instance was taken out of service: maximum instance lifetime.")


def _refresh(region: Region, group: Group) -> None:
    current = refresh.active(group)
    member = refresh.next_member(region, group)
    if current is None or member is None or member.retiring:
        return
    group.cause = f"an instance was launched in response to instance refresh {current.id}."
    if refresh.launches_first(group, current):
        member.retiring = "refresh"
    else:
        terminate(region, group, member, f"an instance was replaced by instance refresh {current.id}.")


# capacity ---------------------------------------------------------------------------------------------------------


def _ready(group: Group) -> list[Member]:
    return [m for m in group.staying() if m.state == "InService" and not m.retiring and m.healthy]


def _end_retiring(region: Region, group: Group) -> None:
    for member in [m for m in group.staying() if m.retiring]:
        if len(_ready(group)) >= group.desired and group.runs("Terminate"):
            terminate(region, group, member, f"an instance was replaced: {member.retiring}.")


def _limit(group: Group) -> int:
    """How many instances a replacement may reach: the maximum, or what the policy allows above desired."""
    percent = (group.maintenance or {}).get("MaxHealthyPercentage") or 100
    active = refresh.active(group)
    if active:
        percent = max(percent, int(active.preferences.get("MaxHealthyPercentage") or 100))
    return max(group.maximum, math.ceil(group.desired * percent / 100))


def _capacity(region: Region, group: Group) -> None:
    if group.deleting:
        return
    retiring = sum(bool(m.retiring) for m in group.staying())
    wanted = min(group.desired + retiring, max(group.desired, _limit(group)))
    missing = wanted - len(group.staying())
    if missing > 0 and group.runs("Launch") and region.clock() >= group.retry_at:
        for _ in range(missing):
            if not _launch_one(region, group):
                break
    elif missing < 0 and group.runs("Terminate"):
        _scale_in(region, group, -missing)


def _launch_one(region: Region, group: Group) -> bool:
    default = "an instance was started in response to a difference between desired and actual capacity."
    activity = group.log("Launching a new EC2 instance", group.cause or default)
    group.cause = ""
    try:
        member = launch.launch(region, group)
    except AwsError as problem:
        activity.finish("Failed", f"{problem.message} Launching EC2 instance failed.")
        delay = min(RETRY_FIRST * 2**group.failures, RETRY_MOST)
        group.failures += 1
        group.retry_at = region.clock() + delay
        region.timers.add(group.retry_at, lambda: None)
        region.log(f"auto scaling group {group.name}: launch failed: {problem}")
        return False
    activity.description = f"Launching a new EC2 instance: {member.instance_id}"
    member.activity = activity
    return True


def _scale_in(region: Region, group: Group, count: int) -> None:
    """The default policy: the zone with most instances, there the oldest template, then the oldest instance."""
    for _ in range(count):
        loose = [m for m in group.staying() if not m.protected and not m.retiring]
        if not loose:
            return
        per_zone = {m.zone: sum(n.zone == m.zone for n in loose) for m in loose}
        victim = min(loose, key=lambda m: (-per_zone[m.zone], int(m.template[2] or 0), m.joined))
        terminate(
            region, group, victim, "an instance was taken out of service in response to a change of capacity."
        )
