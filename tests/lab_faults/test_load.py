"""The keeper tells connections that live from those that do not, and the probe sees a gap as long as it was."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from evernat.lab.checks import attempt, until
from evernat.lab.client import Lab
from evernat.lab.load import KINDS, PORT, Host, Load, pattern, server

A, B = "172.18.64.10", "172.18.80.10"
EACH = dict.fromkeys(KINDS, 5)


def test_every_kind_lives(one_lab: Lab) -> None:
    """Connections of all kinds, both ways at once, prove that they live; those with a rhythm keep it."""
    with server(one_lab, "client-b"), server(one_lab, "client-a"):
        hosts = [Host("client-a", EACH, B), Host("client-b", {"idle": 3, "push": 3}, A)]
        with Load(one_lab, hosts, every=0.1) as load:
            assert (load.opened.total("opened"), load.opened.lost) == (36, {})
            for _ in range(2):
                found = load.check(5)
                assert found.all_alive, str(found)
            assert str(found) == "36 of 36 alive"
            assert found.longest_gap > 0.05


def test_a_cut_is_silence_and_heals(one_lab: Lab) -> None:
    """With the cable cut nothing proves that it lives, idle ones included; with the cable back all do."""
    with (
        server(one_lab, "client-b"),
        Load(one_lab, [Host("client-a", EACH, B)], every=0.1) as load,
    ):
        one_lab.kill("client-b", "network")
        time.sleep(0.5)
        cut = load.check(0.5)
        assert cut.lost == {f"{kind}: silent": 5 for kind in KINDS}
        one_lab.call("mend", node="client-b")
        healed = load.check(15)
        assert healed.all_alive, str(healed)
        assert healed.longest_gap >= 1.0


def test_an_ended_connection_is_lost_with_its_reason(one_lab: Lab) -> None:
    """When the far end goes, TCP connections are lost and say why, and UDP is silent."""
    with server(one_lab, "client-b"):
        load = Load(one_lab, [Host("client-a", EACH, B)], every=0.1)
        load.__enter__()
    try:
        assert until(lambda: load.report().total("alive") == 5, 5)
        found = load.check(0.5)
        assert found.total("alive") == 0
        lost = found.lost
        assert lost.pop("udp: silent") == 5
        assert sum(lost.values()) == 25
        assert {what.split(": ")[1] for what in lost} <= {"closed", "ECONNRESET"}
    finally:
        load.__exit__()


def test_what_cannot_be_opened_is_said(one_lab: Lab) -> None:
    """Nobody listens: refused, at once."""
    with Load(one_lab, [Host("client-a", {"idle": 400}, B)]) as load:
        assert load.opened.total("opened") == 0
        assert load.opened.lost == {"idle: ECONNREFUSED": 400}


def test_an_unknown_kind_is_refused(one_lab: Lab) -> None:
    """With the known ones in the message."""
    with pytest.raises(ValueError, match="idle, push"):
        Load(one_lab, [Host("client-a", {"ilde": 1})])


def test_bulk_is_checked_byte_for_byte() -> None:
    """A missing, repeated or changed piece is seen wherever it is and however long it is."""
    data = pattern.at(5, pattern.CHUNK) + pattern.at(5 + pattern.CHUNK, 100)
    assert pattern.holds(5, data)
    assert pattern.holds(5 + 7 * pattern.PERIOD, data)
    assert not pattern.holds(6, data)
    assert not pattern.holds(5, data[:1000] + data[2024:])
    assert not pattern.holds(5, data[:-1] + b"\xff")


def test_ten_thousand_in_one_process(one_lab: Lab) -> None:
    """One process opens, holds and checks ten thousand within seconds, in little memory."""
    counts = {"idle": 9000, "push": 250, "request": 250, "udp": 500}
    with server(one_lab, "client-b"), Load(one_lab, [Host("client-a", counts, B)]) as load:
        assert load.opened.total("opened") == 10_000, str(load.opened)
        found = load.check(20)
        assert found.all_alive, str(found)


def drillprobe(lab: Lab) -> subprocess.Popen[str]:
    probe = lab.popen(
        "client-a",
        [sys.executable, "-m", "evernat.lab.drillprobe", B],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert probe.stdout
    assert probe.stdout.readline() == "ready\n"
    return probe


def ended(probe: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = probe.communicate(timeout=10)
    return dict(json.loads(out))


def test_the_probe_sees_the_gap(one_lab: Lab) -> None:
    """A cut of 0.4 s is a gap of about that, in the probe and in the stream, and a hole in the bytes over time."""
    probe = drillprobe(one_lab)
    time.sleep(0.3)
    one_lab.kill("client-b", "network")
    time.sleep(0.4)
    one_lab.call("mend", node="client-b")
    time.sleep(1.2)
    found = ended(probe)
    assert found["longest_gap"] > 0.35
    assert max(found["probe"]["gaps"], key=lambda gap: gap[1])[1] == found["longest_gap"]
    assert found["probe"]["lost"] > 20
    assert found["stream"]["alive"]
    assert found["stream"]["longest_gap"] > 0.35
    assert found["bytes"].count(0) >= 5
    assert sum(found["bytes"]) > 100_000
    assert abs(found["began"] + found["seconds"] - time.time()) < 5


def test_the_probe_says_when_nobody_answers(one_lab: Lab) -> None:
    """An error in the report, and exit code 1."""
    shown = one_lab.exec("client-a", [sys.executable, "-m", "evernat.lab.drillprobe", B, "--port", str(PORT)])
    assert shown.returncode == 1
    assert "ConnectionRefusedError" in json.loads(shown.stdout)["error"]


def test_the_probe_ends_by_itself(one_lab: Lab) -> None:
    """After `--seconds`, without anything on its standard input."""
    command = [sys.executable, "-m", "evernat.lab.drillprobe", B, "--seconds", "0.3"]
    shown = one_lab.exec("client-a", command, stdin=subprocess.DEVNULL)
    ready, report = shown.stdout.splitlines()
    assert ready == "ready"
    assert json.loads(report)["probe"]["lost"] <= 1
    assert "error" not in attempt(one_lab, "client-a", "udp", B, 7)


def test_flood(one_lab: Lab) -> None:
    """Datagrams at the rate that was asked for, from as many ports; without a rate many more."""

    def sent(*words: str) -> int:
        command = [sys.executable, "-m", "evernat.lab.load", "flood", B, "--port", "9", *words]
        return int(json.loads(one_lab.exec("client-a", command).stdout)["sent"])

    assert 700 <= sent("--seconds", "0.5", "--rate", "2000", "--flows", "300") <= 1100
    assert sent("--seconds", "0.2") > 3000
