"""Where parts of an instance meet: sockets and files that init serves and commands use."""

from __future__ import annotations

from pathlib import Path

CONTROL = "/run/systemd/private"
"""Init's socket for systemctl."""

NOTIFY = "/run/systemd/notify"
"""Init's socket for sd_notify(3)."""

SYSLOG = "/dev/log"
"""Where syslog(3) sends to."""

JOURNAL = Path("/var/log/journal.log")
"""All output of units."""

CLOUD_INIT_RESULT = Path("/run/cloud-init/result.json")
"""Is there once the user data of this boot has been dealt with."""

CATALOGUE = Path("/.lab/packages.json")
"""Packages that can be installed and how long that takes."""

MACHINE = "/.lab/machine"
"""Below it, the machine's own programs."""
