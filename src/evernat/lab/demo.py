"""`make demo`: the whole story on real packets, in a lab of its own that is gone afterwards."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.markup import escape

from evernat.lab import checks, client, demo_cluster
from evernat.lab.checks import until
from evernat.lab.client import Lab
from evernat.lab.errors import LabError
from evernat.lab.story import Cli, DemoError, check, line, out

FORWARDED = 8080


def main() -> None:
    """Play the demo. Exit code 0 when every step held, 1 otherwise; the lab is removed either way."""
    begun = time.monotonic()
    name = f"demo-{secrets.token_hex(3)}"
    try:
        with tempfile.TemporaryDirectory(prefix="evernat-demo-") as directory, _lab(name) as lab:
            for chapter in (_single, demo_cluster.pair, demo_cluster.ring):
                place = Path(directory) / chapter.__name__
                place.mkdir()
                chapter(lab, place)
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
    line(
        "cloud", "VPC 172.18.0.0/16 · 3 zones · public + private subnets · internet", time.monotonic() - begun
    )
    try:
        for note in lab.status()["degraded"]:
            line("note", f"[yellow]{escape(note)}[/]")
        yield lab
    finally:
        client.down(name)


def _single(lab: Lab, directory: Path) -> None:
    run = Cli(lab, directory)
    run("init", "--yes", "--include-isolated", "--json")
    with (directory / "evernat.toml").open("a") as file:
        file.write(
            f'\n[[port_forward]]\nprotocol = "tcp"\nport = {FORWARDED}\ntarget = "name:client-a"\n'
            'target_port = 80\nsources = ["0.0.0.0/0"]\n'
        )
    with out.status("deploy"):
        deployed = run("deploy", "--yes", "--json")
    gateway = deployed["gateways"][0]
    text = f'gateway "{gateway["name"]}" (single, spot, eni identity)  {deployed["resources"]} resources'
    line("deploy", text, deployed["seconds"])
    public, holder = str(gateway["public_address"]), str(gateway["holder"])
    boot = checks.boot_seconds(lab.call("console", node=holder))
    line("node", f"{holder} booted, agent ready, NAT proven", boot)
    _client(lab, public)
    text = f"internet → {public}:{FORWARDED} → client-a:80"
    check("forward", text, [checks.forward(lab, public, FORWARDED, "client-a")])
    _kill(lab, run, public, holder)
    run.destroyed()


def _client(lab: Lab, public: str) -> None:
    address = next(h["address"] for h in lab.status()["hosts"] if h["name"] == "client-a")
    with out.status("client-a"):
        results = checks.everything(lab, "client-a", public)
    check("client-a", f"{address} → internet sees {public}  ", results, named=True)


def _kill(lab: Lab, run: Cli, public: str, holder: str) -> None:
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
    line(
        "kill",
        f"node powered off …  Auto Scaling launched {healed['holder']}  "
        f"NAT back after {gap:.1f} s, still {public} [green]✔[/]",
    )


if __name__ == "__main__":
    main()
