"""The kernel's nftables, by the `nft` program."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from typing import Optional

from ..kernel.foreign import dropping, tables
from . import EffectError
from .process import run

INSTALL = """\
if command -v dnf >/dev/null; then exec dnf install -y nftables; fi
apt-get -q update && exec apt-get -qy install nftables"""

SHORTEST, LONGEST = 2.0, 30.0  # seconds before the installer is started again, doubled each time
LAST = 400  # bytes of what it said that are kept

AGAIN = 10.0  # seconds without a flowtable after a load with one has failed

TIMED = re.compile(
    r"\n\s*elements = \{ ip timeout [^}]*\}"
)  # elements that go by themselves (`rules`, `firewall`)


class Nft:
    """Our table."""

    def __init__(self, fast: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        """`fast`: load tables with a flowtable, where the kernel has one."""
        self._clock = clock
        self.note = ""  # why there is no flowtable
        self._fast = fast
        self._failed = float("-inf")  # when the last load with a flowtable did
        self._mark = ""  # a chain whose name tells which limits are loaded
        self._listing: Optional[str] = ""  # None: as the kernel lists it next
        self._installer: subprocess.Popen[bytes] | None = None
        self._output = b""  # of the installer, the end of it
        self._wrong = ""  # how the last one ended
        self._next = self._pause = 0.0  # when another may start, and the seconds before the one after that

    def tools(self) -> str:
        """Why `nft` cannot be run yet, empty when it can. Installs it on the side, again if that failed, ever later."""
        # Not shutil.which: that module takes half a megabyte.
        if any(os.access(f"{folder}/nft", os.X_OK) for folder in os.get_exec_path()):
            return ""
        if self._installer:
            self._attend(self._installer)
        elif self._clock() >= self._next:
            self._install()
        return f"installing nftables{self._wrong}"

    def _install(self) -> None:
        try:
            self._installer = subprocess.Popen(
                ["sh", "-c", INSTALL],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert self._installer.stdout
            os.set_blocking(self._installer.stdout.fileno(), False)
        except OSError as error:
            self._wrong = f", which cannot be started: {error}"

    def _attend(self, installer: subprocess.Popen[bytes]) -> None:
        """Read what it says; when it has ended, note how, and wait a while."""
        status = installer.poll()
        assert installer.stdout
        self._output = (self._output + (installer.stdout.read() or b""))[-LAST:]
        if status is None:
            return
        installer.stdout.close()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        said = " / ".join(self._output.decode("utf-8", "replace").strip().split("\n")[-3:])
        self._wrong = f", again after {how}: {said}" if said else f", again after {how}"
        self._installer, self._output = None, b""
        self._pause = min(max(2 * self._pause, SHORTEST), LONGEST)
        self._next = self._clock() + self._pause

    def faults(self) -> list[str]:
        """What differs from what was loaded."""
        found = TIMED.sub("", run("nft", "-s", "list", "table", "ip", "evernat", check=False))
        if self._listing is None:
            self._listing = found
        wrong = [] if self._listing and found == self._listing else ["no nftables table"]
        return wrong if not self._mark or self._marked(self._mark) else [*wrong, "no limits"]

    def bound(self, table: Callable[[bool], str]) -> str:
        """The table of limits, unless it is there: loading it anew forgets who has how many connections.

        A kernel that cannot count connections gets a lesser one. Gives what is missing.
        """
        missing = ""
        for count in (True, False):
            text = table(count)
            mark = "v" + hashlib.sha256(text.encode()).hexdigest()[:16]
            try:
                if not self._marked(mark):
                    run("nft", "-f", "-", text=f"{text}add chain ip evernat-limits {mark}\n")
                self._mark = mark
                break
            except EffectError as error:
                missing = f"no limit of connections: {str(error).splitlines()[0]}"
        return missing

    def _marked(self, mark: str) -> bool:
        return mark in run("nft", "list", "chain", "ip", "evernat-limits", mark, check=False)

    def foreign(self) -> list[str]:
        """Other programs' chains that stop what is forwarded."""
        legacy = ""
        with contextlib.suppress(OSError), open("/proc/net/ip_tables_names") as file:
            legacy = file.read()
        # Not the whole ruleset: of a table with an owner, as `guard` has one, nft 1.0.6 prints flags that are no JSON.
        found = tables(run("nft", "-j", "list", "chains", check=False))
        return dropping([run("nft", "-j", "list", "table", *each, check=False) for each in found], legacy)

    def load(self, table: Callable[[bool], str]) -> None:
        """The whole table in one transaction, without a flowtable when it fails with one.

        That may pass (a device is being unplugged, which the kernel tells by the same error as a missing module): a
        load after AGAIN seconds tries it with one again.
        """
        fast = self._fast and self._clock() - self._failed >= AGAIN
        try:
            self.change(table(fast))
        except EffectError as error:
            if not fast:
                raise
            self.change(table(False))
            self._failed, self.note = self._clock(), f"no flowtable: {str(error).splitlines()[0]}"
            return
        if fast:
            self.note = ""

    def change(self, text: str) -> None:
        """One transaction."""
        run("nft", "-f", "-", text=text)
        self._listing = None
