"""Faults of nodes and of the API: each breaks what it names, nothing else, and is taken away again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import Any

import pytest

from evernat.lab import aws
from evernat.lab.addresses import API_HOST, CHECKIP_HOST, INTERNET_HOST, PLACES
from evernat.lab.checks import attempt, until
from evernat.lab.client import KillHow
from evernat.lab.errors import LabError

from .conftest import Cloud

CLIENT = "172.18.64.10"


def reaches(cloud: Cloud, here: str, address: str, port: int = 80) -> bool:
    """Whether a TCP connection comes about."""
    command = ["timeout", "1", "bash", "-c", f": </dev/tcp/{address}/{port}"]
    return cloud.lab.exec(here, command).returncode == 0


def pings(cloud: Cloud, here: str, address: str, count: int = 1) -> int:
    """How many of some pings are answered."""
    command = ["ping", "-n", "-q", "-i", "0.002", "-W", "1", "-c", str(count), address]
    shown = cloud.lab.exec(here, command).stdout
    return int(shown.split(" received")[0].split()[-1])


@pytest.fixture
def pair(cloud: Cloud) -> list[str]:
    """Two instances in two zones that reach the internet."""
    nodes = [cloud.launch("public-a"), cloud.launch("public-b")]
    assert until(lambda: all(pings(cloud, node, INTERNET_HOST) for node in nodes), 5)
    return nodes


def test_partition(cloud: Cloud, pair: list[str]) -> None:
    """Nodes do not hear each other, in no direction; API, internet and clients are as before, until it is mended."""
    one, two = pair
    there = [cloud.node(node)["private_address"] for node in pair]
    assert pings(cloud, one, there[1])
    cloud.lab.kill(one, "partition")
    assert not pings(cloud, one, there[1])
    assert not pings(cloud, two, there[0])
    for node in pair:
        assert reaches(cloud, node, API_HOST)
        assert pings(cloud, node, INTERNET_HOST)
        assert pings(cloud, node, CLIENT)
    assert pings(cloud, "client-a", there[0])
    assert cloud.node(one)["troubles"] == ["100 % of packets to other nodes lost"]
    cloud.lab.mend(one)
    assert pings(cloud, one, there[1])
    assert cloud.node(one)["troubles"] == []


def test_no_api(cloud: Cloud, pair: list[str]) -> None:
    """One node does not reach the API, its metadata and all else are there; the other node is as before."""
    one, two = pair
    cloud.lab.kill(one, "api")
    assert not reaches(cloud, one, API_HOST)
    assert reaches(cloud, one, INTERNET_HOST)
    assert reaches(cloud, one, "169.254.169.254")
    assert pings(cloud, one, cloud.node(two)["private_address"])
    assert reaches(cloud, two, API_HOST)
    status = cloud.ec2.describe_instance_status(InstanceIds=[one])["InstanceStatuses"][0]
    assert status["InstanceStatus"]["Status"] == "ok"
    cloud.lab.mend(one)
    assert reaches(cloud, one, API_HOST)


OUTSIDE = ((API_HOST, 80), (CHECKIP_HOST, 80), (INTERNET_HOST, 80), *PLACES)


def reached(cloud: Cloud, node: str) -> list[bool]:
    """Which of OUTSIDE take a TCP connection, all asked at once."""
    asked = " ".join(f"(timeout 1 bash -c ': </dev/tcp/{a}/{p}' && echo {a}) &" for a, p in OUTSIDE)
    shown = cloud.lab.exec(node, ["bash", "-c", f"{asked} wait"]).stdout.split()
    return [address in shown for address, _ in OUTSIDE]


def test_each_place_alone(cloud: Cloud, pair: list[str]) -> None:
    """API, checkip, internet and one address of it: each is lost alone, by one node or by all, and comes back."""
    one, two = pair
    everything = [True] * 5
    assert reached(cloud, one) == everything
    ways: tuple[tuple[KillHow, list[bool], str], ...] = (
        ("api", [False, True, True, True, True], "no API"),
        ("checkip", [True, False, True, True, True], "no checkip"),
        ("places", [True, True, False, False, False], "no internet but checkip"),
        ("internet", [True, False, False, False, False], "no internet"),
    )
    for what, left, said in ways:
        cloud.lab.kill(one, what)
        assert (reached(cloud, one), reached(cloud, two)) == (left, everything), what
        assert cloud.node(one)["troubles"] == [said]
        cloud.lab.mend(one)
        cloud.lab.separate(what)
        assert reached(cloud, one) == reached(cloud, two) == left, what
        assert cloud.lab.status()["troubles"] == [said]
        assert cloud.node(one)["troubles"] == []
        cloud.lab.rejoin(what)
        assert reached(cloud, two) == everything
    cloud.lab.separate("1.1.1.1")
    cloud.lab.separate("8.8.8.8", one)
    assert reached(cloud, one) == [True, True, True, False, False]
    assert reached(cloud, two) == [True, True, True, False, True]
    cloud.lab.call("clear_faults")
    assert reached(cloud, one) == everything
    assert cloud.lab.status()["troubles"] == []


def test_one_interface(cloud: Cloud, pair: list[str]) -> None:
    """The internet is lost through one of a node's interfaces, named by its id or as the node names it."""
    one = pair[0]
    made = cloud.ec2.create_network_interface(SubnetId=cloud.subnet("public-a"), Groups=[cloud.group()])
    second = made["NetworkInterface"]
    attached = cloud.ec2.attach_network_interface(
        NetworkInterfaceId=second["NetworkInterfaceId"], InstanceId=one, DeviceIndex=1
    )
    try:
        allocation, _ = cloud.allocate()
        cloud.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=second["NetworkInterfaceId"])
        source = second["PrivateIpAddress"]
        cloud.lab.exec(
            one, ["ip", "route", "add", "default", "via", "172.18.128.1", "dev", "ens6", "table", "6"]
        )
        cloud.lab.exec(one, ["ip", "rule", "add", "from", source, "table", "6"])

        def passes(*more: str) -> bool:
            return cloud.lab.exec(one, ["ping", "-nc1", "-W1", *more, PLACES[0][0]]).returncode == 0

        assert until(lambda: passes("-I", source), 5)
        for name in ("ens6", second["NetworkInterfaceId"][:12]):
            cloud.lab.kill(one, "internet", name)
            assert (passes(), passes("-I", source)) == (True, False)
            assert cloud.node(one)["troubles"] == ["no internet by ens6"]
            cloud.lab.mend(one)
            assert passes("-I", source)
        with pytest.raises(LabError, match="no interface 'ens7'"):
            cloud.lab.kill(one, "internet", "ens7")
        with pytest.raises(LabError, match="for the whole node"):
            cloud.lab.kill(one, "power", "ens6")
    finally:
        cloud.ec2.detach_network_interface(AttachmentId=attached["AttachmentId"])
        cloud.ec2.delete_network_interface(NetworkInterfaceId=second["NetworkInterfaceId"])


