"""One entry for all of them: the name it was called as decides."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Answers the exit status."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if name == "systemctl":
        from . import systemctl

        return systemctl.main(arguments)
    if name == "journalctl":
        from . import journalctl

        return journalctl.main(arguments)
    if name in ("dnf", "yum", "apt-get", "apt"):
        from . import packages

        return packages.main(name, arguments)
    if name == "cloud-init":
        from . import cloud_init

        return cloud_init.main(arguments)
    if name == "cloud-final":
        from ..cloudinit import run

        return run.main()
    from . import power

    return power.main(name, arguments)
