from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evernat.lab.profile import NONE
from tests.lab_cloud.groups import (
    TERMINATING,
    complete,
    group,
    hook,
    in_service,
    members,
    mixed,
    shown,
    template,
)
from tests.lab_cloud.support import Lab, Server, make_lab, refused


def test_a_group_launches_what_the_template_says(lab: Lab) -> None:
    """Tags propagate, the group's name is a tag, the public address is assigned."""
    template(
        lab, NetworkInterfaces=[{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [lab.group]}]
    )
    tags = [
        {"Key": "evernat:stack", "Value": "m", "PropagateAtLaunch": True},
        {"Key": "quiet", "Value": "m", "PropagateAtLaunch": False},
    ]
    group(lab, Tags=[t | {"ResourceId": "g", "ResourceType": "auto-scaling-group"} for t in tags])
    instance = lab.instance(in_service(lab)[0])
    found = {t["Key"]: t["Value"] for t in instance["Tags"]}
    assert (found["evernat:stack"], found["aws:autoscaling:groupName"]) == ("m", "g")
    assert "quiet" not in found
    assert (instance["SubnetId"], instance["PublicIpAddress"][:8]) == (lab.public, "192.0.2.")


def test_mixed_instances_are_spot_and_fall_back(lab: Lab) -> None:
    """Overrides are tried in order when there is no capacity; on-demand percentage 0 means spot."""
    template(lab)
    lab.cloud.faults.no_capacity("t4g.nano")
    group(lab, MixedInstancesPolicy=mixed("t4g.nano", "t4g.micro"))
    instance = lab.instance(in_service(lab)[0])
    assert (instance["InstanceType"], instance["InstanceLifecycle"]) == ("t4g.micro", "spot")
    assert shown(lab)["MixedInstancesPolicy"] == mixed("t4g.nano", "t4g.micro")


def test_on_demand_share(lab: Lab) -> None:
    """Half of what is above the base is on demand."""
    template(lab)
    group(lab, 4, MixedInstancesPolicy=mixed("t4g.nano", on_demand=50))
    kinds = [lab.instance(i).get("InstanceLifecycle", "normal") for i in in_service(lab)]
    assert sorted(kinds) == ["normal", "normal", "spot", "spot"]


def test_without_capacity_it_tries_again(lab: Lab) -> None:
    """A failed launch is an activity; when capacity is back the group fills by itself."""
    lab.cloud.faults.no_capacity()
    group(lab)
    assert members(lab) == []
    activity = lab.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"][0]
    assert activity["StatusCode"] == "Failed"
    lab.cloud.faults.clear()
    lab.advance(3)
    assert len(in_service(lab)) == 1


def test_zones_are_balanced(lab: Lab) -> None:
    """Instances spread over the subnets' zones."""
    group(lab, 4, VPCZoneIdentifier=f"{lab.public},{lab.other_zone}")
    zones = [i["AvailabilityZone"] for i in shown(lab)["Instances"]]
    assert sorted(zones) == ["us-west-2a", "us-west-2a", "us-west-2b", "us-west-2b"]


@pytest.mark.parametrize("how", ["terminate", "stop", "plug", "network", "unhealthy", "poweroff"])
def test_a_lost_member_is_replaced(lab: Lab, how: str) -> None:
    """Terminated, stopped, dead, cut off, called unhealthy or powered off: a new one comes, the old one goes."""
    group(lab)
    old = in_service(lab)[0]
    ways: dict[str, Callable[[], Any]] = {
        "terminate": lambda: lab.ec2.terminate_instances(InstanceIds=[old]),
        "stop": lambda: lab.ec2.stop_instances(InstanceIds=[old]),
        "plug": lambda: lab.cloud.pull_plug(old),
        "network": lambda: lab.cloud.cut_network(old),
        "unhealthy": lambda: lab.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy"),
        "poweroff": lambda: lab.cloud.guest_shutdown(old),
    }
    ways[how]()
    lab.advance(3)
    assert len(in_service(lab)) == 1
    assert in_service(lab) != [old]
    assert [i for i, _ in members(lab)] == in_service(lab), "the old one is no member any more"
    assert lab.instance(old)["State"]["Name"] == "terminated"


