"""The demo's chapters about several nodes: connections that outlive the node they went through."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evernat.lab.checks import until
from evernat.lab.client import Lab
from evernat.lab.load import Host, Load, server
from evernat.lab.probing import Watched, watching
from evernat.lab.story import Cli, DemoError, line, out

HELD = {"idle": 700, "push": 100, "request": 100, "up": 5, "down": 5, "udp": 90}
"""1,000 connections, by kind (`evernat.lab.load`)."""


def pair(lab: Lab, directory: Path) -> None:
    """Two nodes under 1,000 connections: power off, a handover, a dead agent, a holder that no longer forwards."""
    run = Cli(lab, directory)
    gateway = _deploy(run, "pair")
    line("pair", f"holder {gateway['holder']}, standby {gateway['standby']}, connections copied as they come")
    with server(lab), Load(lab, [Host("client-a", HELD)]) as load:
        line(
            "load",
            f"{load.opened.total('opened')} connections through {gateway['public_address']}, and a live stream",
        )
        with out.status("kill"), watching(lab, "client-b") as seen:
            lab.kill(gateway["holder"], "power")
            after = _moved(run, gateway)
        _survived("kill", f"holder powered off …  {after['holder']} in charge", load, seen, gateway, after)
        with out.status("heal"):
            whole = _whole(run, gateway["name"])
        line("heal", f"Auto Scaling launched {whole['standby']}, which stands by now [green]✔[/]")
        with out.status("handover"), watching(lab, "client-b") as seen:
            run("failover", gateway["name"], "--json")
            after = _moved(run, whole)
        _survived("handover", f"evernat failover …  {after['holder']} in charge", load, seen, gateway, after)
        with out.status("agent"), watching(lab, "client-b") as seen:
            whole = _whole(run, gateway["name"])
            lab.kill(whole["holder"], "agent")
            after = _moved(run, whole)
        _survived(
            "agent", f"the holder's agent killed …  {after['holder']} in charge", load, seen, gateway, after
        )
        with out.status("blocked"), watching(lab, "client-b") as seen:
            whole = _whole(run, gateway["name"])
            begun = time.monotonic()
            lab.disturb(whole["holder"], "docker-forward")
            after = _moved(run, whole)
            # TCP doubles the pause before each repetition: the stream goes on after at most as long again.
            time.sleep(time.monotonic() - begun)
        text = f"the holder looks alive, but Docker's rules let no client out …  noticed, {after['holder']} in charge"
        _survived("blocked", text, load, seen, gateway, after)
    run.destroyed()


def ring(lab: Lab, directory: Path) -> None:
    """A gateway in each zone, each node the standby of the next: a zone goes dark."""
    run = Cli(lab, directory)
    _deploy(run, "ring")
    gateways = run.gateways()
    line("ring", " · ".join(f"{g['name']} {g['public_address']} {g['holder']}" for g in gateways))
    lost = gateways[1]
    with server(lab), Load(lab, [Host("client-b", HELD)]) as load:
        line("load", f"{load.opened.total('opened')} connections of zone b through {lost['public_address']}")
        with out.status("zone"), watching(lab, "client-b") as seen:
            lab.kill(lost["holder"], "power")
            after = _moved(run, lost)
        _survived(
            "zone", f"zone b's node powered off …  {after['holder']} serves it too", load, seen, lost, after
        )
    run.destroyed()


def _deploy(run: Cli, topology: str) -> dict[str, str]:
    """Write the file, deploy it, and tell; the first gateway."""
    run("init", "--topology", topology, "--yes", "--include-isolated", "--json")
    with out.status(f"deploy {topology}"):
        deployed = run("deploy", "--yes", "--json")
    count = len(deployed["gateways"])
    text = f"{topology}: {count} gateway{'s' * (count > 1)}, {len(deployed['nodes'])} nodes"
    line("deploy", f"{text}  {deployed['resources']} resources", deployed["seconds"])
    return dict(deployed["gateways"][0])


def in_sync(gateway: Mapping[str, Any]) -> bool:
    """Whether a gateway of `evernat status --json` has a standby that has its connections, as its holder told."""
    report = gateway["report"]
    return bool(
        gateway["state"] == "ready" and gateway["standby"] and report and (report["sync"] or {}).get("synced")
    )


def _of(run: Cli, name: str) -> dict[str, str]:
    return dict(next(g for g in run.gateways() if g["name"] == name))


def _moved(run: Cli, before: dict[str, str]) -> dict[str, str]:
    """Wait until another node has the gateway."""
    found = until(
        lambda: (g := _of(run, before["name"]))["holder"] not in ("", None, before["holder"]) and g, 30
    )
    if not found:
        raise DemoError(f"nobody took {before['name']} over from {before['holder']}")
    return dict(found)


def _whole(run: Cli, name: str) -> dict[str, str]:
    """Wait until the gateway has a holder again, and a standby that has its connections."""
    found = until(lambda: in_sync(g := _of(run, name)) and g, 60)
    if not found:
        raise DemoError(f"{name} did not become whole again: {_of(run, name)}")
    return dict(found)


def _survived(
    word: str, text: str, load: Load, seen: Watched, before: dict[str, str], after: dict[str, str]
) -> None:
    """Tell how many connections live, and the gap; DemoError when any was lost."""
    report = load.check()
    kept, wanted = report.total("alive"), report.total("wanted")
    held = kept == wanted and seen.stream_alive and before["public_address"] == after["public_address"]
    mark = "[green]✔[/]" if held else "[red]✘[/]"
    gap = f"gap {seen.longest_gap:.2f} s, still {after['public_address']}"
    line(word, f"{text} · {kept}/{wanted} connections and the stream kept · {gap} {mark}")
    if not held:
        raise DemoError(f"connections lost: {report.lost or 'the stream'}")
