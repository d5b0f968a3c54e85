"""`make bench`: prints all figures with the machine they were measured on."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from bench import cluster, forwarding, gateway, soak, sync
from bench.figure import machine

PARTS = {
    "gateway": gateway.run,
    "forwarding": forwarding.run,
    "cluster": cluster.run,
    "sync": sync.run,
    "soak": soak.run,
}


def main() -> None:
    """Measure the named parts, all by default."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long the soak lasts; 1 by default")
    arguments = parser.parse_args()
    unknown = [part for part in arguments.parts if part not in PARTS]
    if unknown:
        parser.error(f"unknown part {unknown[0]!r}: use one of {', '.join(PARTS)}")
    console = Console(stderr=True)
    figures = []
    for part in arguments.parts or PARTS:
        with console.status(part):
            for figure in soak.run(arguments.minutes) if part == "soak" else PARTS[part]():
                console.print(f"{figure.what}: {figure.value}", highlight=False, soft_wrap=True)
                figures.append(figure)
    if arguments.json:
        print(json.dumps({"machine": machine(), "figures": [asdict(f) for f in figures]}, indent=2))
        return
    table = Table("what", "measured", "goal", "on", title=machine(), title_justify="left", box=None)
    for figure in figures:
        table.add_row(figure.what, figure.value, figure.goal, figure.on)
    Console(width=170, highlight=False).print(table)


if __name__ == "__main__":
    main()
