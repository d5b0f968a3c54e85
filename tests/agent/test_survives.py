"""What tells others about a single's node may be broken in any way: it holds, and repairs within a second."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from evernat.lab.addresses import PLACES
from tests.agent.stub import CLIENT, NODE, Lab

pytestmark = pytest.mark.packets


def full_status(lab: Lab) -> None:
    """No room for the status file."""
    (lab.home / "status.json.new").symlink_to("/dev/full")


def no_status(lab: Lab) -> None:
    """A folder where the status file should be."""
    (lab.home / "status.json").mkdir()


def deaf_manager(lab: Lab) -> None:
    """systemd reads no message any more."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(lab.home / "notify"))
    lab.env["NOTIFY_SOCKET"] = str(lab.home / "notify")
    lab.kept.append(manager)


def no_manager(lab: Lab) -> None:
    """Nor is it there."""
    lab.env["NOTIFY_SOCKET"] = "/nowhere/notify"


def stuck_journal(lab: Lab) -> None:
    """The log is a pipe that nobody reads, and full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    lab.kept.append(os.fdopen(reader, "rb"))
    lab.output = os.fdopen(writer, "wb")


def closed_journal(lab: Lab) -> None:
    """The log is a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    lab.output = os.fdopen(writer, "wb")


def odd_store(lab: Lab) -> None:
    """The parameter store answers what is no JSON, or nothing that was asked for."""
    lab.cloud.odd = ["[", "null", "3", '{"Parameters": 5}', "[" * 100_000]


def no_store(lab: Lab) -> None:
    """Every report is refused."""
    lab.cloud.odd = [None]


BROKEN = [
    full_status,
    no_status,
    deaf_manager,
    no_manager,
    stuck_journal,
    closed_journal,
    odd_store,
    no_store,
]


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_holds_and_repairs(lab: Lab, broken: Callable[[Lab], None]) -> None:
    """It answers its launch hook, stays the same process, and puts back what is flushed."""
    broken(lab)
    lab.start()
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    assert lab.agent
    for _ in range(3):
        lab.run(NODE, "nft flush ruleset; ip rule flush; ip rule add priority 32766 lookup main")
        began = time.monotonic()
        lab.until(lambda: passes(lab), 5)
        assert time.monotonic() - began < 1.0
    assert lab.agent.poll() is None


def passes(lab: Lab) -> bool:
    """Whether a new connection of the client's gets out."""
    with lab.fabric.socket(CLIENT) as made:
        made.settimeout(0.1)
        return made.connect_ex(PLACES[0]) == 0


def test_an_unforeseen_error_is_counted(lab: Lab) -> None:
    """An effect that raises what nobody thought of: logged, counted, told as a problem, and the rest goes on."""
    lab.start(inserted={" def _targets(self, cloud):": "  raise ZeroDivisionError('odd')"})
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.until(lambda: any("unforeseen errors in targets" in each for each in lab.status()["problems"]))
    assert any(line.get("error") == "ZeroDivisionError('odd')" for line in lab.log())
    lab.run(NODE, "nft flush ruleset")
    lab.until(lambda: passes(lab), 2)


def test_a_broken_invariant_ends_it(lab: Lab) -> None:
    """What the core says may never be ends the process: systemd starts it anew."""
    lab.start(inserted={" def _link(self):": "  raise decide.IllegalTransitionError('on purpose')"})
    assert lab.agent
    with contextlib.suppress(subprocess.TimeoutExpired):
        lab.agent.wait(10)
    assert lab.agent.poll() is not None
