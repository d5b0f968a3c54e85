"""Waiting for the world, bounded, and able to say what is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.boots import said
from evernat.stack.discover import discover_groups, discover_interfaces
from evernat.stack.errors import NotReady
from evernat.stack.handover import hand_over, target_of
from evernat.stack.instances import discover_nodes
from evernat.stack.readiness import misled, unable, unbacked, unproven
from evernat.stack.serving import Scene, look, survey
from evernat.stack.steps import Wait

SHORTEST_PAUSE, LONGEST_PAUSE = 0.2, 3.0

NEW_FIRST = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0}
"""Of an instance refresh. The new node first; it needs no time to warm up: its launch hook has let it into service when
it knew all connections."""
UNDER_WAY = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
GIVEN_UP = ("Failed", "Cancelled", "RollbackFailed", "RollbackSuccessful")
"""Of an instance refresh's status (Auto Scaling API reference, InstanceRefresh)."""


@dataclass(frozen=True)
class Condition:
    """Whether what is waited for holds; if not, what is missing."""

    holds: bool
    missing: str = ""


def wait_for(api: Api, stack: str, wait: Wait, timeout: float, report: Callable[[str], None]) -> None:
    """Return once the condition holds. Raises NotReady, saying what is missing, after `timeout` seconds."""
    if wait.what == "vacated":
        return _vacate(api, stack, wait, timeout, report)
    if wait.what == "replaced":
        return _replace(api, wait, timeout, report)
    begun, told = api.clock.now(), ""
    while True:
        condition = LOOKS[wait.what](api, stack, wait)
        if condition.holds:
            return None
        if condition.missing != told:
            told = condition.missing
            report(told)
        waited = api.clock.now() - begun
        if waited > timeout:
            raise NotReady(f"not ready after {timeout:.0f} s: {condition.missing}", _remedy(wait))
        api.clock.sleep(_pause(waited))


def _pause(waited: float) -> float:
    """Often at first, then in proportion to how long it takes anyway."""
    return min(max(SHORTEST_PAUSE, waited * 0.15), LONGEST_PAUSE)


def _ready(api: Api, stack: str, wait: Wait) -> Condition:
    """Whether a node that stays has proven the gateway that is an interface; with `led` routes count too."""
    scene = survey(api, stack)
    lacks = list(unproven(scene, stack, rolled=wait.rolled, address=wait.subject["address"]))
    lacks += misled(scene, stack) if wait.subject["led"] else ()
    return _condition(api, scene, [lack.cause for lack in lacks], ("",))


def _serving(api: Api, stack: str, wait: Wait) -> Condition:
    """Whether every slot has a node in service, and every gateway is ready as `status` would say."""
    scene, slots = survey(api, stack), tuple(wait.subject["slots"])
    lacks = list(unable(scene, slots))
    for gateway in wait.subject["gateways"]:
        lacks += unproven(scene, gateway)
        lacks += misled(scene, gateway) if gateway in wait.subject["led"] else ()
        lacks += unbacked(scene, gateway)
    return _condition(api, scene, list(dict.fromkeys(lack.cause for lack in lacks)), slots)


def _condition(api: Api, scene: Scene, causes: list[str], slots: tuple[str, ...]) -> Condition:
    """What is missing; for slots without a node in service also why the last launch or boot came to nothing."""
    for slot in slots if causes else ():
        group, boot = scene.group(slot), None if scene.able(slot) else said(scene, slot)
        failure = last_failure(api, group.name) if group and not group.members else ""
        named = f" for slot {slot}" if slot else ""
        causes += [f"its last attempt{named}: {failure}"] if failure else []
        causes += [f"{boot.instance} gave up: {boot.cause}"] if boot else []
    return Condition(not causes, "; ".join(causes))


def last_failure(api: Api, group: str) -> str:
    """Why the newest scaling activity failed; empty if it did not."""
    answer = api.call("autoscaling", "describe_scaling_activities", AutoScalingGroupName=group, MaxRecords=1)
    activities: list[dict[str, Any]] = answer.get("Activities") or []
    if activities and activities[0].get("StatusCode") in ("Failed", "Cancelled"):
        return str(activities[0].get("StatusMessage") or activities[0].get("Description") or "failed")
    return ""


