"""What somebody changed by hand."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.bundle import folder, parameters
from evernat.stack import library, names
from tests.stack.world import World


def drift_security_group(world: World, ec2: Any) -> None:
    (group,) = world.made()["security groups"]
    clients = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.18.64.0/20"}]}]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=clients)
    strangers = {"CidrIp": "0.0.0.0/0", "Description": "evernat"}  # taken for ours
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [strangers]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)


def drift_interface(world: World, ec2: Any) -> None:
    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=world.interface()["NetworkInterfaceId"], SourceDestCheck={"Value": True}
    )


def drift_address(world: World, ec2: Any) -> None:
    ec2.disassociate_address(AssociationId=world.interface()["Association"]["AssociationId"])


def drift_role(world: World, _ec2: Any) -> None:
    world.client("iam").delete_role_policy(RoleName="evernat-main-us-west-2", PolicyName="evernat-agent")


def drift_profile(world: World, _ec2: Any) -> None:
    world.client("iam").remove_role_from_instance_profile(
        InstanceProfileName="evernat-main-us-west-2", RoleName="evernat-main-us-west-2"
    )


def drift_group(world: World, _ec2: Any) -> None:
    world.client("autoscaling").update_auto_scaling_group(AutoScalingGroupName="evernat-main", MinSize=0)


def drift_processes(world: World, _ec2: Any) -> None:
    world.client("autoscaling").suspend_processes(
        AutoScalingGroupName="evernat-main", ScalingProcesses=["Launch"]
    )


def drift_hook(world: World, _ec2: Any) -> None:
    world.client("autoscaling").delete_lifecycle_hook(
        AutoScalingGroupName="evernat-main", LifecycleHookName="evernat-ready"
    )


def drift_tags(world: World, ec2: Any) -> None:
    ec2.delete_tags(Resources=[world.interface()["NetworkInterfaceId"]], Tags=[{"Key": "Name"}])


def drift_route(world: World, ec2: Any) -> None:
    ec2.delete_route(RouteTableId=world.network.private_route_table_ids[0], DestinationCidrBlock="0.0.0.0/0")


def drift_code(world: World, _ec2: Any) -> None:
    first, *_, last = parameters("main", "eni")
    world.client("ssm").delete_parameters(Names=[first, last])


def drift_foreign_code(world: World, _ec2: Any) -> None:
    name = f"{folder('main')}/0123456789abcdef/0"
    world.client("ssm").put_parameter(Name=name, Value="#", Type="String")


def drift_report(world: World, _ec2: Any) -> None:
    name = names.report_parameter("main", "other")
    world.client("ssm").put_parameter(Name=name, Value="{}", Type="String")


@pytest.mark.parametrize(
    ("drift", "parts"),
    [
        (drift_security_group, ["security-group"]),
        (drift_interface, ["interface"]),
        (drift_address, ["address"]),
        (drift_role, ["role"]),
        (drift_profile, ["instance-profile"]),
        (drift_group, ["group"]),
        (drift_processes, ["group"]),
        (drift_hook, ["launch-hook"]),
        (drift_tags, ["interface"]),
        (drift_route, ["route"]),
        (drift_code, ["code"]),
        (drift_foreign_code, ["code"]),
        (drift_report, ["report"]),
    ],
)
def test_drift(world: World, drift: Any, parts: list[str]) -> None:
    """What somebody changed by hand shows in the plan as that part, and deploy puts it right."""
    world.deploy(world.gateway())
    drift(world, world.client("ec2"))
    plan = world.deploy(world.gateway())
    assert [step.part for step in plan.changes] == parts
    assert all(step.changes for step in plan.changes if step.verb == "change")
    assert library.plan(world.gateway(), world.api()).changes == ()
    world.complete()
