"""How a node of an interface gets the files beside its user data: when it first boots, and when it starts again."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from evernat.bundle import parameters
from evernat.bundle.sources import beside_sources
from tests.agent.stub import Lab, config

CODE = parameters("main", "eni")


class Manager:
    """systemd's end of the socket by which a service tells of itself."""

    def __init__(self, lab: Lab) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(lab.home / "notify"))
        self._socket.setblocking(False)

    def hears(self, text: str) -> bool:
        """Whether that was sent since the last call; all that was sent is read."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(100).decode())
        return text in found


def lines(lab: Lab, event: str) -> list[dict[str, object]]:
    """What the agent logged of one event."""
    return [line for line in lab.log() if line["event"] == event] if (lab.home / "log").exists() else []


def code_reads(lab: Lab) -> list[list[str]]:
    """The names of each call that asked for code."""
    return [names for names in lab.cloud.reads if set(names) & set(CODE)]


def unknown(lab: Lab, text: str) -> bool:
    """Whether the agent logged that it cannot fetch, for a reason with this text."""
    return any(line["fact"] == "parameters" and text in str(line["reason"]) for line in lines(lab, "unknown"))


@pytest.mark.timeout(60)
def test_a_first_boot_asks_until_it_is_answered(lab: Lab) -> None:
    """No answer, a refusal, a missing parameter: each is logged, systemd hears of life, and NAT begins after all."""
    manager = Manager(lab)
    lab.cloud.hang_up["GetParameters"] = ["before"] * 2
    lab.cloud.refuse["GetParameters"] = ["AccessDeniedException"]
    lab.start(fetched=False, NOTIFY_SOCKET=str(lab.home / "notify"))
    lab.until(lambda: manager.hears("READY=1"))
    for reason in ("GetParameters: <Response>", f"there is no {next(iter(CODE))}"):
        lab.until(lambda said=reason: unknown(lab, said))  # type: ignore[misc]
        lab.until(lambda: manager.hears("WATCHDOG=1"))
    assert not (lab.home / "agent" / "run.py").exists()
    lab.cloud.parameters.update(CODE)
    lab.until(lambda: manager.hears("WATCHDOG=1") and lab.holds())
    assert [line["origin"] for line in lines(lab, "code")] == ["parameters"]
    for path, source in beside_sources("eni").items():
        assert (lab.home / "agent" / path).read_text() == source


@pytest.mark.timeout(60)
def test_a_restart_needs_no_parameter_store(lab: Lab) -> None:
    """What the disk has starts, and the log says that it is from there; files that were lost are put back."""
    lab.cloud.parameters.update(CODE)
    lab.start(fetched=False)
    lab.until(lab.holds)
    lab.stop()
    lab.cloud.parameters.clear()
    (lab.home / "agent" / "run.py").write_text("")
    (lab.home / "status.json").unlink()
    asked = len(code_reads(lab))
    lab.start(fetched=False)
    lab.until(lab.holds)
    assert [line["origin"] for line in lines(lab, "code")] == ["parameters", "disk"]
    assert len(code_reads(lab)) == asked


@pytest.mark.timeout(60)
def test_a_changed_parameter_starts_nothing(lab: Lab) -> None:
    """Code that is not of this user data is not run, however often it is offered."""
    last = list(CODE)[-1]
    lab.cloud.parameters.update({**CODE, last: CODE[last] + "\npass"})
    lab.start(fetched=False)
    lab.until(lambda: unknown(lab, "were changed: delete them, then evernat deploy"))
    reads = len(code_reads(lab))
    lab.until(lambda: len(code_reads(lab)) > reads)
    assert not (lab.home / "agent" / "run.py").exists()
    assert lab.status() == {}


def test_the_settings_name_the_files() -> None:
    """agent.json has the names of the identity's own parameters, in order, and no key."""
    settings = json.loads(config().json())
    assert settings["code"] == list(CODE)
    assert "key_parameter" not in settings
    assert not set(CODE) & set(parameters("main"))
