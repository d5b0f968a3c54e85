"""journalctl(1): prints what units wrote, by unit and number of lines."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from ..places import JOURNAL
from ..unitfile import canonical


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="journalctl", allow_abbrev=False)
    parser.add_argument("-u", "--unit", action="append", default=[])
    parser.add_argument("-n", "--lines", type=int)
    parser.add_argument("-f", "--follow", action="store_true")
    parser.add_argument("-o", "--output", default="short-iso", choices=("short-iso", "short", "cat"))
    for ignored in ("--no-pager", "-b", "--boot", "-e", "-x", "-q"):
        parser.add_argument(ignored, action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str]) -> int:
    """Answers the exit status."""
    options = _parser().parse_args(arguments)
    units = {canonical(each) for each in options.unit}

    def wanted(text: str) -> list[str]:
        rows = [line.split("\t", 3) for line in text.splitlines()]
        rows = [row for row in rows if len(row) == 4 and (not units or row[1] in units)]
        short = options.output == "cat"
        return [row[3] if short else f"{row[0]} {row[2]}: {row[3]}" for row in rows]

    old = JOURNAL.with_suffix(".log.1")
    lines = wanted((_read(old) if old.exists() else "") + _read(JOURNAL))
    for line in lines[-options.lines :] if options.lines else lines:
        print(line)
    if options.follow:
        _follow(wanted)
    return 0


def _read(path: Path) -> str:
    return path.read_text(errors="replace")


def _follow(wanted) -> None:  # type: ignore[no-untyped-def]
    with JOURNAL.open(errors="replace") as file:
        file.seek(0, 2)
        while True:
            for line in wanted(file.read()):
                print(line)
            sys.stdout.flush()
            time.sleep(0.2)
