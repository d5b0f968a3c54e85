"""What gets through a gateway, and what does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from evernat.lab import checks
from evernat.lab.addresses import INTERNET_HOST
from evernat.lab.checks import attempt, until

from .conftest import Deployed


@pytest.mark.parametrize("client", ["client-a", "client-b", "client-c"])
def test_tcp_shows_the_elastic_ip(deployed: Deployed, client: str) -> None:
    """A client of any zone reaches the internet over TCP, which sees the Elastic IP."""
    assert checks.tcp(deployed.lab, client, deployed.public) == checks.Result("TCP", True, deployed.public)


def test_udp(deployed: Deployed) -> None:
    """UDP goes out and comes back (peers' groups let only TCP out)."""
    result = checks.udp(deployed.lab, "client-a")
    assert result.ok, result.detail


def test_icmp(deployed: Deployed) -> None:
    """A ping is answered."""
    result = checks.icmp(deployed.lab, "client-a")
    assert result.ok, result.detail


def test_traceroute(deployed: Deployed) -> None:
    """Errors of every hop reach the client."""
    result = checks.traceroute(deployed.lab, "client-a")
    assert result.ok, result.detail


def test_upload_over_a_narrow_path(deployed: Deployed) -> None:
    """5 MB arrive though a link outside carries only 1300 bytes: path MTU discovery works through the NAT."""
    result = checks.path_mtu(deployed.lab, "client-b")
    assert result.ok, result.detail


def test_internet_sees_only_the_elastic_ip(deployed: Deployed) -> None:
    """Whatever the protocol, packets of clients carry the Elastic IP as source and nothing else."""
    seen = ["curl", "-s", f"http://{INTERNET_HOST}/seen"]
    assert deployed.lab.exec("internet", [*seen, "-X", "DELETE"]).returncode == 0
    for client in ("client-a", "client-b"):
        assert all(r.ok for r in checks.everything(deployed.lab, client, deployed.public))
    sources = json.loads(deployed.lab.exec("internet", seen).stdout)
    sources.pop(INTERNET_HOST, None)
    assert set(sources) == {deployed.public}
    assert {"tcp", "udp", "icmp"} <= set(sources[deployed.public])


def test_nothing_unsolicited_comes_in(deployed: Deployed) -> None:
    """From the internet nothing reaches the node, at any of its addresses, or a client, but declared forwards."""
    node = next(n for n in deployed.lab.status()["nodes"] if n["id"] == deployed.gateway()["holder"])
    assert deployed.public in node["public_addresses"]
    server = deployed.lab.popen(
        node["id"], [sys.executable, "-m", "http.server", "22"], stderr=subprocess.DEVNULL
    )
    try:
        own = ["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:22/"]
        assert until(lambda: deployed.lab.exec(node["id"], own).returncode == 0, 5), (
            "nobody listens, nothing is proven"
        )
        for address in [*node["public_addresses"], "172.18.64.10", node["private_address"]]:
            for port in (22, 80, 8082):
                answer = attempt(deployed.lab, "internet", "tcp", address, port, timeout=0.5)
                assert "error" in answer, (address, port, answer)
            assert "error" in attempt(deployed.lab, "internet", "udp", address, 7, timeout=0.3)
            ping = deployed.lab.exec("internet", ["ping", "-n", "-c1", "-W1", address])
            assert ping.returncode != 0, address
    finally:
        server.kill()
        server.wait()


def test_forwarded_ports(deployed: Deployed) -> None:
    """Declared forwards reach their targets over TCP and UDP, and the target sees who really calls."""
    result = checks.forward(deployed.lab, deployed.public, 8080, "client-a")
    assert result.ok, result.detail
    answer = attempt(deployed.lab, "internet", "udp", deployed.public, 7007)
    assert answer == {"echo": "evernat"}


def test_unknown_flow_is_reset(deployed: Deployed) -> None:
    """The end of a connection that the node knows nothing of is answered with a reset, not with silence."""
    command = [sys.executable, "-m", "evernat.lab.probe", "stranger", INTERNET_HOST, "7", "--timeout", "3"]
    process = deployed.lab.popen(
        "client-a", command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert "ready" in process.stdout.readline()
    assert deployed.lab.exec(deployed.gateway()["holder"], ["conntrack", "-F"]).returncode == 0
    answer, _ = process.communicate("\n", timeout=20)
    assert json.loads(answer)["how"] == "reset", answer


def test_nodes_own_default_route_is_untouched(deployed: Deployed) -> None:
    """The node's own packets leave by its primary interface; only forwarded ones by the gateway's."""
    holder = deployed.gateway()["holder"]
    own = attempt(deployed.lab, holder, "tcp", INTERNET_HOST, 80)
    assert own["address"] != deployed.public
    routes = json.loads(deployed.lab.exec(holder, ["ip", "-j", "route", "show", "default"]).stdout)
    assert any(route["dev"] == "ens5" for route in routes)


WEB = """#!/bin/sh
mkdir -p /srv/{mark} && cd /srv/{mark} && echo {mark} > index.html
cat > /etc/systemd/system/web.service <<UNIT
[Service]
WorkingDirectory=/srv/{mark}
ExecStart=/usr/bin/python3 -m http.server 8000
UNIT
systemctl daemon-reload
systemctl start web
"""


def _launch_web(deployed: Deployed, mark: str) -> str:
    subnet = next(
        s["SubnetId"]
        for s in deployed.boto("ec2").describe_subnets()["Subnets"]
        if s["CidrBlock"] == "172.18.80.0/20"
    )
    answer = deployed.boto("ec2").run_instances(
        ImageId="resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        InstanceType="t4g.nano",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        UserData=WEB.format(mark=mark),
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        SecurityGroupIds=[_open_group(deployed)],
    )
    return str(answer["Instances"][0]["InstanceId"])


def _open_group(deployed: Deployed) -> str:
    groups = deployed.boto("ec2").describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["172.18.64.10"]}]
    )["NetworkInterfaces"][0]["Groups"]
    return str(groups[0]["GroupId"])


def test_forward_by_name_follows_its_instance(deployed: Deployed) -> None:
    """A forward to a Name tag leads to the tagged instance, goes with it, and follows it within 15 s."""

    def fetched() -> str:
        shown = deployed.lab.exec("internet", ["curl", "-s", "-m", "1", f"http://{deployed.public}:8081/"])
        return shown.stdout.strip()

    assert fetched() == ""
    first = _launch_web(deployed, "one")
    assert until(lambda: fetched() == "one", 20)
    deployed.boto("ec2").terminate_instances(InstanceIds=[first])
    second = _launch_web(deployed, "two")
    begun = time.monotonic()
    assert until(lambda: fetched() == "two", 20)
    assert time.monotonic() - begun < 15
    deployed.boto("ec2").terminate_instances(InstanceIds=[second])
    assert until(lambda: fetched() == "", 15)
