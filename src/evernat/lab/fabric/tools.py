"""The two programs that put desired state into the kernel, `ip -batch` and `nft -f`; on failure their own words."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from evernat.lab.fabric.namespaces import Namespaces

_LINK_TRIES, _LINK_PAUSE = 200, 0.01
_FAILED_LINE = r"Command failed -:(\d+)"


class FabricError(Exception):
    """The kernel refused a change: what was attempted, and what it answered.

    `lines` are those of a batch that failed.
    """

    def __init__(self, message: str, lines: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.lines = frozenset(lines)


class Attempts:
    """Steps of which each is taken even if those before it failed. `failed` are the lines of batches that did."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._messages: list[str] = []
        self.failed: set[str] = set()

    def take(self, step: Callable[[], None]) -> None:
        """Takes a step and keeps what went wrong."""
        try:
            step()
        except FabricError as error:
            self._log(f"fabric: {error}")
            self._messages.append(str(error))
            self.failed |= error.lines

    def finish(self) -> None:
        """Raises FabricError with all that went wrong, if anything did."""
        if self._messages:
            raise FabricError("\n".join(self._messages), self.failed)


class Tools:
    """Runs `ip`, `nft` and sysctl writes inside a namespace."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces

    def ip(self, namespace: int, lines: Sequence[str], descriptors: Iterable[int] = ()) -> None:
        """All lines as one batch. It goes on after a line that fails; then FabricError names each of those lines.

        `descriptors` are handed down, for lines that name one as /proc/self/fd/N.
        """
        if lines:
            text = "\n".join(lines) + "\n"
            self._run(namespace, ["ip", "-force", "-batch", "-"], text, tuple(descriptors))

    def await_links(self, namespace: int, names: Sequence[str]) -> None:
        """Waits until these interfaces send, after both ends of their cables were switched on.

        The end that was switched on first drops what it is given until the kernel's link watch has run, which takes a
        moment. Asking for a single interface makes newer kernels (6.9) run it at once.
        """
        if not names:
            return
        questions = "".join(f"link show dev {name}\n" for name in names)
        for _ in range(_LINK_TRIES):
            answer = self._run(namespace, ["ip", "-o", "-batch", "-"], questions, ())
            if answer.count(" state UP ") == len(names):
                return
            time.sleep(_LINK_PAUSE)
        raise FabricError(f"interfaces did not come up: {answer}")

    def nft(self, namespace: int, text: str) -> None:
        """One transaction: all of it or, with FabricError, nothing."""
        if text:
            self._run(namespace, ["nft", "-f", "-"], text, ())

    def nft_json(self, namespace: int, *words: str) -> str:
        """The answer to a question, as nft's JSON."""
        return self._run(namespace, ["nft", "-j", *words], "", ())

    def sysctl(self, namespace: int, settings: dict[str, str]) -> None:
        """Writes settings, given as paths below /proc/sys/net."""

        def write() -> None:
            for name, value in settings.items():
                Path("/proc/sys/net", name).write_text(value)

        self._namespaces.run(namespace, write)

    def _run(self, namespace: int, command: list[str], text: str, descriptors: tuple[int, ...]) -> str:
        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                command,
                input=text,
                text=True,
                capture_output=True,
                pass_fds=descriptors,
                check=False,
                timeout=60,
            )

        done = self._namespaces.run(namespace, run)
        if done.returncode:
            lines = text.splitlines()
            numbers = {int(number) for number in re.findall(_FAILED_LINE, done.stderr)}
            failed = [line for number, line in enumerate(lines, 1) if number in numbers]
            shown = failed or [f"{number:4} {line}" for number, line in enumerate(lines, 1)]
            raise FabricError("\n".join((f"{' '.join(command)}: {done.stderr.strip()}", *shown)), failed)
        return done.stdout