def test_checkip(cloud: Cloud, pair: list[str]) -> None:
    """It tells the public address of who asks, whatever the path; the API's address does not."""
    node = pair[0]
    public = cloud.interface(node)["Association"]["PublicIp"]
    for path in ("/", "/any/where"):
        assert cloud.lab.exec(node, ["curl", "-s", f"http://{CHECKIP_HOST}{path}"]).stdout == f"{public}\n"
    code = ["curl", "-so/dev/null", "-w%{http_code}", f"http://{API_HOST}/checkip"]
    assert cloud.lab.exec(node, code).stdout == "404"
    domain = metadata(cloud, node, "services/domain")
    assert domain.split() == [f"http://{API_HOST}", f"http://{CHECKIP_HOST}"]


def test_loss(cloud: Cloud, pair: list[str]) -> None:
    """A share of all of a node's packets is lost, or only of those between nodes; `clear_faults` ends it."""
    one, two = pair
    peer = cloud.node(two)["private_address"]
    cloud.lab.call("lose", node=one, lossy=0.3)
    assert 50 < pings(cloud, one, INTERNET_HOST, 200) < 150
    cloud.lab.call("lose", node=one, lossy=0, parted=0.3)
    assert pings(cloud, one, INTERNET_HOST, 200) == 200
    assert 50 < pings(cloud, two, cloud.node(one)["private_address"], 200) < 150
    cloud.lab.call("clear_faults")
    assert pings(cloud, one, peer, 200) == 200
    with pytest.raises(LabError, match="from 0 to 1"):
        cloud.lab.call("lose", node=one, lossy=5)


BEATS = """#!/bin/sh
cat > /etc/systemd/system/beats.service <<UNIT
[Service]
ExecStart=/usr/bin/python3 /opt/beats
UNIT
cat > /opt/beats <<PY
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    s.sendto(b"beat", ("172.18.64.10", 9))
    time.sleep(0.02)
PY
systemctl daemon-reload
systemctl start beats
"""


def test_stall(cloud: Cloud) -> None:
    """A node's programs stop for as long as was said and then go on, the same ones; its kernel answers meanwhile."""
    node = cloud.launch(UserData=BEATS)

    def pid() -> str:
        words = ["systemctl", "show", "-p", "MainPID", "--value", "beats"]
        with contextlib.suppress(LabError):  # not booted yet
            return cloud.lab.exec(node, words, inside=True).stdout.strip()
        return ""

    def beats(seconds: float) -> int:
        """Packets the node sends in a while."""
        words = ["cat", "/sys/class/net/ens5/statistics/tx_packets"]
        before = int(cloud.lab.exec(node, words, inside=True).stdout)
        time.sleep(seconds)
        return int(cloud.lab.exec(node, words, inside=True).stdout) - before

    assert until(lambda: pid() not in ("", "0"), 10)
    assert until(lambda: beats(0.3) > 5, 5)
    before = pid()
    cloud.lab.stall(node, 1.5)
    assert beats(0.4) <= 1
    assert pings(cloud, "client-a", cloud.node(node)["private_address"])
    time.sleep(1.3)
    assert until(lambda: beats(0.3) > 5, 3)
    assert pid() == before
    with pytest.raises(LabError, match="no programs"):
        cloud.lab.stall("client-a", 1)


