"""`evernat status`: what a stack is doing now, on one screen."""

from __future__ import annotations

from rich.markup import escape

from evernat.cli import common
from evernat.stack.reports import Report
from evernat.stack.status import GatewayStatus, Status
from evernat.stack.status import status as look

COLOURS = {
    "ready": "green",
    "ok": "green",
    "starting": "yellow",
    "alone": "yellow",
    "astray": "yellow",
    "disabled": "dim",
}


def status(
    file: common.File = common.FILE,
    name: common.Name = None,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Show gateway, holder, routes, group and nodes."""
    stack, api = common.name_and_api(file, name, region, profile)
    with common.err.status("looking"):
        now = look(api, stack)
    if as_json:
        common.print_json(now.as_dict())
        return
    _text(now)


def _coloured(state: str) -> str:
    return f"[{COLOURS.get(state, 'red')}]{state}[/]"


def _text(now: Status) -> None:
    out = common.out
    out.print(f"stack [bold]{now.stack}[/]  {now.region}  {now.vpc_id}  {now.topology}")
    for gateway in now.gateways:
        out.print(_gateway(gateway, ring=len(now.gateways) > 1))
        if gateway.holder and gateway.home_slot:
            out.print("          " + _report(gateway))
    for route in now.routes:
        gateway_name = f"  [dim]{route.gateway}[/]" if len(now.gateways) > 1 and route.gateway else ""
        out.print(
            f"route     {_coloured(route.state)}  {route.route_table} → {escape(route.target)}{gateway_name}"
        )
    for group in now.groups:
        name = "" if group == now.group else f"{group.name}  "
        out.print(
            f"group     {name}{group.members} of {group.desired} nodes, {group.purchase}"
            f"  [dim]{escape(group.last_activity)}[/]"
        )
    for node in now.nodes:
        slot = f"{node.slot}  " if node.slot else ""
        place = f"{node.type}{' spot' if node.spot else ''}  {node.zone}  {node.private_address}"
        states = "  ".join(state for state in (node.state, node.lifecycle, node.health) if state)
        out.print(
            f"node      {slot}{node.id}  {states}  {place}  agent {node.agent or '-'}  since {node.launched[:19]}"
        )
    out.print(f"[dim]agent {now.agent_version or '-'}, last change {now.last_change or '-'}[/]")


def _gateway(gateway: GatewayStatus, *, ring: bool) -> str:
    why = f"  {escape(gateway.why)}" if gateway.why else ""
    address = gateway.public_address or "no public address"
    if not gateway.home_slot:
        return (
            f"gateway   {_coloured(gateway.state)}  [bold]{address}[/]  "
            f"{gateway.interface or '-'} {gateway.private_address or ''}  holder {gateway.holder or '-'}{why}"
        )
    holder = f"{gateway.holder} in {gateway.holder_slot}" if gateway.holder else "-"
    # In a pair neither place is better than the other.
    guest = ring and gateway.holder_slot not in ("", gateway.home_slot)
    away = f" (home is {gateway.home_slot})" if guest else ""
    standby = ""
    if gateway.standby_slot:
        standby = f"  standby {gateway.standby or '-'} in {gateway.standby_slot}"
    return (
        f"gateway   {_coloured(gateway.state)}  {gateway.name}  [bold]{address}[/]  "
        f"holder {holder}{away}{standby}{why}"
    )


def _report(gateway: GatewayStatus) -> str:
    """What the holder told, in one line."""
    report = gateway.report
    if report is None:
        return "[dim]the holder has not reported yet[/]"
    parts = [f"held since {report.since}"]
    if report.taken:
        parts.append(f"taken {report.taken}: {escape(report.why)}")
    if gateway.standby_slot:
        parts.append(_sync(report))
    age = f"reported {_duration(report.age)} ago"
    if report.stale:
        age = f"[yellow]{age}: no way to the API, or its agent does not run[/]"
    return "  ".join([*parts, f"[dim]{age}[/]"])


def _sync(report: Report) -> str:
    sync = report.sync
    if not report.standby:
        return "[yellow]hears no standby that is ready[/]"
    if sync is None or not sync.synced:
        return "[yellow]connections are being copied[/]"
    return f"[green]in sync[/], {sync.entries} connections, lag {sync.lag_ms:.1f} ms"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
