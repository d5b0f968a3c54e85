"""The `evernat` command: puts the verbs together and turns errors into one message and an exit code."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

app = typer.Typer(
    name="evernat",
    help="NAT instances on AWS that do not show when they break.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry of the console script. Exit codes: 0 done, 1 it failed (the message says why), 2 wrong usage (or: changes pending)."""
    raise SystemExit("assembled when the verbs are in")
