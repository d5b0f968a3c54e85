"""`evernat failover`: have a gateway handed over, on purpose and without losing a connection."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from evernat.cli import common
from evernat.cli.terminal import safe
from evernat.stack.errors import StackError
from evernat.stack.found import Node
from evernat.stack.handover import Handover, hand_over, standing_by, target_of
from evernat.stack.serving import Scene, look

Gateway = Annotated[
    str,
    typer.Argument(
        help="The gateway (in a ring also just its slot); may be left out when there is one.",
        show_default=False,
    ),
]


def failover(
    gateway: Gateway = "",
    to: Annotated[
        str | None, typer.Option("--to", help="Slot (a, b, ...) or instance id; default: the other one.")
    ] = None,
    file: common.File = common.FILE,
    name: common.Name = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for it.")] = 60.0,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Hand a gateway over to its standby, wait, and tell how long it took as the API shows it."""
    stack, api = common.name_and_api(file, name, region, profile)
    with common.err.status("looking") as spinner:
        scene = look(api, stack, reports=True)
        chosen = gateway_of(scene, gateway)
        slot = target_of(scene, chosen, to)
        scene = standing_by(api, scene, chosen, slot, spinner.tell)
        done = hand_over(api, scene, chosen, slot, timeout=timeout, report=spinner.tell)
    if as_json:
        common.print_json(as_dict(done))
        return
    _text(done)


def _text(done: Handover) -> None:
    common.out.print(
        f"gateway [bold]{safe(done.gateway)}[/] at {safe(done.public_address)}: {where(done.source)} → "
        f"{where(done.target)}"
    )
    routes = (
        f", the last of {len(done.routes)} routes after {max(done.routes.values()):.1f} s"
        if done.routes
        else ""
    )
    common.out.print(
        f"address moved after {done.address:.1f} s{routes}; by the API's record nobody had all of it for at most "
        f"{done.gap:.1f} s"
    )


def where(node: Node) -> str:
    """A node for a line with markup."""
    return f"{safe(node.id)} (slot {safe(node.slot)})"


def gateway_of(scene: Scene, wanted: str) -> str:
    """The gateway a user means. Raises StackError naming those there are."""
    there = sorted(scene.addresses)
    if not there:
        raise StackError(
            f"the stack {scene.stack} has no gateway that changes nodes by its address",
            'failover and drill are for topology = "pair" or "ring"',
        )
    if not wanted and len(there) == 1:
        return there[0]
    fit = [one for one in there if wanted in (one, one.removeprefix(f"{scene.stack}-"))]
    if len(fit) != 1:
        cause = f"there is no gateway {wanted} in the stack {scene.stack}" if wanted else "which gateway?"
        raise StackError(cause, f"name one of {', '.join(there)}")
    return fit[0]


def as_dict(done: Handover) -> dict[str, Any]:
    """A handover for programs; times in seconds."""
    return {
        "gateway": done.gateway,
        "public_address": done.public_address,
        "from": {"instance": done.source.id, "slot": done.source.slot},
        "to": {"instance": done.target.id, "slot": done.target.slot},
        "address_seconds": round(done.address, 3),
        "route_seconds": {table: round(seconds, 3) for table, seconds in done.routes.items()},
        "gap_seconds": round(done.gap, 3),
    }
