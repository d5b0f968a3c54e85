"""`evernat init`: write a first evernat.toml from a VPC."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evernat.cli import common
from evernat.cli.terminal import safe
from evernat.stack.api import Api
from evernat.stack.errors import StackError
from evernat.stack.init import Candidate, candidates, place, text
from evernat.stack.load import gateway_from, parse
from evernat.terraform.file import find, lacking
from evernat.terraform.file import text as from_call


def init(
    file: common.File = common.FILE,
    vpc_id: Annotated[str | None, typer.Option(help="The VPC; asked for when several fit.")] = None,
    topology: Annotated[
        str, typer.Option(help="single, pair (a standby keeps connections alive) or ring (one per zone).")
    ] = "single",
    name: Annotated[str, typer.Option(help="Name of the stack.")] = "main",
    from_terraform: Annotated[
        Path | None, typer.Option(help="Take over the call of a NAT module in this .tf file.")
    ] = None,
    module: Annotated[str | None, typer.Option(help="Which call, where the file has several.")] = None,
    include_isolated: Annotated[
        bool,
        typer.Option(
            "--include-isolated", help="Also serve subnets without any default route: they get a way out."
        ),
    ] = False,
    yes: common.Yes = False,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Write a first evernat.toml from a VPC it looks at. With one VPC that fits and --yes it asks nothing."""
    if file.exists() and not force:
        raise StackError(f"{file} exists already", "use --force to write over it, or --file for another name")
    api = Api.of(region, profile)
    if from_terraform:
        call = find(from_terraform, module)
        wanted = vpc_id or call.fields.get("vpc_id")
        chosen = _look(api, wanted, yes, include_isolated) if lacking(call) else None
        written = from_call(call, api.region, chosen)
    else:
        chosen = _look(api, vpc_id, yes, include_isolated)
        written = text(chosen, name, topology, api.region)
    gateway = gateway_from(parse(written, str(file)))
    if not as_json:
        common.err.print(written, markup=False)
        _tell_isolated(chosen)
    if not common.confirmed(f"write {file}?", yes):
        raise typer.Exit(1)
    file.write_text(written, encoding="utf-8")
    if as_json:
        foreign = len(chosen.foreign) if chosen else None
        left_out = [subnet.id for subnet in chosen.left_out] if chosen else []
        common.print_json(
            {
                "file": str(file),
                "vpc_id": gateway.vpc_id,
                "foreign_routes": foreign,
                "isolated_left_out": left_out,
            }
        )
        return
    replace = " --replace-routes" if chosen and chosen.foreign else ""
    common.out.print(f"wrote {safe(file)}. Next:  evernat plan{replace}")


def _tell_isolated(chosen: Candidate | None) -> None:
    for subnet in chosen.left_out if chosen else ():
        what = f"{place(subnet)} has no default route and is left out; --include-isolated would give it a way out"
        common.err.print(f"[yellow]note[/] {safe(what)}")


def _look(api: Api, vpc_id: str | None, yes: bool, include_isolated: bool) -> Candidate:
    with common.err.status("looking at VPCs"):
        fit = candidates(api, vpc_id, include_isolated=include_isolated)
    return _choose(fit, api.region, yes)


def _choose(fit: list[Candidate], region: str, yes: bool) -> Candidate:
    if not fit:
        raise StackError(
            f"no VPC in {region} has both a public and a private subnet",
            "choose another region (--region), or make a VPC with a public and a private subnet first",
        )
    if len(fit) == 1:
        return fit[0]
    listed = "\n".join(f"  {number}  {c.describe()}" for number, c in enumerate(fit, 1))
    if yes or not sys.stdin.isatty():
        raise StackError(f"several VPCs fit:\n{listed}", "name one with --vpc-id")
    common.err.print(listed, markup=False)
    while True:
        number: int = typer.prompt("which one", type=int, err=True)
        if 1 <= number <= len(fit):
            return fit[number - 1]