def _group_gone(api: Api, stack: str, wait: Wait) -> Condition:
    groups = [g for g in discover_groups(api, stack).values() if g.tags.get(names.STACK_TAG) == stack]
    nodes = discover_nodes(api, stack)
    if not groups and not nodes:
        return Condition(True)
    waiting = (
        ", ".join(f"{n.id} is {n.state}" for n in nodes)
        or f"the group {', '.join(g.name for g in groups)} is being deleted"
    )
    return Condition(False, waiting)


def _interface_free(api: Api, stack: str, wait: Wait) -> Condition:
    mine = [i for i in discover_interfaces(api, stack) if i.id == wait.subject]
    if not mine or (not mine[0].instance_id and mine[0].status != "in-use"):
        return Condition(True)
    return Condition(False, f"{mine[0].id} is still attached to {mine[0].instance_id or 'an instance'}")


def _replace(api: Api, wait: Wait, timeout: float, report: Callable[[str], None]) -> None:
    """Have a group replace members, the new ones first, and return when it has let go of the old ones.

    A refresh that is under way already, by a run that was cut off, may be about other members: it is waited for, and
    then what is left is looked at again. Raises NotReady when the group has given up.
    """
    begun, told, mine = api.clock.now(), "", ""
    while True:
        group = discover_groups(api, wait.subject["stack"]).get(wait.subject["group"])
        members = {m.id: m.state for m in (group.members if group else ())}
        left = [identifier for identifier in wait.rolled if identifier in members]
        if group is None or not left:
            return
        newest = _newest_refresh(api, group.name)
        if mine and newest.get("InstanceRefreshId") == mine and newest.get("Status") in GIVEN_UP:
            reason = newest.get("StatusReason") or newest["Status"]
            remedy = "the old node still serves; the new one's system log says more. Correct the cause, deploy again"
            raise NotReady(f"{group.name} could not replace {', '.join(left)}: {reason}", remedy)
        if newest.get("Status") not in UNDER_WAY:
            mine = api.call(
                "autoscaling",
                "start_instance_refresh",
                AutoScalingGroupName=group.name,
                Preferences=NEW_FIRST,
            )["InstanceRefreshId"]
        missing = ", ".join(f"{identifier} is {state}" for identifier, state in members.items())
        if missing != told:
            told = missing
            report(missing)
        waited = api.clock.now() - begun
        if waited > timeout:
            raise NotReady(f"not ready after {timeout:.0f} s: {missing}", _remedy(wait))
        api.clock.sleep(_pause(waited))


def _newest_refresh(api: Api, group: str) -> dict[str, Any]:
    answer = api.call("autoscaling", "describe_instance_refreshes", AutoScalingGroupName=group, MaxRecords=1)
    return next(iter(answer.get("InstanceRefreshes") or []), {})


def _vacate(api: Api, stack: str, wait: Wait, timeout: float, report: Callable[[str], None]) -> None:
    """Have everything that a slot's nodes hold handed over, each gateway once its other slot is able to take it."""
    begun, told = api.clock.now(), ""
    while True:
        scene = look(api, stack)
        holders = {
            gateway: scene.holder(gateway)
            for gateway in wait.subject["gateways"]
            if gateway in scene.addresses
        }
        held = [gateway for gateway, node in holders.items() if node and node.slot == wait.subject["slot"]]
        if not held:
            return
        left = timeout - (api.clock.now() - begun)
        target = target_of(scene, held[0])
        if scene.able(target):
            hand_over(api, scene, held[0], target, timeout=max(left, 1.0), report=report)
            continue
        missing = f"slot {target} must be ready before it can take gateway {held[0]}"
        if left <= 0:
            raise NotReady(f"not ready after {timeout:.0f} s: {missing}", _remedy(wait))
        if missing != told:
            told = missing
            report(missing)
        api.clock.sleep(_pause(timeout - left))


LOOKS = {
    "ready": _ready,
    "group-gone": _group_gone,
    "interface-free": _interface_free,
    "serving": _serving,
}


def _remedy(wait: Wait) -> str:
    if wait.what in ("serving", "replaced", "vacated"):
        return (
            "evernat status  shows more; the node's system log says what its agent is missing. "
            "Run deploy again to go on"
        )
    if wait.what == "ready":
        return (
            "evernat status  shows more; the node's system log says what its agent is missing. "
            "Run deploy again to go on waiting; routes are set once NAT is proven"
        )
    return "run destroy again: it continues where it stopped"
