"""Whether a gateway's clients have internet, and why not. Pure, and decided here alone.

`status` shows it, `deploy` waits for it and ends with it, so the one never contradicts the other. Ready means: a node
in service holds the gateway; address, routes, source/destination check and security groups are as clients need them;
the holder reported lately that a packet which took a client's way came back from the internet; and, where there is to
be a standby, the holder hears one that has the connections. What is not known does not count as ready.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from evernat.stack.admission import shut
from evernat.stack.found import Group, Member, Node, RouteTable
from evernat.stack.reports import OLD, Report
from evernat.stack.serving import Scene, leads_to

State = Literal["ready", "alone", "starting", "disabled", "down"]
Address = Literal["own", "any", "none"]

BEYOND = "beyond"
"""The hop of an egress check that says: all is well up to this node's way out, and the internet does not answer."""


@dataclass(frozen=True)
class Lack:
    """Something that clients still need. `coming`: what is under way may bring it, nobody has to do anything."""

    cause: str
    coming: bool = False


@dataclass(frozen=True)
class Readiness:
    """A gateway's state with its causes in words; none when it is ready.

    alone: clients are served, but no node could take over at once. starting: not served yet, a node is on its way.
    down: not served, or not known to be.
    """

    state: State
    causes: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """The causes in one line."""
        return "; ".join(self.causes)


def readiness(scene: Scene, gateway: str) -> Readiness:
    """The state of a gateway. The scene must be a whole one (`serving.survey`)."""
    groups = [g for g in scene.groups.values() if not g.status]
    if groups and not any(int(g.raw.get("DesiredCapacity", 0)) for g in groups):
        return Readiness("disabled", ("enabled = false",))
    lacks = [*unproven(scene, gateway), *misled(scene, gateway)]
    if not lacks:
        lone = tuple(lack.cause for lack in unbacked(scene, gateway))
        return Readiness("alone" if lone else "ready", lone)
    state: State = "starting" if any(lack.coming for lack in lacks) else "down"
    return Readiness(state, tuple(lack.cause for lack in lacks))


def unproven(
    scene: Scene, gateway: str, *, rolled: tuple[str, ...] = (), address: Address = "own"
) -> Iterator[Lack]:
    """What is missing until the gateway is proven: everything but routes and standby.

    `rolled`: nodes that are being replaced and do not count. `address`: whether the Elastic IP that the stack allocated
    has to be on its persistent interface, or any will do, or none.
    """
    holder = scene.holder(gateway)
    fit = holder and holder.id not in rolled and holder.id in {n.id for n in scene.able(holder.slot)}
    if not holder or not fit:
        yield from _unheld(scene, gateway, rolled)
        if holder and holder.id not in rolled:
            yield from _no_way_out(scene, gateway, holder)
        return
    off = list(_address_off(scene, address))
    if off and address == "none":
        return  # nothing can be proven without
    yield from off
    nic = scene.nic(gateway)
    if nic and nic.checked:
        yield Lack(f"the source/destination check of {scene.interface(gateway)} is on")
    if nic:
        groups = tuple(scene.security_groups[g] for g in nic.groups if g in scene.security_groups)
        yield from map(Lack, shut(groups, scene.clients(gateway)))
    yield from _unsaid(scene, gateway, holder)


def misled(scene: Scene, gateway: str) -> Iterator[Lack]:
    """Route tables that do not lead to the holder; that there is none which does."""
    holder = scene.holder(gateway)
    if not holder or holder.id not in {n.id for n in scene.able(holder.slot)}:
        return  # then that is what is missing
    place = f"{holder.id}, which holds {gateway}," if scene.addresses else scene.interface(gateway)
    for table in _wanted(scene, gateway):
        if not leads_to(table, holder):
            yield Lack(f"{table.id} does not lead to {place} yet")
        elif table.default and table.default.state != "active":
            yield Lack(f"{table.id} leads to {place} and is a {table.default.state} by AWS's word")
    if not scene.leading(gateway):
        yield Lack(f"no route table leads to {place.rstrip(',')}")


def unbacked(scene: Scene, gateway: str) -> Iterator[Lack]:
    """What is missing until a standby could take a served gateway over with every connection."""
    slots, holder = scene.slots(gateway), scene.holder(gateway)
    if len(slots) < 2 or holder is None:
        return
    yield from unable(scene, slots)
    able = [slot for slot in slots if slot != holder.slot and scene.able(slot)]
    report, standby = scene.report(gateway), scene.standby(gateway)
    if able and not standby:
        yield Lack(f"{holder.id} hears no standby for {gateway} that is ready", coming=True)
    elif standby and not (report and report.sync and report.sync.synced):
        yield Lack(f"{standby.id} does not have all connections of {gateway} yet", coming=True)


def unable(scene: Scene, slots: tuple[str, ...]) -> Iterator[Lack]:
    """Slots without a node in service, and why."""
    for slot in slots:
        if not scene.able(slot):
            group = scene.group(slot)
            why = "; ".join(_member(scene, m) for m in group.members) if group else ""
            yield Lack(f"slot {slot}: {why or _empty(group)}", coming=bool(why))


