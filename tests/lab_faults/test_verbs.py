"""The faults as a person asks for them: `evernat lab ...`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from evernat.lab.checks import until

from .conftest import Cloud


def verb(cloud: Cloud, *words: str) -> subprocess.CompletedProcess[str]:
    """One `evernat lab` command against the test's lab."""
    command = [sys.executable, "-m", "evernat.cli", "lab", words[0], "--name", cloud.lab.name, *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_breaking_and_mending(cloud: Cloud) -> None:
    """kill --how partition and api, loss, spot, stall and mend do what they say, and status shows it."""
    node = cloud.launch(InstanceMarketOptions={"MarketType": "spot"})

    def troubles() -> list[str]:
        return list(cloud.node(node)["troubles"])

    for how in ("partition", "internet", "api"):
        assert json.loads(verb(cloud, "kill", node, "--how", how, "--json").stdout) == {
            "id": node,
            "how": how,
        }
    assert verb(cloud, "fault", "--node", node, "--loss", "0.05").returncode == 0
    assert troubles() == [
        "no internet",
        "no API",
        "5 % of packets lost",
        "100 % of packets to other nodes lost",
    ]
    assert node in verb(cloud, "mend", node).stdout
    assert troubles() == []
    assert verb(cloud, "fault", "--node", node, "--peer-loss", "0.5").returncode == 0
    assert troubles() == ["50 % of packets to other nodes lost"]
    assert verb(cloud, "fault", "--clear").returncode == 0
    assert troubles() == []
    assert verb(cloud, "kill", node, "--how", "places", "--interface", "ens5").returncode == 0
    assert verb(cloud, "fault", "--unreachable", "8.8.8.8", "--node", node).returncode == 0
    assert troubles() == ["no internet but checkip by ens5", "no 8.8.8.8"]
    assert verb(cloud, "fault", "--reachable", "8.8.8.8", "--node", node).returncode == 0
    assert troubles() == ["no internet but checkip by ens5"]
    assert verb(cloud, "fault", "--clear").returncode == 0
    assert until(lambda: verb(cloud, "stall", node, "0.1").returncode == 0, 10)
    assert verb(cloud, "spot", node, "--notice", "rebalance").returncode == 0
    assert troubles() == ["rebalance"]


def test_out_of_reach_for_all(cloud: Cloud) -> None:
    """What nobody reaches is shown once, for all, until it is put right."""
    assert verb(cloud, "fault", "--unreachable", "internet").returncode == 0
    assert verb(cloud, "fault", "--unreachable", "1.1.1.1").returncode == 0
    assert "for all  no internet, no 1.1.1.1" in verb(cloud, "status").stdout
    assert verb(cloud, "fault", "--reachable", "internet").returncode == 0
    assert json.loads(verb(cloud, "status", "--json").stdout)["troubles"] == ["no 1.1.1.1"]
    assert verb(cloud, "fault", "--clear").returncode == 0
    assert "for all" not in verb(cloud, "status").stdout


def test_faults_of_the_api(cloud: Cloud) -> None:
    """A kind may carry its seconds and be for one caller; it is listed until it is cleared."""
    words = ("--action", "DescribeAddresses", "--kind", "delay=0.5", "--times", "-1", "--caller", "user")
    (listed,) = json.loads(verb(cloud, "fault", *words, "--json").stdout)["faults"]
    expected: dict[str, Any] = {
        "action": "DescribeAddresses", "kind": "delay", "seconds": 0.5, "times": -1, "principal": "user"
    }  # fmt: skip
    assert expected.items() <= listed.items()
    assert json.loads(verb(cloud, "fault", "--clear", "--json").stdout) == {"faults": []}


def test_a_console_for_programs(cloud: Cloud) -> None:
    """What a node wrote, as lines."""
    node = cloud.launch()

    def told() -> list[str]:
        shown = json.loads(verb(cloud, "console", node, "--json").stdout)
        assert shown["node"] == node
        return list(shown["lines"])

    before = until(told, 10)
    assert verb(cloud, "console", node).stdout.splitlines()[: len(before)] == before


def test_what_cannot_be_done_is_said(cloud: Cloud) -> None:
    """Each wrong wish gets one message with what to do instead, and exit code 1."""
    for words, said in (
        (("kill", "client-a", "--how", "magic"), "use one of power"),
        (("kill", "client-a", "--how", "api", "--interface", "ens6"), "known: eni-"),
        (("kill", "client-a", "--how", "power", "--interface", "ens5"), "for the whole node"),
        (("fault", "--unreachable", "moon"), "use one of api, checkip, places, internet, or an address"),
        (("fault", "--unreachable", "2001:db8::1"), "use one of api"),
        (("fault", "--node", "client-a", "--loss", "7"), "from 0 to 1"),
        (("fault", "--loss", "0.5"), "is not there"),
        (("fault", "--action", "x", "--kind", "delay=soon"), "delay=2.5"),
        (("fault",), "no fault was named"),
        (("spot", "client-a", "--notice", "maybe"), "interrupt or rebalance"),
        (("spot", "client-a"), "not a spot instance"),
        (("stall", "client-a", "1"), "no programs"),
        (("mend", "nobody"), "is not there"),
    ):
        shown = verb(cloud, *words)
        assert shown.returncode == 1, words
        assert said in shown.stderr, (words, shown.stderr)