def metadata(cloud: Cloud, node: str, path: str) -> str:
    """What the metadata service says; its status code when that is not 200."""
    script = (
        "import sys, urllib.request as u, urllib.error as e\n"
        "b = 'http://169.254.169.254/latest/'\n"
        "t = u.urlopen(u.Request(b + 'api/token', method='PUT',"
        " headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'})).read().decode()\n"
        "r = u.Request(b + 'meta-data/' + sys.argv[1], headers={'X-aws-ec2-metadata-token': t})\n"
        "try: print(u.urlopen(r).read().decode())\n"
        "except e.HTTPError as x: print(x.code)\n"
    )
    return cloud.lab.exec(node, [sys.executable, "-c", script, path]).stdout.strip()


def test_spot_notices(cloud: Cloud) -> None:
    """Interruption and rebalance show in the metadata; after the notice's time the instance ends by itself."""
    node = cloud.launch(InstanceMarketOptions={"MarketType": "spot"})
    assert until(lambda: metadata(cloud, node, "spot/instance-action") == "404", 5)
    cloud.lab.spot(node, "rebalance")
    assert "noticeTime" in json.loads(metadata(cloud, node, "events/recommendations/rebalance"))
    cloud.lab.spot(node, "interrupt", 1.0)
    assert json.loads(metadata(cloud, node, "spot/instance-action"))["action"] == "terminate"
    assert cloud.node(node)["troubles"] == ["spot notice", "rebalance"]

    def state() -> str:
        found = cloud.ec2.describe_instances(InstanceIds=[node])["Reservations"][0]["Instances"][0]
        return str(found["State"]["Name"])

    assert state() == "running"
    assert until(lambda: state() == "terminated", 5)
    on_demand = cloud.launch()
    with pytest.raises(LabError, match="not a spot instance"):
        cloud.lab.spot(on_demand, "interrupt")


def test_slow_api_for_ever(cloud: Cloud) -> None:
    """A delay with `times` -1 strikes every call of the caller it is for, until faults are cleared."""
    cloud.lab.call("fault", action="*", kind="delay", seconds=0.3, times=-1, principal="user")
    for _ in range(3):
        begun = time.monotonic()
        cloud.ec2.describe_addresses()
        assert time.monotonic() - begun > 0.3
    cloud.lab.call("clear_faults")
    begun = time.monotonic()
    cloud.ec2.describe_addresses()
    assert time.monotonic() - begun < 0.3


def test_late_answer(cloud: Cloud) -> None:
    """`late`: the call takes effect at once, its answer comes after a while."""
    allocation, _ = cloud.allocate()
    tag = {"Key": "mark", "Value": "x"}
    cloud.lab.call("fault", action="CreateTags", kind="late", seconds=1.0)
    code = (
        "import sys; from evernat.lab.aws import client; import os;"
        f"client('ec2', os.environ).create_tags(Resources=[{allocation!r}], Tags=[{tag!r}])"
    )
    environment = cloud.lab.environment()
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**environment, "PYTHONPATH": ":".join(sys.path)}
    )

    def tagged() -> Any:
        return cloud.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0].get("Tags")

    assert until(lambda: tagged() == [tag], 10)
    assert process.poll() is None
    assert process.wait(10) == 0


def test_stale_reads(cloud: Cloud) -> None:
    """`stale`: a read is answered as it was when it was first asked; writes happen; other callers see the truth."""
    allocation, _ = cloud.allocate()

    def tags() -> Any:
        return cloud.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0].get("Tags", [])

    cloud.lab.call("fault", action="Describe*", kind="stale", times=-1, principal="user")
    assert tags() == []
    cloud.ec2.create_tags(Resources=[allocation], Tags=[{"Key": "mark", "Value": "x"}])
    assert tags() == []
    cloud.lab.call("clear_faults")
    assert tags() == [{"Key": "mark", "Value": "x"}]


def test_a_dropped_claim_may_have_happened(cloud: Cloud) -> None:
    """`drop-after` on AssociateAddress: no answer, and the address is there."""
    node = cloud.launch()
    allocation, public = cloud.allocate()
    cloud.lab.call("fault", action="AssociateAddress", kind="drop-after", times=1)
    client = aws.client("ec2", cloud.lab.environment())
    client.associate_address(
        AllocationId=allocation, NetworkInterfaceId=cloud.interface(node)["NetworkInterfaceId"]
    )
    calls = [c for c in cloud.lab.call("calls") if c["action"] == "AssociateAddress"]
    assert len(calls) >= 2, "the client's own second try found it done"
    assert until(lambda: attempt(cloud.lab, node, "tcp", INTERNET_HOST, 80).get("address") == public, 5)
