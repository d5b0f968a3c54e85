"""What the README of the module that ours takes the place of tells users to attach to a NAT instance, on real packets.

A key pair and a rule for SSH, a script that forwards a port and its rule, a further policy. Beside these, what people
let into such a node: a bastion's group, a range of UDP ports, ping.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from evernat.agent.contract import OPENINGS_EVERY
from evernat.lab import checks, client
from evernat.lab.addresses import API_HOST, INTERNET_HOST
from evernat.lab.checks import attempt, until
from evernat.lab.errors import LabError

from .conftest import Deployed
from .support import lab_name

pytestmark = [pytest.mark.packets, pytest.mark.timeout(300)]

HEEDED = OPENINGS_EVERY + 15
"""Seconds in which a node's firewall follows the rules of its groups."""

SCRIPT = """#!/bin/sh
until nft -f - <<RULES
table ip dnat_example {
  chain in {
    type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8090 dnat to 172.18.64.10:80
  }
}
RULES
do sleep 1; done
"""

KEYS = """
key_name = "ops"
user_data_runcmd = [["systemctl", "daemon-reload"], ["systemctl", "start", "dnat"]]
"""
TABLES = f"""
[[user_data_write_files]]
path = "/opt/nat/dnat.sh"
permissions = "0755"
content = '''
{SCRIPT.strip()}
'''

[[user_data_write_files]]
path = "/etc/systemd/system/dnat.service"
content = '''
[Service]
ExecStart=/opt/nat/dnat.sh
'''

[[node_ingress]]
protocol = "tcp"
port = "9100-9101"
sources = ["198.51.100.0/24"]
"""

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["ec2:DescribeVpcs"], "Resource": "*"}],
}
ASK = f"""
import boto3
print(len(boto3.client("ec2", "us-west-2", endpoint_url="http://{API_HOST}").describe_vpcs()["Vpcs"]))
"""


@dataclass(frozen=True)
class Stack(Deployed):
    """A deployed gateway with the recipes' settings."""

    topology: str

    @property
    def holder(self) -> str:
        """The node that has the gateway."""
        return str(self.gateway()["holder"])

    @property
    def address(self) -> str:
        """That node's private address."""
        return next(str(n["private_address"]) for n in self.lab.status()["nodes"] if n["id"] == self.holder)

    def notes(self) -> list[str]:
        """What that node's agent says is not as it could be."""
        with contextlib.suppress(LabError, ValueError):
            shown = self.lab.exec(self.holder, ["evernat-agent", "status", "--json"], inside=True)
            found = json.loads(shown.stdout)
            return [*found.get("notes", []), *found.get("problems", [])]
        return []


