"""`evernat drill`: break a gateway's holder on purpose and tell what became of it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evernat.cli import common
from evernat.cli.failover import Gateway, gateway_of, where
from evernat.cli.terminal import safe
from evernat.drill.report import page
from evernat.drill.result import Result
from evernat.drill.watch import WAYS, Outage, by_api, ready, watch
from evernat.stack.api import Api
from evernat.stack.errors import StackError
from evernat.stack.serving import Scene, look

if TYPE_CHECKING:
    from evernat.lab.client import Lab

LAB_WAYS = ("power", "network", "partition", "api", "agent")
"""Ways that only a lab has; `evernat lab kill --help` tells what they do."""


def drill(
    gateway: Gateway = "",
    how: Annotated[
        str, typer.Option(help=f"{', '.join(WAYS)}; in a lab also {', '.join(LAB_WAYS)}.")
    ] = "terminate",
    yes: common.Yes = False,
    probe_from: Annotated[
        str | None,
        typer.Option("--probe-from", help="In a lab: measure packets from this host, client-a for instance."),
    ] = None,
    connections: Annotated[
        int, typer.Option(min=0, help="In a lab: hold that many connections meanwhile.")
    ] = 0,
    lab_name: Annotated[str, typer.Option("--lab", help="The lab's name.", envvar="EVERNAT_LAB")] = "lab",
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with a picture of the outage.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the takeover.")] = 120.0,
    file: common.File = common.FILE,
    name: common.Name = None,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Break the node that holds a gateway and measure what that does. Refuses unless a standby is ready."""
    _check(how, connections, probe_from)
    stack, api = common.name_and_api(file, name, region, profile)
    with common.err.status("looking"):
        scene = look(api, stack, reports=True)
        chosen = gateway_of(scene, gateway)
        holder, standby = ready(scene, chosen)
        lab = _lab(lab_name, api) if probe_from or how in LAB_WAYS else None
    question = f"break {holder.id}, which holds gateway {chosen} ({how})? {standby.id} stands by"
    if not common.confirmed(question, yes):
        raise typer.Exit(1)
    with common.err.status("") as spinner:
        result = _carried_out(
            api,
            scene,
            chosen,
            how,
            lab,
            probe_from,
            connections,
            timeout,
            spinner.tell,
        )
    if report:
        report.write_text(page(result), encoding="utf-8")
    if as_json:
        common.print_json({**result.as_dict(), "report": str(report) if report else None})
        return
    _text(result)
    if report:
        common.out.print(f"wrote {safe(report)}")


def _check(how: str, connections: int, probe_from: str | None) -> None:
    if connections and not probe_from:
        raise StackError("--connections needs a host to hold them", "add --probe-from client-a")
    if how not in (*WAYS, *LAB_WAYS):
        raise StackError(f"--how {how!r} is not known", f"use one of {', '.join((*WAYS, *LAB_WAYS))}")


def _lab(name: str, api: Api) -> Lab:
    from evernat.drill.lab import lab_of

    return lab_of(name, api)


def _carried_out(
    api: Api,
    scene: Scene,
    gateway: str,
    how: str,
    lab: Lab | None,
    host: str | None,
    connections: int,
    timeout: float,
    tell: common.Tell,
) -> Result:
    if lab is None:
        return Result(watch(api, scene, gateway, how, by_api(api, how), timeout=timeout, report=tell))
    # Only with a lab: it is an extra of the installation.
    from evernat.drill.lab import by_lab, detection, measuring

    breaking = by_lab(lab, how) if how in LAB_WAYS else by_api(api, how)
    with measuring(lab, host, connections) if host else nullcontext() as seen:
        outage: Outage = watch(api, scene, gateway, how, breaking, timeout=timeout, report=tell)
    noticed = detection(lab, outage)
    return Result(
        outage,
        detection=noticed[0] if noticed else None,
        by_source=bool(noticed) and noticed is not None and noticed[1] == outage.source.id,
        packets=seen.packets.report if seen else None,
        connections=seen.connections if seen else None,
    )


def _text(result: Result) -> None:
    outage = result.outage
    common.out.print(
        f"gateway [bold]{safe(outage.gateway)}[/] at {safe(outage.public_address)}: {where(outage.source)} "
        f"broken by {safe(outage.how)}, {where(outage.target)} took over"
    )
    for what, value in result.figures():
        common.out.print(f"  {what:17} {safe(value)}")
