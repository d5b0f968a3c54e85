"""The kernel's nftables, by the `nft` program."""

from __future__ import annotations

import os
import subprocess

from .. import ruleset
from ..model import Elements, Gateway
from . import EffectError
from .process import run

INSTALL = """\
if command -v dnf >/dev/null; then exec dnf install -y nftables; fi
apt-get -q update && exec apt-get -qy install nftables"""


class Nft:
    """Our table, and what was last loaded into it."""

    def __init__(self, clients: tuple[str, ...]):
        self.elements: Elements = frozenset()
        self.note = ""  # why there is no flowtable
        self._clients = clients
        self._listing = ""
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
        return [] if self._listing and self._list() == self._listing else ["no nftables table"]

    def load(self, gateway: Gateway, elements: Elements) -> None:
        """The whole table in one transaction, without a flowtable if the kernel has none."""
        self.note = ""
        try:
            self._nft(ruleset.table(gateway, self._clients, elements, flowtable=True))
        except EffectError as error:
            self.note = f"no flowtable: {str(error).splitlines()[0]}"
            self._nft(ruleset.table(gateway, self._clients, elements, flowtable=False))
        self._loaded(elements)

    def update(self, elements: Elements) -> None:
        """Replace the elements that changed."""
        self._nft(ruleset.update(self.elements, elements))
        self._loaded(elements)

    def _nft(self, text: str) -> None:
        run("nft", "-f", "-", text=text)

    def _loaded(self, elements: Elements) -> None:
        self.elements, self._listing = elements, self._list()

    def _list(self) -> str:
        return run("nft", "-s", "list", "table", "ip", "evernat", check=False)
