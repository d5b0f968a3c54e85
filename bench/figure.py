"""One measured figure and how it is shown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """What was measured, its value as text, the goal if there is one, and on what it was measured."""

    what: str
    value: str
    goal: str = ""
    on: str = ""


def median(values: Sequence[float]) -> float:
    """The median; figures are medians."""
    return statistics.median(values)


def machine() -> str:
    """The machine in one line."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    cores = Path("/proc/cpuinfo").read_text().count("processor\t:")
    return f"{cores} x {model}, Linux {platform.release()}, Python {platform.python_version()}"
