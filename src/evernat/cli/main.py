"""The `evernat` command: puts the verbs together, turns errors into one message and an exit code."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from evernat import version
from evernat.cli.terminal import Terminal, document, safe
from evernat.errors import EvernatError

VERBS = ("init", "plan", "deploy", "status", "failover", "drill", "destroy", "terraform", "scenario")
"""Each is a function of the same name in a module of the same name."""

app = typer.Typer(
    name="evernat",
    help="NAT instances on AWS that do not show when they break.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"evernat {version()}\n")
        raise typer.Exit


@app.callback()
def _root(
    show: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _assemble(first: str) -> None:
    """Register the verb that was asked for, or all: `lab exec` need not wait for boto3 to load."""
    if first != "lab":
        for verb in VERBS if first not in VERBS else (first,):
            app.command(verb)(getattr(import_module(f"evernat.cli.{verb}"), verb))
    if first not in VERBS:
        app.add_typer(import_module("evernat.cli.lab").app, name="lab")


def _tell(cause: str, remedy: str) -> None:
    """An error, on standard error: for people, or as JSON when JSON was asked for."""
    if "--json" in sys.argv:
        sys.stderr.write(document({"error": cause, "remedy": remedy}, indent=None) + "\n")
        return
    err = Terminal(stderr=True)
    err.print(f"[red]error[/] {_lines(cause)}")
    if remedy:
        err.print(f"[dim]→[/] {_lines(remedy)}")


def _lines(text: str) -> str:
    """Lines below the first stand further in: nothing that a message quotes can look like output of ours."""
    return "\n  ".join(map(safe, text.split("\n")))


def main() -> None:
    """Entry of the console script.

    Exit codes: 0 done (plan: nothing to do), 1 it failed and the message says why, 2 wrong usage (plan: changes
    pending), 3 a gateway is not ready (status), 130 interrupted. `lab exec` and `lab shell` exit as their command did.
    """
    _assemble(sys.argv[1] if len(sys.argv) > 1 else "")
    try:
        app()
    except EvernatError as error:
        _tell(error.cause, error.remedy)
        sys.exit(1)
