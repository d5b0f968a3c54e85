"""What the verbs share: options, loading the file, telling people and programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from evernat.cli.terminal import Terminal, document
from evernat.stack.api import Api
from evernat.stack.errors import StackError
from evernat.stack.load import gateway_from, read_table
from evernat.stack.spec import Gateway
from evernat.text import visible

FILE = Path("evernat.toml")

Tell = Callable[[str], None]
"""Called with a line on what is being waited for."""

out = Terminal()
err = Terminal(stderr=True)

File = Annotated[Path, typer.Option("--file", "-f", help="The stack's description.")]
Region = Annotated[str | None, typer.Option("--region", help="AWS region; wins over the file.")]
Profile = Annotated[str | None, typer.Option("--profile", help="Profile of AWS credentials.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
ReplaceRoutes = Annotated[
    bool,
    typer.Option(
        "--replace-routes", help="Replace default routes that lead elsewhere; destroy puts them back."
    ),
]
LeaveRoutes = Annotated[
    bool,
    typer.Option(
        "--leave-routes",
        help="Go on where a former route cannot be put back: its table is left without a default route.",
    ),
]
Name = Annotated[
    str | None, typer.Option("--name", help="Instead of the file's name.", rich_help_panel="Fields")
]
VpcId = Annotated[str | None, typer.Option("--vpc-id", rich_help_panel="Fields")]
PublicSubnet = Annotated[str | None, typer.Option("--public-subnet", rich_help_panel="Fields")]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", rich_help_panel="Fields")]
ImageId = Annotated[str | None, typer.Option("--image-id", rich_help_panel="Fields")]
Spot = Annotated[bool | None, typer.Option("--spot/--on-demand", rich_help_panel="Fields")]
KeyName = Annotated[str | None, typer.Option("--key-name", rich_help_panel="Fields")]
SsmPolicyArn = Annotated[str | None, typer.Option("--ssm-policy-arn", rich_help_panel="Fields")]
ElasticIp = Annotated[str | None, typer.Option("--elastic-ip", rich_help_panel="Fields")]


def gateway_and_api(
    file: Path, region: str | None, profile: str | None, overrides: dict[str, Any]
) -> tuple[Gateway, Api]:
    """The gateway (file, then flags) and the way to AWS."""
    gateway = gateway_from(read_table(file), {**overrides, "region": region})
    return gateway, Api.of(gateway.region, profile)


def name_and_api(file: Path, name: str | None, region: str | None, profile: str | None) -> tuple[str, Api]:
    """Just the stack's name and the way to AWS: the rest of the file may be wrong, or the file missing."""
    if name is None or (region is None and file.exists()):
        table = read_table(file)
        if name is None and not isinstance(table.get("name"), str):
            raise StackError(f"name is missing in {file}", "add it, or use --name")
        name, region = name or table["name"], region or table.get("region")
    return name, Api.of(region, profile)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(document(value) + "\n")


def confirmed(question: str, yes: bool) -> bool:
    """Ask, unless `yes`. Without a terminal nobody can answer: then --yes is required."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise StackError("nobody is there to confirm", "add --yes")
    return typer.confirm(visible(question), err=True)


@contextmanager
def going_on(verb: str) -> Iterator[None]:
    """Ctrl-C while things are being changed is no accident: say how to go on, and exit as interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        err.print(f"[yellow]stopped[/] half-way. Run  evernat {verb}  again: it goes on from here")
        raise typer.Exit(130) from None
