"""`evernat scenario`: play what happens to a stack, and see what its nodes decide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evernat.cli import common
from evernat.cli.terminal import safe
from evernat.scenario import Played, play, read


def scenario(
    file: Annotated[Path, typer.Argument(help="A scenario; tests/scenarios has some.")],
    update: Annotated[bool, typer.Option("--update", help="Write what was decided into the file.")] = False,
    as_json: common.AsJson = False,
) -> None:
    """Play a scenario with the agent's real decisions, in a simulated AWS: nothing is touched, no time passes.

    Exit code 1: an invariant does not hold, or the decisions are not those in the file.
    """
    played = play(read(file))
    if update:
        file.write_text(played.text)
    differences = [] if update else played.differences
    if as_json:
        common.print_json(
            {
                "file": str(file),
                "journal": [{"at": round(at, 3), "text": text} for at, text in played.journal],
                "broken": str(played.broken) if played.broken else None,
                "differences": differences,
            }
        )
    else:
        _show(played, differences)
    if played.broken or differences:
        raise typer.Exit(1)


def _show(played: Played, differences: list[str]) -> None:
    for line in played.script.comment:
        common.out.print(f"[dim]# {safe(line)}[/]")
    for line in played.lines:
        colour = {">": "bold", "!": "red"}.get(line[0], "")
        common.out.print(f"[{colour}]{safe(line)}[/]" if colour else safe(line))
    if differences:
        common.err.print("[red]error[/] the decisions are not those in the file:")
        for line in differences:
            common.err.print(safe(line))
        common.err.print("[dim]→[/] evernat scenario FILE --update  writes the new ones, when they are right")
