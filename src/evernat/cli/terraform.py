"""`evernat terraform`: the module call for an evernat.toml."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evernat import version
from evernat.cli import common
from evernat.stack.api import Api
from evernat.stack.checks import check
from evernat.stack.context import Context
from evernat.stack.environment import look
from evernat.stack.load import gateway_from, read_table
from evernat.terraform.call import arguments, module_call


def terraform(
    file: common.File = common.FILE,
    source: Annotated[str, typer.Option(help="Where Terraform finds the module.")] = "./terraform",
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Print the call of the Terraform module for the file. Asks AWS only about a ring: which zone is whose."""
    gateway, made = gateway_from(read_table(file), {"region": region}), None
    if gateway.topology == "ring":
        api = Api.of(gateway.region, profile)
        with common.err.status("looking"):
            environment, found = look(api, gateway)
        context = Context(gateway, environment, found, version())
        check(context, replace_routes=True)
        made = context.layout
    if as_json:
        common.print_json(arguments(gateway, made))
    else:
        sys.stdout.write(module_call(gateway, source, made))