@pytest.fixture(scope="module", params=["single", "pair"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    topology = str(request.param)
    lab, directory = client.up(lab_name("recipes"), "none"), tmp_path_factory.mktemp(topology)
    made = Stack(lab, directory, "", topology)
    try:
        made.boto("ec2").create_key_pair(KeyName="ops")
        made.evernat("init", "--topology", topology, "--yes", "--include-isolated")
        toml = directory / "evernat.toml"
        toml.write_text(KEYS + toml.read_text() + TABLES)
        made.evernat("deploy", "--yes")
        made = Stack(lab, directory, str(made.gateway()["public_address"]), topology)
        made.ready()
        yield made
    finally:
        client.down(lab.name)


def group(stack: Stack) -> str:
    """The stack's security group: the module's output `sg_id`."""
    filters = [{"Name": "tag:evernat:stack", "Values": ["main"]}]
    (found,) = stack.boto("ec2").describe_security_groups(Filters=filters)["SecurityGroups"]
    return str(found["GroupId"])


@contextmanager
def rule(stack: Stack, protocol: str, port: int, last: int = 0, **peer: Any) -> Iterator[None]:
    """A rule of the user's own on the stack's group."""
    source = peer or {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    permission = {"IpProtocol": protocol, "FromPort": port, "ToPort": last or port, **source}
    ec2, mine = stack.boto("ec2"), {"GroupId": group(stack), "IpPermissions": [permission]}
    ec2.authorize_security_group_ingress(**mine)
    try:
        yield
    finally:
        ec2.revoke_security_group_ingress(**mine)


@contextmanager
def listening(stack: Stack, node: str, port: int) -> Iterator[None]:
    """Somebody listens on a port of a node."""
    server = stack.lab.popen(node, [sys.executable, "-m", "http.server", str(port)], stderr=-3)
    own = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/"]
    try:
        assert until(lambda: stack.lab.exec(node, own).returncode == 0, 10)
        yield
    finally:
        server.kill()
        server.wait()


def reached(stack: Stack, port: int, host: str = "internet", address: str = "") -> bool:
    """Whether a port of the gateway's public address answers."""
    answer = stack.lab.exec(
        host, ["curl", "-s", "-m", "1", "-o", "/dev/null", f"http://{address or stack.public}:{port}/"]
    )
    return answer.returncode == 0


def test_ssh(stack: Stack) -> None:
    """With a key pair and a rule for port 22 the node is reached there from everywhere; a deploy leaves both alone."""
    with listening(stack, stack.holder, 22):
        assert not reached(stack, 22)
        with rule(stack, "tcp", 22):
            assert until(lambda: reached(stack, 22), HEEDED), stack.notes()
            stack.evernat("plan")  # exit code 0: nothing to do
            stack.evernat("deploy", "--yes")
            assert reached(stack, 22)
            assert not reached(stack, 9100), "nobody listens there, and nothing else is open"
        assert until(lambda: not reached(stack, 22), HEEDED)


def test_ssh_from_the_private_side(stack: Stack) -> None:
    """The group lets clients in: with a key pair they reach port 22 of the node, and no other."""
    node, address = stack.holder, stack.address
    with listening(stack, node, 22), listening(stack, node, 8000):
        assert reached(stack, 22, "client-a", address)
        assert not reached(stack, 8000, "client-a", address)


def test_node_ingress(stack: Stack) -> None:
    """What the file opens is open to its sources, and to clients no more than the rest."""
    with listening(stack, stack.holder, 9101):
        assert reached(stack, 9101)
        assert not reached(stack, 9101, "client-a", INTERNET_HOST)


def test_the_script(stack: Stack) -> None:
    """A port that a script on the node forwards comes in by its rule; through a pair's open group without one."""
    if stack.topology == "single":
        assert not reached(stack, 8090)
    with rule(stack, "tcp", 8090):
        assert until(lambda: checks.forward(stack.lab, stack.public, 8090, "client-a").ok, 15)


def test_a_bastions_group(stack: Stack) -> None:
    """A rule whose source is another group lets that group's members in, and nobody else."""
    ec2 = stack.boto("ec2")
    interface = ec2.describe_network_interfaces(
        Filters=[{"Name": "private-ip-address", "Values": ["172.18.64.10"]}]
    )["NetworkInterfaces"][0]
    bastions = ec2.create_security_group(
        GroupName="bastions", Description="bastions", VpcId=interface["VpcId"]
    )["GroupId"]
    before = [g["GroupId"] for g in interface["Groups"]]
    card = {"NetworkInterfaceId": interface["NetworkInterfaceId"]}
    ec2.modify_network_interface_attribute(**card, Groups=[*before, bastions])
    node, address = stack.holder, stack.address
    try:
        with (
            listening(stack, node, 8443),
            rule(stack, "tcp", 8443, UserIdGroupPairs=[{"GroupId": bastions}]),
        ):
            assert until(lambda: reached(stack, 8443, "client-a", address), HEEDED)
            assert not reached(stack, 8443, "client-b", address)
            assert not reached(stack, 8443)
    finally:
        ec2.modify_network_interface_attribute(**card, Groups=before)
        ec2.delete_security_group(GroupId=bastions)


def test_a_range_and_ping(stack: Stack) -> None:
    """UDP ports of a VPN and ping from everywhere, each by its rule."""
    ping = ["ping", "-n", "-c1", "-W1", stack.public]
    assert stack.lab.exec("internet", ping).returncode != 0
    with rule(stack, "icmp", -1, -1), rule(stack, "udp", 51820, 51829):
        assert until(lambda: stack.lab.exec("internet", ping).returncode == 0, HEEDED)
        shown = stack.lab.exec(stack.holder, ["nft", "list", "chain", "ip", "evernat", "opened"]).stdout
        assert "udp dport 51820-51829 accept" in shown


def test_everything_from_everywhere_opens_no_node(stack: Stack) -> None:
    """A rule that lets all of the world in, as a pair's group has of its own, opens no port of the node, and that is
    told."""
    node = stack.holder
    with listening(stack, node, 8000):
        assert not reached(stack, 8000)
        if stack.topology == "single":
            with rule(stack, "-1", -1):
                assert until(
                    lambda: any("everything from everywhere" in note for note in stack.notes()), HEEDED
                )
                assert not reached(stack, 8000)
        with rule(stack, "-1", -1, IpRanges=[{"CidrIp": "198.0.0.0/8"}]):
            assert until(lambda: reached(stack, 8000), HEEDED)


def test_a_further_policy(stack: Stack) -> None:
    """A policy that the user puts on the node's role works there, and a deploy leaves it alone."""
    iam = stack.boto("iam")
    (role,) = [r["RoleName"] for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("evernat-main")]
    ask = [sys.executable, "-c", ASK]
    denied = stack.lab.exec(stack.holder, ask)
    assert "UnauthorizedOperation" in denied.stderr, denied
    iam.put_role_policy(RoleName=role, PolicyName="mine", PolicyDocument=json.dumps(POLICY))
    stack.evernat("plan")  # exit code 0: nothing to do
    allowed = stack.lab.exec(stack.holder, ask)
    assert allowed.stdout.strip().isdigit(), allowed.stderr


def test_destroy_takes_it_all(stack: Stack) -> None:
    """Rules and policies of the user's are no obstacle to destroy."""
    stack.boto("ec2").authorize_security_group_ingress(
        GroupId=group(stack),
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ],
    )
    stack.evernat("destroy", "--yes")
    assert "error" in attempt(stack.lab, "client-a", "tcp", INTERNET_HOST, 80, timeout=0.5)
