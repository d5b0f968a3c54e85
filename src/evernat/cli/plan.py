"""`evernat plan`: what deploy would do."""

from __future__ import annotations

import typer

from evernat.cli import common, show
from evernat.stack import library


def plan(
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
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Show what deploy would do. Changes nothing. Exit code 0: nothing to do, 2: changes pending, 1: an error."""
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
    gateway, api = common.gateway_and_api(file, region, profile, overrides)
    with common.err.status("looking"):
        made = library.plan(gateway, api, replace_routes=replace_routes, leave_routes=leave_routes)
    if as_json:
        common.print_json(show.plan_json(made))
    else:
        show.plan_text(made, common.out)
    raise typer.Exit(2 if made.changes else 0)