def test_it_notices_with_the_profiles_delay(server: Server) -> None:
    """A dead member is noticed after the status check's time, rounded up to the group's next look."""
    lab = make_lab(server, replace(NONE, health=60.0, group_tick=10.0))
    group(lab)
    lab.advance(11)
    old = in_service(lab)[0]
    lab.cloud.pull_plug(old)
    lab.advance(58)
    assert in_service(lab) == [old]
    lab.advance(13)
    assert in_service(lab) != [old]


def test_the_grace_period_spares_the_young(lab: Lab) -> None:
    """A failed status check within the grace period does not count; a termination does."""
    group(lab, HealthCheckGracePeriod=30)
    old = in_service(lab)[0]
    lab.cloud.cut_network(old)
    lab.advance(20)
    assert in_service(lab) == [old]
    lab.advance(15)
    assert in_service(lab) != [old]
    young = in_service(lab)[0]
    lab.ec2.terminate_instances(InstanceIds=[young])
    lab.advance(1)
    assert young not in in_service(lab)


def test_suspended_processes_do_not_run(lab: Lab) -> None:
    """Without Launch nothing is launched, without ReplaceUnhealthy nothing is replaced."""
    group(lab)
    old = in_service(lab)[0]
    lab.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["ReplaceUnhealthy"])
    lab.cloud.pull_plug(old)
    lab.advance(5)
    assert in_service(lab) == [old]
    lab.asg.suspend_processes(AutoScalingGroupName="g", ScalingProcesses=["Launch"])
    lab.asg.resume_processes(AutoScalingGroupName="g", ScalingProcesses=["ReplaceUnhealthy"])
    lab.advance(2)
    assert in_service(lab) == []
    lab.asg.resume_processes(AutoScalingGroupName="g")
    lab.advance(1)
    assert len(in_service(lab)) == 1


def test_a_launch_hook_holds_an_instance_back(lab: Lab) -> None:
    """Pending:Wait until CONTINUE, then InService; completing twice is a ValidationError."""
    group(lab, 0)
    hook(lab)
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    lab.advance()
    [(instance, state)] = members(lab)
    assert state == "Pending:Wait"
    complete(lab, instance)
    assert members(lab) == [(instance, "InService")]
    with refused("ValidationError"):
        complete(lab, instance)


def test_abandon_and_timeout_launch_anew(lab: Lab) -> None:
    """ABANDON, or silence for the heartbeat's time, ends the instance and brings another one."""
    group(lab, 0)
    hook(lab)
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    lab.advance()
    first = members(lab)[0][0]
    complete(lab, first, "ABANDON")
    lab.advance(1)
    [(second, state)] = members(lab)
    assert (second != first, state) == (True, "Pending:Wait")
    lab.advance(50)
    lab.asg.record_lifecycle_action_heartbeat(
        LifecycleHookName="h", AutoScalingGroupName="g", InstanceId=second
    )
    lab.advance(50)
    assert members(lab) == [(second, "Pending:Wait")], "the heartbeat began anew"
    lab.advance(12)
    assert members(lab)[0][0] != second


def test_a_termination_hook_waits(lab: Lab) -> None:
    """The instance runs in Terminating:Wait until the action is complete."""
    group(lab)
    hook(lab, TERMINATING)
    instance = in_service(lab)[0]
    lab.asg.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=True)
    lab.advance(1)
    assert members(lab) == [(instance, "Terminating:Wait")]
    assert lab.instance(instance)["State"]["Name"] == "running"
    complete(lab, instance)
    lab.advance()
    assert members(lab) == []
    assert lab.instance(instance)["State"]["Name"] == "terminated"


def test_deleting_a_hook_lets_go(lab: Lab) -> None:
    """An instance waiting for a deleted launch hook is abandoned; the next one is in service at once."""
    group(lab, 0)
    hook(lab)
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=1)
    lab.advance()
    waiting = members(lab)[0][0]
    lab.asg.delete_lifecycle_hook(LifecycleHookName="h", AutoScalingGroupName="g")
    lab.advance(1)
    assert waiting not in in_service(lab)
    assert len(in_service(lab)) == 1


def test_scaling_in_ends_the_oldest(lab: Lab) -> None:
    """The oldest goes first; protected ones stay."""
    group(lab)
    first = in_service(lab)[0]
    lab.advance(1)
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=3)
    lab.advance(1)
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=2)
    lab.advance(1)
    assert first not in in_service(lab)
    lab.asg.set_instance_protection(
        AutoScalingGroupName="g", InstanceIds=in_service(lab), ProtectedFromScaleIn=True
    )
    lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    lab.advance(1)
    assert len(in_service(lab)) == 2
