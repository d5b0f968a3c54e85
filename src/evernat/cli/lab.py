"""`evernat lab`: a cloud on this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from typing import Annotated, Any

import typer

from evernat.cli.terminal import Terminal, document, safe
from evernat.lab import client, place
from evernat.lab.client import KILL_WAYS, Lab
from evernat.lab.disturbances import DISTURBANCES
from evernat.lab.errors import LabError
from evernat.lab.profile import PROFILES
from evernat.terraform.provider import provider
from evernat.text import visible

app = typer.Typer(
    name="lab",
    help="A cloud on this machine: the AWS API, real packets, instances that boot. Nothing leaves the machine.",
    no_args_is_help=True,
)
out = Terminal()
err = Terminal(stderr=True)

Name = Annotated[
    str, typer.Option("--name", "-n", help="Which lab; several can stand side by side.", envvar="EVERNAT_LAB")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Host = Annotated[
    str,
    typer.Argument(
        help="client-a, client-b, client-c, internet, or an instance id (its beginning is enough)."
    ),
]
Node = Annotated[str, typer.Argument(help="An instance id (its beginning is enough) or a host's name.")]


def _print_json(value: Any) -> None:
    sys.stdout.write(document(value) + "\n")


def _done(as_json: bool, value: Any, text: str) -> None:
    if as_json:
        _print_json(value)
    else:
        out.print(text)


@app.command()
def up(
    name: Name = "lab",
    latency: Annotated[
        str, typer.Option(help="How slow the cloud is: " + " or ".join(PROFILES) + ".")
    ] = "none",
    as_json: AsJson = False,
) -> None:
    """Bring a lab up: VPC 172.18.0.0/16 with three zones, clients, an internet, and the AWS API on loopback."""
    if latency not in PROFILES:
        raise LabError(f"--latency {latency!r} is not known", f"use one of {', '.join(PROFILES)}")
    begun = time.monotonic()
    with err.status("starting") as spinner:
        lab = client.up(name, latency, progress=spinner.tell)
    status = lab.status()
    for note in status["degraded"]:
        err.print(f"[yellow]note[/] {safe(note)}")
    _done(
        as_json,
        status,
        f"lab [bold]{name}[/] is up in {time.monotonic() - begun:.1f} s: {status['endpoint']}\n"
        f'use it from this shell:  eval "$(evernat lab env --name {name})"',
    )


@app.command()
def down(name: Name = "lab", as_json: AsJson = False) -> None:
    """Take a lab down and remove all it made, after a crash too."""
    place.check_name(name)
    there = client.down(name)
    _done(
        as_json,
        {"name": name, "removed": there},
        f"lab {name} is down" if there else f"there was no lab {name}",
    )


@app.command()
def status(name: Name = "lab", as_json: AsJson = False) -> None:
    """Show hosts and nodes."""
    value = Lab(place.check_name(name)).status()
    if as_json:
        _print_json(value)
        return
    out.print(
        f"lab [bold]{safe(name)}[/]  {safe(value['state'])}  latency {safe(value['latency'])}  "
        f"{safe(value['region'])}  {safe(value['endpoint'])}"
    )
    if value["troubles"]:
        out.print(f"[dim]for all[/]  {', '.join(value['troubles'])}")
    _aligned([["host", h["name"], h["address"], h["instance"]] for h in value["hosts"]])
    _aligned([_node_row(node) for node in value["nodes"]] or [["node", "none"]])
    for note in value["degraded"]:
        out.print(f"[yellow]note[/] {safe(note)}")


def _node_row(node: dict[str, Any]) -> list[str]:
    state = f"{node['state']} ({', '.join(node['troubles'])})" if node["troubles"] else node["state"]
    kind = node["type"] + (" spot" if node["spot"] else "")
    addresses = [node["private_address"], *node["public_addresses"]]
    return ["node", node["id"], state, node["zone"], kind, " ".join(addresses), node["stack"]]


def _aligned(rows: list[list[str]]) -> None:
    """Rows with their columns below each other, never cut off: ids are there to be copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        out.print(f"[dim]{safe(first)}[/]  {safe('  '.join(cells).rstrip())}")


