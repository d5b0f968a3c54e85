"""`evernat status`: what a stack is doing now, on one screen."""

from __future__ import annotations

from collections.abc import Iterator

import typer

from evernat.cli import common
from evernat.cli.terminal import safe
from evernat.stack.boots import Boot
from evernat.stack.reports import Report
from evernat.stack.status import GatewayStatus, GroupStatus, NodeStatus, RouteStatus, Status
from evernat.stack.status import status as look

COLOURS = {
    "ready": "green",
    "ok": "green",
    "starting": "yellow",
    "alone": "yellow",
    "astray": "yellow",
    "disabled": "dim",
}

NOT_READY = 3
"""Exit code: the question was answered, and a gateway is not ready. (1 means that it could not be answered.)"""


def status(
    file: common.File = common.FILE,
    name: common.Name = None,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Show gateway, holder, routes, group and nodes; exit with 3 when a gateway is not ready (not with --json)."""
    stack, api = common.name_and_api(file, name, region, profile)
    with common.err.status("looking"):
        now = look(api, stack)
    if as_json:
        common.print_json(now.as_dict())
        return
    _text(now)
    if not now.whole:
        raise typer.Exit(NOT_READY)


def _coloured(state: str) -> str:
    return f"[{COLOURS.get(state, 'red')}]{safe(state)}[/]"


def _text(now: Status) -> None:
    out = common.out
    place = "  ".join(safe(one) for one in (now.region, now.vpc_id, now.topology))
    out.print(f"stack [bold]{safe(now.stack)}[/]  {place}")
    for gateway in now.gateways:
        out.print(_gateway(gateway, ring=len(now.gateways) > 1))
        if gateway.holder:
            out.print("          " + _report(gateway))
    for route in now.routes:
        out.print(_route(route, several=len(now.gateways) > 1))
    for group in now.groups:
        out.print(_group(group, named=group != now.group))
    for node in now.nodes:
        out.print(_node(node))
    for boot in now.boots:
        for line in boot_lines(boot):
            out.print(line)
    out.print(f"[dim]agent {safe(now.agent_version or '-')}, last change {safe(now.last_change or '-')}[/]")


def _gateway(gateway: GatewayStatus, *, ring: bool) -> str:
    why = f"  {safe(gateway.why)}" if gateway.why else ""
    address = safe(gateway.public_address or "no public address")
    holder = safe(gateway.holder or "-")
    if not gateway.home_slot:
        return (
            f"gateway   {_coloured(gateway.state)}  [bold]{address}[/]  "
            f"{safe(gateway.interface or '-')} {safe(gateway.private_address or '')}  holder {holder}{why}"
        )
    if gateway.holder:
        holder += f" in {safe(gateway.holder_slot)}"
    # In a pair neither place is better than the other.
    guest = ring and gateway.holder_slot not in ("", gateway.home_slot)
    away = f" (home is {safe(gateway.home_slot)})" if guest else ""
    standby = ""
    if gateway.standby_slot:
        standby = f"  standby {safe(gateway.standby or '-')} in {safe(gateway.standby_slot)}"
    return (
        f"gateway   {_coloured(gateway.state)}  {safe(gateway.name)}  [bold]{address}[/]  "
        f"holder {holder}{away}{standby}{why}"
    )


def _route(route: RouteStatus, *, several: bool) -> str:
    gateway = f"  [dim]{safe(route.gateway)}[/]" if several and route.gateway else ""
    return f"route     {_coloured(route.state)}  {safe(route.route_table)} → {safe(route.target)}{gateway}"


def _group(group: GroupStatus, *, named: bool) -> str:
    name = f"{safe(group.name)}  " if named else ""
    size = f"{group.members} of {group.desired} nodes, {safe(group.purchase)}"
    return f"group     {name}{size}  [dim]{safe(group.last_activity)}[/]"


def _node(node: NodeStatus) -> str:
    slot = f"{safe(node.slot)}  " if node.slot else ""
    place = (
        f"{safe(node.type)}{' spot' if node.spot else ''}  {safe(node.zone)}  {safe(node.private_address)}"
    )
    states = "  ".join(safe(state) for state in (node.state, node.lifecycle, node.health) if state)
    age = f"agent {safe(node.agent or '-')}  since {safe(node.launched[:19])}"
    return f"node      {slot}{safe(node.id)}  {states}  {place}  {age}"


def boot_lines(boot: Boot) -> Iterator[str]:
    """What became of a boot, with the last lines of its console."""
    head, *console = boot.lines()
    yield f"boot      {safe(head)}"
    for line in console:
        yield f"          [dim]{safe(line)}[/]"


def _report(gateway: GatewayStatus) -> str:
    """What the holder told, in one line."""
    report = gateway.report
    if report is None:
        return "[dim]the holder has not reported yet[/]"
    parts = [f"held since {safe(report.since)}"]
    if report.taken:
        parts.append(f"taken {safe(report.taken)}: {safe(report.why)}")
    if gateway.standby_slot:
        parts.append(_sync(report))
    parts.append(_egress(report))
    parts += [f"[yellow]{safe(problem)}[/]" for problem in report.problems]
    age = f"reported {_duration(report.age)} ago"
    if report.stale:
        age = f"[yellow]{age}: no way to the API, or its agent does not run[/]"
    return "  ".join([*filter(None, parts), f"[dim]{age}[/]"])


def _egress(report: Report) -> str:
    """The check's outcome where `why` does not tell it already."""
    if report.egress is None:
        return "[yellow]internet not checked yet[/]"
    return "[green]internet reached[/]" if report.egress.ok else ""


def _sync(report: Report) -> str:
    sync = report.sync
    if not report.standby:
        return "[yellow]hears no standby that is ready[/]"
    if sync is None or not sync.synced:
        return "[yellow]connections are being copied[/]"
    return f"[green]in sync[/], {sync.entries} connections, lag {sync.lag_ms:.1f} ms"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
