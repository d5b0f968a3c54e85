"""dnf(8), yum(8), apt-get(8): "installing" a package makes the machine's own program appear.

The image is without nftables, conntrack-tools and iptables, as Amazon Linux 2023 is; the machine below has them. The
list and the time an installation takes come from the lab in `/.lab/packages.json`.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from ..places import CATALOGUE, MACHINE

_HARMLESS = (
    "update",
    "upgrade",
    "makecache",
    "clean",
    "check-update",
    "autoremove",
    "remove",
    "erase",
    "purge",
    "autoclean",
)


def main(name: str, arguments: list[str]) -> int:
    """Answers the exit status."""
    words = [each for each in arguments if not each.startswith("-")]
    verb, packages = (words[0], words[1:]) if words else ("help", [])
    if verb in _HARMLESS:
        print(f"{name}: nothing to do for {verb} in the lab")
        return 0
    if verb not in ("install", "reinstall"):
        print(f"{name}: the lab knows install and update, not {verb}", file=sys.stderr)
        return 1
    catalogue = json.loads(CATALOGUE.read_text())
    missing = [each for each in packages if each not in catalogue["packages"] and shutil.which(each) is None]
    if missing:
        print(f"Error: Unable to find a match: {' '.join(missing)}", file=sys.stderr)
        return 100 if name.startswith("apt") else 1
    return _install([each for each in packages if each in catalogue["packages"]], catalogue)


def _install(packages: list[str], catalogue: dict[str, Any]) -> int:
    """A package's first program has to be on the machine; the others come along when they are."""
    lacking = [each for each in packages if not _source(catalogue["packages"][each][0]).exists()]
    if lacking:
        print(f"Error: the machine under this lab has no {' '.join(lacking)} to install", file=sys.stderr)
        return 1
    programs = [path for each in packages for path in catalogue["packages"][each] if _source(path).exists()]
    wanted = [path for path in programs if not Path(path).exists()]
    if not wanted:
        print("Nothing to do.")
        return 0
    time.sleep(catalogue["seconds"])
    for path in wanted:
        Path(path).symlink_to(_source(path))
        print(f"Installed: {path}")
    print("Complete!")
    return 0


def _source(path: str) -> Path:
    return Path(MACHINE + path)
