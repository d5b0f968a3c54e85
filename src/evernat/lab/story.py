"""What the demo's chapters share: running `evernat` as a user would, and telling what happened in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from evernat.lab.checks import Result
from evernat.lab.client import Lab

out = Console(highlight=False, soft_wrap=True)


class DemoError(Exception):
    """A step did not do what the story says."""


class Cli:
    """Runs `evernat` as a user would, against the lab."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        self._environment = os.environ | lab.environment()
        self._directory = directory

    def __call__(self, *words: str) -> Any:
        """The JSON that a verb printed. DemoError with its words when it failed."""
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
        """The first gateway of `evernat status`."""
        return self.gateways()[0]

    def gateways(self) -> list[dict[str, Any]]:
        """All gateways of `evernat status`."""
        return list(self("status", "--json")["gateways"])

    def destroyed(self) -> None:
        """Remove the stack, and say so."""
        begun = time.monotonic()
        with out.status("destroy"):
            self("destroy", "--yes", "--json")
        line("destroy", "everything made is removed again", time.monotonic() - begun)


def line(word: str, text: str, seconds: float | None = None) -> None:
    """One line of the story."""
    took = "" if seconds is None else f"  [dim]{seconds:.1f} s[/]"
    out.print(f"[bold]{word:<9}[/] {text}{took}")


def check(word: str, text: str, results: list[Result], *, named: bool = False) -> None:
    """One line with a mark for each result. DemoError when one is not what it should be."""
    marks = []
    for result in results:
        mark = "[green]✔[/]" if result.ok else "[red]✘[/]"
        marks.append(f"{result.name} {mark}" if named else mark)
    line(word, f"{text}  {' '.join(marks)}")
    for result in results:
        if not result.ok:
            raise DemoError(f"{result.name}: {result.detail}")