def offline(scene: Scene) -> bool:
    """Whether no node of the stack reaches the internet, so that the internet is at fault.

    A holder keeps a gateway that has no internet only while no standby of it has.
    """
    reports = [scene.report(name) for name in scene.gateways]
    egress = [r.egress for r in reports if r and not r.stale and r.egress]
    waiting = any(r and r.standby for r in reports)
    return bool(egress) and not waiting and all(not e.ok and e.hop == BEYOND for e in egress)


def _wanted(scene: Scene, gateway: str) -> tuple[RouteTable, ...]:
    """The tables that are to lead to a gateway. Where it is the only one also those that were given back for now."""
    return scene.own_tables if len(scene.gateways) == 1 else scene.tables_of(gateway)


def _unheld(scene: Scene, gateway: str, rolled: tuple[str, ...]) -> Iterator[Lack]:
    """Why no node in service has the gateway."""
    if not scene.addresses:
        yield from _without_interface(scene, rolled)
        return
    yield from unable(scene, scene.slots(gateway))
    holder, address = scene.holder(gateway), scene.addresses.get(gateway)
    members = any(g.members for slot in scene.slots(gateway) if (g := scene.group(slot)))
    public = f" ({address.public_address})" if address else ""
    if holder:
        yield Lack(f"{holder.id} holds {gateway} and is not in service", coming=members)
    elif address and address.interface_id:
        yield Lack(f"the Elastic IP{public} of {gateway} is on {address.interface_id}, which is no node's")
    else:
        yield Lack(f"no node has taken gateway {gateway}{public} yet", coming=members)


def _without_interface(scene: Scene, rolled: tuple[str, ...]) -> Iterator[Lack]:
    group = scene.group("")
    members = [m for m in group.members if m.id not in rolled] if group else []
    if not members:
        yield Lack(_empty(group))
    for member in members:
        yield Lack(_member(scene, member, scene.interfaces[0].id if scene.interfaces else ""), coming=True)


def _empty(group: Group | None) -> str:
    if group is None:
        return "there is no Auto Scaling group"
    return "the Auto Scaling group has not launched a node yet"


def _member(scene: Scene, member: Member, interface: str = "") -> str:
    """Why a member of a group does not serve. `interface`: the persistent one that it needs, if there is one."""
    node = next((n for n in scene.nodes if n.id == member.id), None)
    if node and node.state != "running":
        return f"{member.id} is {node.state}"
    if member.health.lower() != "healthy":
        return f"{member.id} is unhealthy; the group is about to replace it"
    has = node and interface in node.interfaces
    if interface and member.state.startswith("Pending"):
        return f"{member.id} {_booting(scene, node if has else None, interface)}"
    if member.state.startswith("Pending"):
        return f"{member.id} is not ready yet (boot, packages, rules, connections, probe)"
    if interface and not has:
        return f"{member.id} is in service without the interface"
    return f"{member.id} is {member.state}"


def _booting(scene: Scene, node: Node | None, interface: str) -> str:
    if node:
        return "has the interface and has not proven NAT yet (boot, packages, rules, probe)"
    other = scene.interfaces[0].instance_id
    still = f" ({interface} is still attached to {other})" if other else ""
    return f"boots and does not have the interface yet{still}"


def _address_off(scene: Scene, address: Address) -> Iterator[Lack]:
    """An Elastic IP that is not on the persistent interface. Where it is the identity, it is where it is."""
    if scene.addresses or not scene.interfaces:
        return
    interface, own = scene.interfaces[0], scene.own if address == "own" else None
    if own and interface.allocation_id != own.id:
        where = f", but on {own.interface_id}" if own.interface_id else ""
        yield Lack(f"the Elastic IP {own.public_address} is not on {interface.id}{where}")
    elif not interface.public_address:
        yield Lack(f"{interface.id} has no public address: no Elastic IP is associated with it")


def _unsaid(scene: Scene, gateway: str, holder: Node) -> Iterator[Lack]:
    """What the holder's report leaves to be desired."""
    report = scene.report(gateway)
    if report is None:
        yield Lack(f"{holder.id} has not reported on {gateway} yet", coming=True)
    elif report.stale:
        yield Lack(f"{holder.id} {_silence(report)}")
    elif report.egress is None:
        yield Lack(f"{holder.id} has not checked its way to the internet yet", coming=True)
    elif report.egress.age > OLD:
        yield Lack(f"{holder.id} last checked its way to the internet {report.egress.age:.0f} s ago")
    else:
        yield from _no_way_out(scene, gateway, holder)


def _no_way_out(scene: Scene, gateway: str, holder: Node) -> Iterator[Lack]:
    """The check that failed, by a fresh report."""
    report = scene.report(gateway)
    if report and not report.stale and report.egress and not report.egress.ok:
        hop = f"{report.egress.hop}: " if report.egress.hop else ""
        fault = "; no node reaches the internet: the internet is at fault" if offline(scene) else ""
        yield Lack(
            f"{holder.id} has no way to the internet: {hop}{report.egress.cause or 'no cause given'}{fault}"
        )


def _silence(report: Report) -> str:
    if report.age <= OLD:
        return "dates its reports ahead: its clock is wrong, and nothing says how old they are"
    return f"last reported {report.age:.0f} s ago: it has no way to the API, or its agent does not run"
