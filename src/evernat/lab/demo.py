"""`make demo`: the whole story on real packets, in a lab of its own that is gone afterwards."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from evernat.lab import checks, client
from evernat.lab.checks import Result, until
from evernat.lab.client import Lab
from evernat.lab.errors import LabError

FORWARDED = 8080
out = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """A step did not do what the story says."""


def main() -> None:
    """Play the demo. Exit code 0 when every step held, 1 otherwise; the lab is removed either way."""
    begun = time.monotonic()
    name = f"demo-{secrets.token_hex(3)}"
    try:
        with tempfile.TemporaryDirectory(prefix="evernat-demo-") as directory, _lab(name) as lab:
            _story(lab, Path(directory))
    except (DemoError, LabError) as error:
        remedy = getattr(error, "remedy", "")
        out.print(
            f"[red]failed[/]    {escape(str(error))}" + (f"\n          {escape(remedy)}" if remedy else "")
        )
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        out.print("stopped   nothing is left behind")
        raise SystemExit(130) from None
    out.print(f"[dim]all of it in {time.monotonic() - begun:.1f} s; the lab is gone again[/]")


@contextmanager
def _lab(name: str) -> Iterator[Lab]:
    begun = time.monotonic()
    with out.status("cloud"):
        lab = client.up(name, "none")
    _line(
        "cloud", "VPC 172.18.0.0/16 · 3 zones · public + private subnets · internet", time.monotonic() - begun
    )
    try:
        for note in lab.status()["degraded"]:
            _line("note", f"[yellow]{escape(note)}[/]")
        yield lab
    finally:
        client.down(name)


def _story(lab: Lab, directory: Path) -> None:
    run = _Cli(lab, directory)
    run("init", "--yes", "--json")
    with (directory / "evernat.toml").open("a") as file:
        file.write(
            f'\n[[port_forward]]\nprotocol = "tcp"\nport = {FORWARDED}\ntarget = "name:client-a"\n'
            'target_port = 80\nsources = ["0.0.0.0/0"]\n'
        )
    with out.status("deploy"):
        deployed = run("deploy", "--yes", "--json")
    gateway = deployed["gateways"][0]
    text = f'gateway "{gateway["name"]}" (single, spot, eni identity)  {deployed["resources"]} resources'
    _line("deploy", text, deployed["seconds"])
    public, holder = str(gateway["public_address"]), str(gateway["holder"])
    boot = checks.boot_seconds(lab.call("console", node=holder))
    _line("node", f"{holder} booted, agent ready, NAT proven", boot)
    _client(lab, public)
    text = f"internet → {public}:{FORWARDED} → client-a:80"
    _check("forward", text, [checks.forward(lab, public, FORWARDED, "client-a")])
    _kill(lab, run, public, holder)
    with out.status("destroy"):
        begun = time.monotonic()
        run("destroy", "--yes", "--json")
    _line("destroy", "everything made is removed again", time.monotonic() - begun)


def _client(lab: Lab, public: str) -> None:
    address = next(h["address"] for h in lab.status()["hosts"] if h["name"] == "client-a")
    with out.status("client-a"):
        results = checks.everything(lab, "client-a", public)
    _check("client-a", f"{address} → internet sees {public}  ", results, named=True)


def _kill(lab: Lab, run: _Cli, public: str, holder: str) -> None:
    with out.status("kill"):
        begun = time.monotonic()
        lab.kill(holder, "power")
        if not until(lambda: not checks.tcp(lab, "client-a", public, timeout=0.2).ok, 5):
            raise DemoError(f"{holder} was powered off and packets still pass")
        if not until(lambda: checks.tcp(lab, "client-a", public, timeout=0.2).ok, 90):
            raise DemoError(f"NAT did not come back within 90 s after {holder} was powered off")
        gap = time.monotonic() - begun
        healed = until(lambda: (g := run.gateway())["state"] == "ready" and g, 30)
    if not healed or healed["holder"] == holder or healed["public_address"] != public:
        raise DemoError(f"after the kill the gateway is {healed}")
    _line(
        "kill",
        f"node powered off …  Auto Scaling launched {healed['holder']}  "
        f"NAT back after {gap:.1f} s, still {public} [green]✔[/]",
    )


class _Cli:
    """Runs `evernat` as a user would, against the lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._environment = os.environ | lab.environment()
        self._directory = directory

    def __call__(self, *words: str) -> Any:
        shown = subprocess.run(
            [sys.executable, "-m", "evernat.cli", *words],
            cwd=self._directory,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if shown.returncode:
            raise DemoError(f"evernat {' '.join(words)}: {shown.stderr.strip() or shown.stdout.strip()}")
        return json.loads(shown.stdout)

    def gateway(self) -> dict[str, Any]:
        """The one gateway of `evernat status`."""
        return dict(self("status", "--json")["gateways"][0])


def _line(word: str, text: str, seconds: float | None = None) -> None:
    took = "" if seconds is None else f"  [dim]{seconds:.1f} s[/]"
    out.print(f"[bold]{word:<9}[/] {text}{took}")


def _check(word: str, text: str, results: list[Result], *, named: bool = False) -> None:
    marks = []
    for result in results:
        mark = "[green]✔[/]" if result.ok else "[red]✘[/]"
        marks.append(f"{result.name} {mark}" if named else mark)
    _line(word, f"{text}  {' '.join(marks)}")
    for result in results:
        if not result.ok:
            raise DemoError(f"{result.name}: {result.detail}")


if __name__ == "__main__":
    main()
