"""Installing nftables at boot: without haste when it fails, and with the reason."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from evernat.agent.effects import nft
from evernat.agent.effects.nft import Nft


class Clock:
    """Time that is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without nft whose installer notes each run here."""
    monkeypatch.setenv(
        "PATH", f"{tmp_path}:/usr/bin:/bin" if not os.access("/usr/bin/nft", os.X_OK) else str(tmp_path)
    )
    return tmp_path / "runs"


def installer(runs: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    monkeypatch.setattr(nft, "INSTALL", f"echo x >>{runs}\n{script}")


def ended(tools: Nft, text: str) -> str:
    """What is said once the installer has ended; `text` is part of it."""
    for _ in range(500):
        said = tools.tools()
        if text in said:
            return said
        time.sleep(0.01)
    raise AssertionError(said)


def times(runs: Path) -> int:
    return len(runs.read_text().splitlines())


def test_it_waits_between_attempts(runs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that others hold for a while costs few attempts: after 2, 4, 8, 16, 30, 30 s (F4)."""
    installer(runs, monkeypatch, "echo 'E: Could not get lock /var/lib/dpkg/lock-frontend' >&2; exit 100")
    tools = Nft(clock=clock)
    began, attempts = clock.now, []
    while clock.now < began + 100:
        tools.tools()
        if tools._installer:
            attempts.append(clock.now - began)
            tools._installer.wait()
            tools.tools()
        clock.now += 0.5
    assert attempts == [0.0, 2.0, 6.0, 14.0, 30.0, 60.0, 90.0]
    assert times(runs) == len(attempts)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo one; echo two; echo three; echo four >&2; exit 7", "exit status 7: two / three / four"),
        ("kill -9 $$", "signal 9"),
        ("exit 3", "exit status 3"),
        ("printf '\\377\\376'; exit 1", "exit status 1: \ufffd\ufffd"),
    ],
)
def test_the_reason_is_told(
    runs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    """How it ended, and its last lines: what outlives the machine in the report (H13)."""
    installer(runs, monkeypatch, script)
    tools = Nft(clock=clock)
    assert tools.tools() == "installing nftables"
    assert ended(tools, "again after") == f"installing nftables, again after {said}"


def test_a_talkative_installer(runs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Megabytes of output neither stop it nor stay in memory."""
    installer(runs, monkeypatch, "yes 0123456789 | head -c 3000000; exit 5")
    tools = Nft(clock=clock)
    assert len(ended(tools, "exit status 5")) < nft.LAST + 100


def test_no_shell(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installer that cannot even be started is a reason like others."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "which cannot be started" in Nft(clock=clock).tools()


def test_a_script_that_installs(
    runs: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once nft is there, nothing is missing."""
    installer(runs, monkeypatch, f"printf '#!/bin/sh\\n' >{tmp_path}/nft; /bin/chmod +x {tmp_path}/nft")
    tools = Nft(clock=clock)
    tools.tools()
    for _ in range(500):
        if not tools.tools():
            return
        time.sleep(0.01)
    raise AssertionError(tools.tools())
