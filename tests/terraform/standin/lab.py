"""The stand-in that means it: what it is told to make it makes by calls to AWS's API, which a lab answers.

With it `terraform apply` itself carries out a plan of the module, in its own order, with nothing of ours in between.
Creates and deletes; a change of what is there is refused.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import ClientError

from tests.terraform.calls import calls, rule
from tests.terraform.standin.provider import StandIn, serve

PATIENCE = 120.0
"""Seconds for what takes its time: a node that proves NAT, instances that end."""

YIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "create_security_group": {"id": ("GroupId",)},
    "create_network_interface": {
        "id": ("NetworkInterface", "NetworkInterfaceId"),
        "private_ip": ("NetworkInterface", "PrivateIpAddress"),
    },
    "allocate_address": {
        "id": ("AllocationId",),
        "allocation_id": ("AllocationId",),
        "public_ip": ("PublicIp",),
    },
    "associate_address": {"association_id": ("AssociationId",)},
    "create_launch_template": {"id": ("LaunchTemplate", "LaunchTemplateId")},
}
"""What an answer says that Terraform wants to know."""

LATER = ("DependencyViolation", "InvalidNetworkInterface.InUse", "InvalidParameterValue", "ResourceInUse")
"""Passes by itself while instances end."""


class Lab(StandIn):
    """Makes and deletes."""

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(schema)
        self.clients: dict[str, Any] = {}
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        self.zones = {s["SubnetId"]: s["AvailabilityZone"] for s in subnets}

    def client(self, service: str) -> Any:
        """A client of the API that the environment names."""
        if service not in self.clients:
            self.clients[service] = boto3.client(service)  # type: ignore[call-overload]
        return self.clients[service]

    def made(self, kind: str, planned: dict[str, Any], prior: Any) -> Any:
        assert prior is None, f"{kind} is there: changes are not played here"
        values = super().made(kind, planned, prior)
        # One at a time: a later call needs the id that an earlier one's answer gave.
        for index in range(len(list(calls(kind, values)))):
            service, operation, params = list(calls(kind, values))[index]
            answer = getattr(self.client(service), operation)(**params)
            for name, path in YIELDS.get(operation, {}).items():
                found = answer
                for key in path:
                    found = found[key]
                if name in values:
                    values[name] = found
        if kind in AFTERWARDS:
            AFTERWARDS[kind](self, values)
        return values

    def gone(self, kind: str, prior: dict[str, Any]) -> None:
        if kind in DELETIONS:
            DELETIONS[kind](self, prior)

    def patiently(self, service: str, operation: str, **params: Any) -> None:
        """Try again while something else has to happen first."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                getattr(self.client(service), operation)(**params)
            except ClientError as error:
                if error.response["Error"]["Code"] not in LATER or time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def members(self, name: str) -> list[str]:
        """The states of a group's instances."""
        groups = self.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        return [i["LifecycleState"] for g in groups["AutoScalingGroups"] for i in g["Instances"]]

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Wait, as the provider does."""
        end = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > end:
                raise TimeoutError(what)
            time.sleep(0.1)


def _closed(lab: Lab, v: dict[str, Any]) -> None:
    """The provider takes away the rule that AWS adds, which lets everything out."""
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    lab.client("ec2").revoke_security_group_egress(GroupId=v["id"], IpPermissions=[everything])


def _in_service(lab: Lab, v: dict[str, Any]) -> None:
    name, wanted = v["name"], v["desired_capacity"]
    lab.until(lambda: lab.members(name).count("InService") == wanted, f"{name}: {lab.members(name)}")


def _drained(lab: Lab, v: dict[str, Any]) -> None:
    name, scaling = v["name"], lab.client("autoscaling")
    scaling.update_auto_scaling_group(AutoScalingGroupName=name, MinSize=0, MaxSize=0, DesiredCapacity=0)
    lab.until(lambda: not lab.members(name), f"{name}: {lab.members(name)}")
    lab.patiently("autoscaling", "delete_auto_scaling_group", AutoScalingGroupName=name)


def _released(lab: Lab, v: dict[str, Any]) -> None:
    (address,) = lab.client("ec2").describe_addresses(AllocationIds=[v["id"]])["Addresses"]
    if "AssociationId" in address:
        lab.client("ec2").disassociate_address(AssociationId=address["AssociationId"])
    lab.client("ec2").release_address(AllocationId=v["id"])


def _disassociated(lab: Lab, v: dict[str, Any]) -> None:
    (address,) = lab.client("ec2").describe_addresses(AllocationIds=[v["allocation_id"]])["Addresses"]
    lab.client("ec2").disassociate_address(AssociationId=address["AssociationId"])


def _route_deleted(lab: Lab, v: dict[str, Any]) -> None:
    destination = v["destination_cidr_block"]
    lab.client("ec2").delete_route(RouteTableId=v["route_table_id"], DestinationCidrBlock=destination)


def _profile_deleted(lab: Lab, v: dict[str, Any]) -> None:
    name = {"InstanceProfileName": v["name"]}
    lab.client("iam").remove_role_from_instance_profile(**name, RoleName=v["role"])
    lab.client("iam").delete_instance_profile(**name)


Effect = Callable[[Lab, dict[str, Any]], None]

AFTERWARDS: dict[str, Effect] = {"aws_autoscaling_group": _in_service, "aws_security_group": _closed}

DELETIONS: dict[str, Effect] = {
    "aws_autoscaling_group": _drained,
    "aws_eip": _released,
    "aws_eip_association": _disassociated,
    "aws_iam_instance_profile": _profile_deleted,
    "aws_iam_role": lambda lab, v: lab.patiently("iam", "delete_role", RoleName=v["name"]),
    "aws_iam_role_policy": lambda lab, v: lab.patiently(
        "iam", "delete_role_policy", RoleName=v["role"], PolicyName=v["name"]
    ),
    "aws_iam_role_policy_attachment": lambda lab, v: lab.patiently(
        "iam", "detach_role_policy", RoleName=v["role"], PolicyArn=v["policy_arn"]
    ),
    "aws_launch_template": lambda lab, v: lab.patiently(
        "ec2", "delete_launch_template", LaunchTemplateId=v["id"]
    ),
    "aws_network_interface": lambda lab, v: lab.patiently(
        "ec2", "delete_network_interface", NetworkInterfaceId=v["id"]
    ),
    "aws_route": _route_deleted,
    "aws_security_group": lambda lab, v: lab.patiently("ec2", "delete_security_group", GroupId=v["id"]),
    "aws_security_group_rule": lambda lab, v: lab.patiently(
        "ec2", f"revoke_security_group_{v['type']}", **rule(v)
    ),
    "aws_ssm_parameter": lambda lab, v: lab.patiently("ssm", "delete_parameter", Name=v["name"]),
}

if __name__ == "__main__":
    serve(Lab(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
