"""A lab for all tests of faults, and plain instances in it: nothing of evernat runs on them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from evernat.lab import aws, client
from evernat.lab.checks import until
from evernat.lab.client import Lab

IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


@dataclass
class Cloud:
    """A lab and short ways to use its API. What a test made goes with `clean`."""

    lab: Lab
    made: list[str] = field(default_factory=list)
    allocated: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ec2: Any = aws.client("ec2", self.lab.environment())
        self.network: dict[str, Any] = self.lab.status()["network"]

    def subnet(self, name: str) -> str:
        """A subnet by its Name tag ("public-a" ...)."""
        found = self.ec2.describe_subnets(Filters=[{"Name": "tag:Name", "Values": [name]}])["Subnets"]
        return str(found[0]["SubnetId"])

    def group(self) -> str:
        """The lab's own group, which admits everything."""
        shown = self.ec2.describe_network_interfaces(
            Filters=[{"Name": "private-ip-address", "Values": ["172.18.64.10"]}]
        )
        return str(shown["NetworkInterfaces"][0]["Groups"][0]["GroupId"])

    def launch(self, subnet: str = "public-a", **more: Any) -> str:
        """A running instance with an auto-assigned public address."""
        interface = {
            "DeviceIndex": 0,
            "SubnetId": self.subnet(subnet),
            "Groups": [self.group()],
            "AssociatePublicIpAddress": True,
            **more.pop("interface", {}),
        }
        answer = self.ec2.run_instances(
            ImageId=IMAGE,
            InstanceType="t4g.nano",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
            **more,
        )
        instance = str(answer["Instances"][0]["InstanceId"])
        self.made.append(instance)
        assert until(lambda: self.node(instance)["state"] == "running", 10)
        return instance

    def node(self, instance: str) -> dict[str, Any]:
        """An instance as `lab status` shows it."""
        return dict(next(n for n in self.lab.status()["nodes"] if n["id"] == instance))

    def interface(self, instance: str) -> dict[str, Any]:
        """An instance's first interface, as the API shows it."""
        found = self.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return dict(found["NetworkInterfaces"][0])

    def allocate(self) -> tuple[str, str]:
        """An Elastic IP: allocation id and address."""
        made = self.ec2.allocate_address(Domain="vpc")
        self.allocated.append(made["AllocationId"])
        return made["AllocationId"], made["PublicIp"]

    def clean(self) -> None:
        """Take away what the test made."""
        self.lab.call("clear_faults")
        if self.made:
            self.ec2.terminate_instances(InstanceIds=self.made)
        for allocation in self.allocated:
            found = self.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
            if "AssociationId" in found:
                self.ec2.disassociate_address(AssociationId=found["AssociationId"])
            self.ec2.release_address(AllocationId=allocation)
        self.made.clear()
        self.allocated.clear()


@pytest.fixture(scope="session")
def one_lab() -> Iterator[Lab]:
    lab = client.up(f"faults-{secrets.token_hex(3)}", "none")
    yield lab
    client.down(lab.name)


@pytest.fixture
def cloud(one_lab: Lab) -> Iterator[Cloud]:
    made = Cloud(one_lab)
    yield made
    made.clean()
