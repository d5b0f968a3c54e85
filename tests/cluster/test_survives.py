"""What is no decision does not end the agent."""

from __future__ import annotations

import io
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from evernat.agent import daemon, status
from evernat.agent.beat import Wire
from evernat.agent.cluster_model import Beat
from evernat.agent.daemon import survive
from evernat.agent.elect import IllegalTransitionError

KEY = b"k" * 32


class Broken(io.TextIOBase):
    """A standard output that nobody reads any more."""

    def write(self, text: str) -> int:
        raise BrokenPipeError

    def flush(self) -> None:
        raise OSError(28, "No space left on device")


def closed() -> io.TextIOBase:
    """One that is closed."""
    made = io.StringIO()
    made.close()
    return made


@pytest.mark.parametrize("out", [Broken(), closed()])
def test_a_log_that_cannot_be_written(out: io.TextIOBase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, a closed pipe: the line is lost, and nothing else."""
    monkeypatch.setattr(sys, "stdout", out)
    daemon.log("role", old="standby", new={"a", "b"}, odd=object())


def test_a_log_of_anything(capsys: pytest.CaptureFixture[str]) -> None:
    """Sets in order, and what JSON does not know by its name."""
    daemon.log("x", names=frozenset("ba"), odd=Path("/"))
    assert json.loads(capsys.readouterr().out) == {"event": "x", "names": ["a", "b"], "odd": "PosixPath('/')"}


@pytest.mark.parametrize("where", ["/nowhere/socket", "@nobody listens", ""])
def test_systemd_does_not_listen(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No socket, or none that anybody reads."""
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    daemon.notify("WATCHDOG=1")


def test_systemd_reads_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket whose queue is full holds nobody up."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        for _ in range(2000):
            daemon.notify("WATCHDOG=1" * 100)


@pytest.mark.parametrize("target", ["missing/status.json", "file/status.json"])
def test_a_status_file_that_cannot_be_written(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No directory, no room, read-only: the file stays as it was."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(status, "FILE", str(tmp_path / target))
    status.write({"role": "holding"})


def test_a_status_that_is_no_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last good one stays whole."""
    monkeypatch.setattr(status, "FILE", str(tmp_path / "status.json"))
    status.write({"role": "holding"})
    for odd in ({"x": object()}, {("a", "b"): 1}):
        status.write(odd)  # type: ignore[arg-type]
    assert json.loads((tmp_path / "status.json").read_text()) == {"role": "holding"}


@pytest.mark.parametrize(
    "error", [OSError(5, "EIO"), ValueError(), KeyError("x"), RecursionError(), MemoryError()]
)
def test_an_unforeseen_error_is_counted(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    """It is logged, with how often, and the next round comes."""
    caught: dict[str, int] = {}

    def fails() -> None:
        raise error

    for _ in range(2):
        survive("turn", fails, caught)
    assert caught == {"turn": 2}
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["times"] == 2


def test_a_broken_invariant_ends_it() -> None:
    """Going on would be worse than starting anew."""

    def breaks() -> None:
        raise IllegalTransitionError("standby -> holding")

    with pytest.raises(IllegalTransitionError):
        survive("turn", breaks, {})


ODD: list[Any] = [
    None, 1, "x", [], {}, [1] * 10, [[]] * 10,
    ["main", "i-a", "sa", "sb", "1", "a", {}, {}, {}, False],
    ["main", "i-a", "sa", "sb", True, "a", {}, {}, {}, False],
    ["main", ["i-a"], "sa", "sb", 1, "a", {}, {}, {}, False],
    ["main", "i-a", "sa", "sb", 1, None, {}, {}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", [], {}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {"main": 1}, {}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {"main": "soon"}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {"main": float("nan")}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {"main": float("inf")}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {"main": 10**400}, {}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {}, {"main": []}, False],
    ["main", "i-a", "sa", "sb", 1, "a", {}, {}, {}],
]  # fmt: skip


@pytest.mark.parametrize(
    "body", [*(json.dumps(odd).encode() for odd in ODD), b"[" * 3000, b"\xff", b"", b"1" * 4000]
)
def test_an_odd_body_with_a_right_seal(body: bytes) -> None:
    """Another version's, or a broken peer's: refused, counted, and the next heartbeat is taken."""
    here = Wire(KEY, "main", "i-b", "sb")
    assert here.open(here._mac(body) + body, 0.0) is None
    assert here.counts["forged"] == 1
    good = Wire(KEY, "main", "i-a", "sa").seal(Beat("i-a", "a", 0.0), "sb")
    assert here.open(good, 0.0) is not None


def test_what_a_release_adds_arrives() -> None:
    """What is over, and how old the last check of the way out is."""
    sent = Beat("i-a", "a", 0.0, {"main": "as-2"}, {"other": 3.5}, {}, True, {"main": "as-1"}, 2.25)
    heard = Wire(KEY, "main", "i-b", "sb").open(Wire(KEY, "main", "i-a", "sa").seal(sent, "sb"), 7.0)
    assert heard
    assert heard.beat == sent._replace(at=7.0)


def test_the_release_before_reads_the_rest() -> None:
    """Ten parts, gateways under their own names: while a stack is upgraded both versions hear each other."""
    sent = Beat("i-a", "a", 0.0, {"main": "as-2"}, {}, {}, False, {"main": "as-1"}, 2.25)
    packet = Wire(KEY, "main", "i-a", "sa").seal(sent, "sb")
    stack, instance, session, echo, number, slot, holds, ready, offers, draining = json.loads(packet[16:])
    assert (stack, instance, session, echo, number, slot, offers, draining) == (
        "main", "i-a", "sa", "sb", 1, "a", {}, False,
    )  # fmt: skip
    assert holds["main"] == "as-2"
    assert "main" not in ready
