"""`evernat destroy`: remove everything a stack made, and put back the routes it replaced."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from evernat.cli import common, show
from evernat.cli.terminal import safe
from evernat.stack import library


def destroy(
    file: common.File = common.FILE,
    name: common.Name = None,
    leave_routes: common.LeaveRoutes = False,
    yes: common.Yes = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for nodes to end.")] = 600.0,
    region: common.Region = None,
    profile: common.Profile = None,
    as_json: common.AsJson = False,
) -> None:
    """Remove the stack. Only its name is needed, from the file or --name."""
    begun = time.monotonic()
    stack, api = common.name_and_api(file, name, region, profile)
    with common.err.status("looking"):
        first = library.plan_removal(stack, api, leave_routes=leave_routes)
    if first.changes and not as_json:
        show.plan_text(first, common.err)
    if first.changes and not common.confirmed("destroy all of this?", yes):
        raise typer.Exit(1)
    with common.going_on("destroy"), common.err.status("") as spinner:
        report = show.Progress(common.err, spinner)
        library.destroy(first, api, leave_routes=leave_routes, timeout=timeout, report=report)
    seconds = time.monotonic() - begun
    if as_json:
        common.print_json(
            {
                "stack": stack,
                "region": api.region,
                "removed": len(first.changes),
                "seconds": round(seconds, 2),
            }
        )
        return
    gone = f"is gone  {seconds:.1f} s" if first.changes else "does not exist: nothing to do"
    common.out.print(f"stack [bold]{safe(stack)}[/] {gone}")
