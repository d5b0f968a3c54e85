"""Plans of the module carried out in a lab: terraform makes the calls in its order, and real packets pass."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evernat.lab import aws, checks, client
from evernat.lab.checks import until
from evernat.lab.client import Lab
from evernat.terraform.provider import provider
from tests.e2e.support import cli, lab_name
from tests.lab_cloud.support import parameter_names
from tests.terraform.conftest import Starter
from tests.terraform.tool import Terraform

pytestmark = pytest.mark.timeout(300)

CLIENTS = ("client-a", "client-b", "client-c")

ARTICLE = """
module "nat" {
  source = "MODULE"

  name                        = "main"
  vpc_id                      = VPC
  public_subnet               = PUBLIC[0]
  private_subnets_cidr_blocks = CLIENTS
  private_route_table_ids     = TABLES

  port_forwards = [{ port = 8080, target = "172.18.64.10", target_port = 80, sources = ["198.51.100.0/24"] }]
}

resource "aws_eip" "nat" {
  network_interface = module.nat.eni_id
}
"""

PAIR = """
module "nat" {
  source = "MODULE"

  name                        = "main"
  topology                    = "TOPOLOGY"
  vpc_id                      = VPC
  public_subnets              = slice(PUBLIC, 0, COUNT)
  private_subnets_cidr_blocks = CLIENTS
  private_route_table_ids     = TABLES
  instance_types              = ["t4g.nano"]
}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab with the article's network and nothing in it."""
    made = client.up(lab_name("tf"), "none")
    try:
        yield made
    finally:
        client.down(made.name)


def applied(terraform: Starter, lab: Lab, text: str) -> tuple[Terraform, dict[str, Any]]:
    """Terraform with the state that an apply in the lab left."""
    network = lab.status()["network"]
    names = {
        "VPC": network["vpc_id"],
        "PUBLIC": list(network["public_subnet_ids"]),
        "CLIENTS": list(network["private_cidrs"]),
        "TABLES": list(network["private_route_table_ids"]),
    }
    for name, value in names.items():
        text = text.replace(name, json.dumps(value))
    block = provider(lab.environment())
    started = terraform("6.69", lab=lab.environment(), main=text, provider=block)
    return started, started.apply()


def passes(lab: Lab, host: str, public: str) -> None:
    """Everything that a client can want of the internet."""
    assert until(lambda: checks.tcp(lab, host, public).ok, 60), consoles(lab)
    assert [result for result in checks.everything(lab, host, public) if not result.ok] == []


def consoles(lab: Lab) -> str:
    return "\n".join(lab.call("console", node=node["id"]) for node in lab.status()["nodes"])


def inventory(lab: Lab) -> dict[str, Any]:
    """What the account has, by the API's own listings; names and ids, and the routes as they are."""
    ec2, iam, ssm, scaling = (aws.client(s, lab.environment()) for s in ("ec2", "iam", "ssm", "autoscaling"))
    instances = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    return {
        "instances": [i["InstanceId"] for i in instances if i["State"]["Name"] != "terminated"],
        "interfaces": [
            i["NetworkInterfaceId"] for i in ec2.describe_network_interfaces()["NetworkInterfaces"]
        ],
        "addresses": [a["AllocationId"] for a in ec2.describe_addresses()["Addresses"]],
        "security groups": [g["GroupId"] for g in ec2.describe_security_groups()["SecurityGroups"]],
        "templates": [t["LaunchTemplateId"] for t in ec2.describe_launch_templates()["LaunchTemplates"]],
        "routes": {t["RouteTableId"]: t["Routes"] for t in ec2.describe_route_tables()["RouteTables"]},
        "groups": [
            g["AutoScalingGroupName"] for g in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        ],
        "parameters": parameter_names(ssm),
        "roles": [r["RoleName"] for r in iam.list_roles()["Roles"]],
        "profiles": [p["InstanceProfileName"] for p in iam.list_instance_profiles()["InstanceProfiles"]],
    }


def test_the_article(terraform: Starter, lab: Lab) -> None:
    """The article's configuration gives a working NAT behind the user's Elastic IP, and goes without a trace."""
    before = inventory(lab)
    started, state = applied(terraform, lab, ARTICLE)
    public = str(state["aws_eip.nat"]["public_ip"])
    for host in CLIENTS:
        passes(lab, host, public)
    forwarded = until(lambda: "error" not in checks.attempt(lab, "internet", "tcp", public, 8080), 30)
    assert forwarded, consoles(lab)
    started("destroy", "-input=false", "-auto-approve")
    assert started.state() == {}
    assert inventory(lab) == before


@pytest.mark.parametrize(("topology", "count"), [("pair", 2), ("ring", 3)])
def test_a_cluster_survives(terraform: Starter, lab: Lab, topology: str, count: int) -> None:
    """A pair and a ring of the module's making: NAT for all, also when a node has lost power; without a trace."""
    text = PAIR.replace("TOPOLOGY", topology).replace("COUNT", str(count))
    before = inventory(lab)
    started, state = applied(terraform, lab, text)
    addresses = [
        str(v["public_ip"]) for a, v in sorted(state.items()) if a.startswith("module.nat.aws_eip.this")
    ]
    expected = dict(zip(CLIENTS, addresses * (3 if topology == "pair" else 1), strict=True))
    for host, public in expected.items():
        passes(lab, host, public)
    _handed_over(lab, f"{lab.status()['nodes'][0]['stack']}{'' if topology == 'pair' else '-a'}")
    holder = _holder(lab, addresses[0])
    lab.kill(holder, "power")
    for host, public in expected.items():
        passes(lab, host, public)
    assert _holder(lab, addresses[0]) != holder
    started("destroy", "-input=false", "-auto-approve")
    assert started.state() == {}
    assert inventory(lab) == before


def _handed_over(lab: Lab, gateway: str) -> None:
    """Our own commands know a stack that Terraform made, by its tag."""

    def evernat(verb: str, *words: str) -> dict[str, Any]:
        named = ["--name", lab.status()["nodes"][0]["stack"], "--json"]
        shown = cli(verb, *words, *named, cwd=Path(lab.directory), environment=lab.environment())
        assert shown.returncode == 0, shown.stderr
        return dict(json.loads(shown.stdout))

    def shown() -> dict[str, Any]:
        return {g["name"]: dict(g) for g in evernat("status")["gateways"]}[gateway]

    before = until(lambda: (found := shown())["state"] == "ready" and found, 30)
    assert before, shown()
    moved = evernat("failover", gateway)
    after = shown()
    assert moved["from"]["instance"] == before["holder"]
    assert (after["holder"], after["public_address"]) == (moved["to"]["instance"], before["public_address"])


def _holder(lab: Lab, public: str) -> str:
    """The node that has an address."""
    (address,) = aws.client("ec2", lab.environment()).describe_addresses(PublicIps=[public])["Addresses"]
    return str(address.get("InstanceId", ""))
