"""`evernat deploy`: make it so, and wait until NAT is proven."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from evernat.cli import common, show
from evernat.cli.terminal import safe
from evernat.stack import library
from evernat.stack.status import GatewayStatus, Status, status
from evernat.stack.steps import Plan


def deploy(
    file: common.File = common.FILE,
    name: common.Name = None,
    vpc_id: common.VpcId = None,
    public_subnet: common.PublicSubnet = None,
    enabled: common.Enabled = None,
    image_id: common.ImageId = None,
    spot: common.Spot = None,
    key_name: common.KeyName = None,
    ssm_policy_arn: common.SsmPolicyArn = None,
    elastic_ip: common.ElasticIp = None,
    replace_routes: common.ReplaceRoutes = False,
    leave_routes: common.LeaveRoutes = False,
    yes: common.Yes = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until NAT is proven before setting routes.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for that.")] = 600.0,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Create or change the stack and wait until NAT is proven. Cut off at any point, running it again goes on."""
    overrides = {
        "name": name,
        "vpc_id": vpc_id,
        "public_subnet": public_subnet,
        "enabled": enabled,
        "image_id": image_id,
        "use_spot_instance": spot,
        "key_name": key_name,
        "ssm_policy_arn": ssm_policy_arn,
        "elastic_ip": elastic_ip,
    }
    begun = time.monotonic()
    gateway, api = common.gateway_and_api(file, region, profile, overrides)
    with common.err.status("looking"):
        first = library.plan(gateway, api, replace_routes=replace_routes, leave_routes=leave_routes)
    if not as_json:
        show.plan_text(first, common.err)
    if first.changes and not common.confirmed("deploy this?", yes):
        raise typer.Exit(1)
    with common.going_on("deploy"), common.err.status("") as spinner:
        report = show.Progress(common.err, spinner)
        library.deploy(
            gateway,
            first,
            api,
            replace_routes=replace_routes,
            leave_routes=leave_routes,
            ready=wait,
            timeout=timeout,
            report=report,
        )
    _show(status(api, gateway.name), first, time.monotonic() - begun, as_json)


def _show(now: Status, done: Plan, seconds: float, as_json: bool) -> None:
    if as_json:
        extra = {"changes": len(done.changes), "resources": done.resources, "seconds": round(seconds, 2)}
        common.print_json({**now.as_dict(), **extra})
        return
    for one in now.gateways[:-1]:
        common.out.print(_line(one))
    common.out.print(f"{_line(now.gateways[-1])}  {done.resources} resources  {seconds:.1f} s")


def _line(one: GatewayStatus) -> str:
    address = f" at {safe(one.public_address)}" if one.public_address else ""
    why = f": {safe(one.why)}" if one.why and one.state != "disabled" else ""
    return f"gateway [bold]{safe(one.name)}[/] is {safe(one.state)}{address}{why}"
