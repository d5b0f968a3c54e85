"""Loading tables: a flowtable that fails for a while."""

from __future__ import annotations

from pathlib import Path

import pytest

from evernat.agent.effects import EffectError
from evernat.agent.effects.nft import AGAIN, Nft

PROGRAM = """#!/bin/sh
text=$(cat)
[ "$1" = list ] && exec grep -s "chain ip evernat-limits $6" {home}/loaded
case "$text" in
*counting*) [ -e {home}/counts ] || { echo 'Error: No such file or directory' >&2; exit 1; } ;;
*flowtable*) [ -e {home}/plugged ] || { echo 'Error: No such file or directory' >&2; exit 1; } ;;
*wrong*) echo 'Error: syntax error' >&2; exit 1 ;;
esac
echo "$text" >> {home}/loaded
"""


class Kernel:
    """A kernel whose flowtable works as long as a device is plugged in, by way of an `nft` program; and a clock."""

    def __init__(self, home: Path) -> None:
        self.now, self.home = 0.0, home
        (home / "nft").write_text(PROGRAM.replace("{home}", str(home)))
        (home / "nft").chmod(0o755)
        self.plug(True)

    def plug(self, plugged: bool) -> None:
        (self.home / "plugged").touch() if plugged else (self.home / "plugged").unlink(missing_ok=True)

    def all(self) -> list[str]:
        return (self.home / "loaded").read_text().splitlines()

    def loaded(self) -> str:
        return self.all()[-1]


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return Kernel(tmp_path)


def text(fast: bool) -> str:
    return "flowtable" if fast else "plain"


def test_a_flowtable_is_an_option(kernel: Kernel) -> None:
    """Without being asked for it is not loaded."""
    Nft(clock=lambda: kernel.now).load(text)
    assert kernel.loaded() == "plain"


def test_a_passing_failure_passes(kernel: Kernel) -> None:
    """A device that is unplugged for a moment leaves the table without a flowtable, and a later load has it again."""
    nft = Nft(True, lambda: kernel.now)
    nft.load(text)
    assert (kernel.loaded(), nft.note) == ("flowtable", "")
    kernel.plug(False)
    nft.load(text)
    assert kernel.loaded() == "plain"
    assert nft.note.startswith("no flowtable: ")
    kernel.plug(True)
    kernel.now += AGAIN - 1
    nft.load(text)
    assert kernel.loaded() == "plain", "a kernel without one is not asked with every load"
    kernel.now += 1
    nft.load(text)
    assert (kernel.loaded(), nft.note) == ("flowtable", "")


def test_a_wrong_table_is_told(kernel: Kernel) -> None:
    """What fails with and without a flowtable is an error, and no reason to do without one."""
    nft = Nft(True, lambda: kernel.now)
    with pytest.raises(EffectError, match="syntax error"):
        nft.load(lambda fast: "wrong")
    nft.load(text)
    assert kernel.loaded() == "flowtable"


def bounds(count: bool) -> str:
    return "counting\n" if count else "lesser\n"


def test_a_kernel_that_cannot_count_has_the_other_limits(kernel: Kernel) -> None:
    """Without counting the lesser table is loaded and that is told; with it the whole one, once."""
    nft = Nft(clock=lambda: kernel.now)
    assert nft.bound(bounds).startswith("no limit of connections: ")
    assert nft.bound(bounds).startswith("no limit of connections: ")
    assert [line for line in kernel.all() if "chain" not in line] == ["lesser"]
    (kernel.home / "counts").touch()
    assert nft.bound(bounds) == nft.bound(bounds) == ""
    assert [line for line in kernel.all() if "chain" not in line] == ["lesser", "counting"]
