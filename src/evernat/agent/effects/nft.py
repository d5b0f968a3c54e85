"""The kernel's nftables, by the `nft` program."""

from __future__ import annotations

import shutil
import subprocess

from .. import ruleset
from ..model import Elements, Gateway

INSTALL = """\
if command -v dnf >/dev/null; then exec dnf install -y nftables; fi
apt-get -q update && DEBIAN_FRONTEND=noninteractive exec apt-get -qy install nftables"""


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
        if shutil.which("nft"):
            return ""
        failed = ""
        if self._installer and self._installer.poll():
            failed = f", again after exit status {self._installer.returncode}"
        if not self._installer or self._installer.poll() is not None:
            self._installer = subprocess.Popen(["sh", "-c", INSTALL], stdin=subprocess.DEVNULL)
        return f"nftables is being installed{failed}"

    def faults(self) -> list[str]:
        """What differs from what was loaded."""
        return [] if self._listing and self._list() == self._listing else ["no nftables table"]

    def load(self, gateway: Gateway, elements: Elements) -> None:
        """The whole table in one transaction, without a flowtable if the kernel has none; raises OSError."""
        try:
            self._nft("-f", "-", text=ruleset.table(gateway, self._clients, elements, flowtable=True))
            self.note = ""
        except OSError as error:
            self._nft("-f", "-", text=ruleset.table(gateway, self._clients, elements, flowtable=False))
            self.note = str(error).split("\n")[0]
        self._loaded(elements)

    def update(self, elements: Elements) -> None:
        """Replace the elements that changed; raises OSError."""
        self._nft("-f", "-", text=ruleset.update(self.elements, elements))
        self._loaded(elements)

    def _loaded(self, elements: Elements) -> None:
        self.elements, self._listing = elements, self._list()

    def _list(self) -> str:
        try:
            return self._nft("-s", "list", "table", "ip", "evernat")
        except OSError:
            return ""

    def _nft(self, *arguments: str, text: str = "") -> str:
        done = subprocess.run(
            ["nft", *arguments], input=text, capture_output=True, text=True, timeout=20, check=False
        )
        if done.returncode:
            raise OSError(f"nft: {done.stderr.strip()}")
        return done.stdout
