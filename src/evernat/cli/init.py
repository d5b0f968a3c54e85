"""`evernat init`: write a first evernat.toml from a VPC."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evernat.cli import common
from evernat.stack.api import Api
from evernat.stack.errors import StackError
from evernat.stack.init import Candidate, candidates, text
from evernat.stack.load import gateway_from, parse


def init(
    file: common.File = common.FILE,
    vpc_id: Annotated[str | None, typer.Option(help="The VPC; asked for when several fit.")] = None,
    topology: Annotated[
        str, typer.Option(help="single, pair (a standby keeps connections alive) or ring (one per zone).")
    ] = "single",
    name: Annotated[str, typer.Option(help="Name of the stack.")] = "main",
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
    with common.err.status("looking at VPCs"):
        fit = candidates(api, vpc_id)
    chosen = _choose(fit, api.region, yes)
    written = text(chosen, name, topology, api.region)
    gateway_from(parse(written, str(file)))
    if not as_json:
        common.err.print(written, markup=False)
    if not common.confirmed(f"write {file}?", yes):
        raise typer.Exit(1)
    file.write_text(written, encoding="utf-8")
    if as_json:
        common.print_json({"file": str(file), "vpc_id": chosen.vpc.id, "foreign_routes": len(chosen.foreign)})
        return
    common.out.print(f"wrote {file}. Next:  evernat plan{' --replace-routes' if chosen.foreign else ''}")


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
