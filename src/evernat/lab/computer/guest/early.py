"""What a real machine does before any service starts: kernel modules and parameters that files in /etc ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

_SYSCTL = Path("/proc/sys")


def _lines(*patterns: str) -> Iterator[str]:
    for pattern in patterns:
        for path in sorted(Path("/etc").glob(pattern)):
            for line in path.read_text(errors="replace").splitlines():
                if line.strip() and line.strip()[0] not in "#;":
                    yield line.strip()


def load_modules(log: Callable[[str], None]) -> None:
    """modules-load.d(5). What cannot be loaded is said and left out."""
    names = list(_lines("modules-load.d/*.conf"))
    if names:
        done = subprocess.run(["modprobe", "-a", *names], capture_output=True, text=True, check=False)
        if done.returncode:
            log(f"modprobe {' '.join(names)}: {done.stderr.strip()}")


def set_parameters(log: Callable[[str], None]) -> None:
    """sysctl.d(5). A parameter that is not there or may not be set is said, unless written with a `-` before it."""
    for line in _lines("sysctl.d/*.conf", "sysctl.conf"):
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            continue
        # In `net.ipv4.conf.eth0/1.forwarding` dots and slashes have swapped their meaning.
        path = (
            key.lstrip("-").translate(str.maketrans("./", "/."))
            if "." in key.split("/")[0]
            else key.lstrip("-")
        )
        try:
            (_SYSCTL / path).write_text(value)
        except OSError as error:
            if not key.startswith("-"):
                log(f"cannot set {key} to {value}: {error.strerror}")
