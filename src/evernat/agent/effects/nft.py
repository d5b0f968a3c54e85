"""The kernel's nftables, by the `nft` program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Optional

from . import EffectError
from .process import run

INSTALL = """\
if command -v dnf >/dev/null; then exec dnf install -y nftables; fi
apt-get -q update && exec apt-get -qy install nftables"""


class Nft:
    """Our table."""

    def __init__(self) -> None:
        self.note = ""  # why there is no flowtable
        self._fast = True
        self._listing: Optional[str] = ""  # None: as the kernel lists it next
        self._installer: subprocess.Popen[bytes] | None = None

    def tools(self) -> str:
        """Why `nft` cannot be run yet, empty when it can. Installs it on the side, again if that failed."""
        # Not shutil.which: that module takes half a megabyte.
        if any(os.access(f"{folder}/nft", os.X_OK) for folder in os.get_exec_path()):
            return ""
        failed = self._installer and self._installer.poll()
        if not self._installer or failed is not None:
            self._installer = subprocess.Popen(["sh", "-c", INSTALL], stdin=subprocess.DEVNULL)
        return f"installing nftables{f', again after exit status {failed}' if failed else ''}"

    def faults(self) -> list[str]:
        """What differs from what was loaded."""
        found = run("nft", "-s", "list", "table", "ip", "evernat", check=False)
        if self._listing is None:
            self._listing = found
        return [] if self._listing and found == self._listing else ["no nftables table"]

    def load(self, table: Callable[[bool], str]) -> None:
        """The whole table in one transaction, without a flowtable if the kernel has none: that is asked once."""
        try:
            self.change(table(self._fast))
        except EffectError as error:
            if not self._fast:
                raise
            self.change(table(False))
            self._fast, self.note = False, f"no flowtable: {str(error).splitlines()[0]}"

    def change(self, text: str) -> None:
        """One transaction."""
        run("nft", "-f", "-", text=text)
        self._listing = None