@app.command("list")
def list_labs(as_json: AsJson = False) -> None:
    """List the labs of this user."""
    rows = []
    for name in place.names():
        try:
            rows.append({"name": name, "state": Lab(name).call("state")})
        except LabError:
            rows.append({"name": name, "state": "dead"})
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        out.print(f"{safe(row['name'])}  {safe(row['state'])}")


@app.command()
def env(
    name: Name = "lab",
    terraform: Annotated[
        bool, typer.Option("--terraform", help="Print the provider block that makes Terraform talk to it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print what a shell needs so that any AWS client talks to this lab."""
    values = Lab(place.check_name(name)).environment()
    if terraform:
        sys.stdout.write(provider(values))
        return
    if as_json:
        _print_json(values)
        return
    for key, value in values.items():
        sys.stdout.write(f"export {key}={shlex.quote(value)}\n")


@app.command("exec")
def exec_(
    host: Host,
    command: Annotated[
        list[str], typer.Argument(help="The command, after --. It sees this machine's files.")
    ],
    name: Name = "lab",
    inside: Annotated[
        bool, typer.Option("--inside", help="See the node's own files and processes instead.")
    ] = False,
) -> None:
    """Run a command on a host; its exit code is ours."""
    _enter(Lab(place.check_name(name)), host, command, inside)


@app.command()
def shell(
    host: Host,
    name: Name = "lab",
    outside: Annotated[bool, typer.Option("--outside", help="On a node: keep this machine's files.")] = False,
) -> None:
    """Open a shell on a host; on a node with its own files and processes."""
    lab = Lab(place.check_name(name))
    inside = not outside and any(n["id"].startswith(host) for n in lab.status()["nodes"])
    _enter(lab, host, ["/bin/sh", "-i"] if inside else [os.environ.get("SHELL", "/bin/sh"), "-i"], inside)


def _enter(lab: Lab, host: str, command: list[str], inside: bool) -> None:
    with lab.entered(host, inside=inside) as (prefix, fds, variables):
        try:
            result = subprocess.run(
                [*prefix, *command], pass_fds=fds, env=os.environ | variables, check=False
            )
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
    raise typer.Exit(result.returncode if result.returncode >= 0 else 128 - result.returncode)


@app.command()
def kill(
    node: Node,
    how: Annotated[str, typer.Option(help="One of " + ", ".join(KILL_WAYS) + ".")],
    interface: Annotated[
        str,
        typer.Option(help="Out of reach only through this interface: an id, or its name on the node (ens6)."),
    ] = "",
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Break a node: pull its plug, cut all its network or a part of it, kill its agent, or terminate it.

    partition: nodes do not hear each other, everything else passes. api, checkip: the node does not reach the AWS API,
    or the service that tells addresses. internet: it reaches nothing outside but the API; places: the API and checkip.
    """
    value = Lab(place.check_name(name)).call("kill", node=node, how=how, interface=interface)
    _done(as_json, value, f"{value['id']}: {how}")


@app.command()
def mend(node: Node, name: Name = "lab", as_json: AsJson = False) -> None:
    """Give a node its whole network back, and take away what other programs made on it."""
    value = Lab(place.check_name(name)).call("mend", node=node)
    _done(as_json, value, f"{value['id']}: mended")


@app.command()
def disturb(
    node: Node,
    how: Annotated[str, typer.Option(help="One of " + ", ".join(DISTURBANCES) + ".")],
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Break a node's forwarding from inside, as other programs and people do: its firewall, settings, rules, routes.

    Foreign tables stay until `mend` or `fault --clear`; all else is the node's own business to repair.
    """
    value = Lab(place.check_name(name)).call("disturb", node=node, how=how)
    _done(as_json, value, f"{value['id']}: {how}")


@app.command()
def spot(
    node: Node,
    notice: Annotated[
        str, typer.Option(help="interrupt (two minutes' notice, then it is terminated) or rebalance.")
    ] = "interrupt",
    seconds: Annotated[float, typer.Option(help="From the notice to the end.")] = 120.0,
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Tell a spot node that it will be taken away."""
    value = Lab(place.check_name(name)).call("spot", node=node, notice=notice, seconds=seconds)
    _done(as_json, value, f"{value['id']}: {notice}")


@app.command()
def stall(
    node: Node,
    seconds: Annotated[float, typer.Argument(help="How long.")],
    name: Name = "lab",
    as_json: AsJson = False,
) -> None:
    """Stop a node's programs for a while, as if its clock jumped; its kernel goes on forwarding."""
    value = Lab(place.check_name(name)).call("stall", node=node, seconds=seconds)
    _done(as_json, value, f"{value['id']}: stalled for {seconds:g} s")


@app.command()
def reboot(node: Node, name: Name = "lab", as_json: AsJson = False) -> None:
    """Reboot a node through the API."""
    value = Lab(place.check_name(name)).call("reboot", node=node)
    _done(as_json, value, f"{value['id']}: rebooting")


@app.command()
def console(node: Node, name: Name = "lab", as_json: AsJson = False) -> None:
    """Print what a node wrote to its console since it was launched."""
    text = Lab(place.check_name(name)).call("console", node=node)
    if as_json:
        _print_json({"node": node, "lines": text.splitlines()})
    else:
        sys.stdout.write(visible(text, "\n\t"))


@app.command()
def fault(
    name: Name = "lab",
    action: Annotated[str, typer.Option(help="API action that fails, e.g. AttachNetworkInterface.")] = "",
    kind: Annotated[
        str,
        typer.Option(
            help="AWS error code, or throttle, drop-before, drop-after, stale, delay=SECONDS, late=SECONDS."
        ),
    ] = "throttle",
    times: Annotated[int, typer.Option(help="How often; -1 is for ever.")] = 1,
    caller: Annotated[str, typer.Option(help="Only calls of this instance id, or `user`.")] = "*",
    node: Annotated[
        str,
        typer.Option(help="The node that --loss and --peer-loss are for; --unreachable without it: for all."),
    ] = "",
    unreachable: Annotated[
        str,
        typer.Option(
            help="Put out of reach: api, checkip, internet (all but the API), places (all but both), or an address."
        ),
    ] = "",
    reachable: Annotated[str, typer.Option(help="Undo that.")] = "",
    loss: Annotated[float, typer.Option(help="Share of the node's packets that get lost, 0 to 1.")] = -1,
    peer_loss: Annotated[float, typer.Option(help="The same, only between it and other nodes.")] = -1,
    path_mtu: Annotated[int, typer.Option(help="Narrow the path on the internet to this many bytes.")] = 0,
    stuck_interface: Annotated[
        float, typer.Option(help="Seconds an interface stays in use on a dead instance.")
    ] = -1,
    clear: Annotated[bool, typer.Option("--clear", help="Take all faults away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the cloud misbehave on purpose."""
    lab = Lab(place.check_name(name))
    if clear:
        lab.call("clear_faults")
    if action:
        what, _, seconds = kind.partition("=")
        lab.call(
            "fault", action=action, kind=what, times=times, principal=caller, seconds=_seconds(kind, seconds)
        )
    if loss >= 0 or peer_loss >= 0:
        shares = {"lossy": loss, "parted": peer_loss}
        lab.call("lose", node=node, **{what: share for what, share in shares.items() if share >= 0})
    if unreachable:
        lab.separate(unreachable, node)
    if reachable:
        lab.rejoin(reachable, node)
    if path_mtu:
        lab.call("path_mtu", mtu=path_mtu)
    if stuck_interface >= 0:
        lab.call("fault", interface_release=stuck_interface)
    if not (
        clear or action or path_mtu or unreachable or reachable or max(stuck_interface, loss, peer_loss) >= 0
    ):
        raise LabError("no fault was named", "see  evernat lab fault --help")
    _done(as_json, {"faults": lab.call("faults")}, "done")


def _seconds(kind: str, text: str) -> float:
    """The number behind `delay=`; none is none."""
    try:
        return float(text or 0)
    except ValueError:
        raise LabError(f"--kind {kind!r} does not end in seconds", "for example  --kind delay=2.5") from None
