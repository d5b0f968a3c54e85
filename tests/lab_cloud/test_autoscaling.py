from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from evernat.lab.profile import NONE
from tests.lab_cloud.support import ARM, Lab, Server, make_lab, refused

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


def template(lab: Lab, **data: Any) -> None:
    data = {"ImageId": ARM, "InstanceType": "t4g.nano"} | data
    lab.ec2.create_launch_template(LaunchTemplateName="temp", LaunchTemplateData=data)


def group(lab: Lab, size: int = 1, **more: Any) -> None:
    """A group `g` of `size` in the public subnet."""
    if not lab.ec2.describe_launch_templates()["LaunchTemplates"]:
        template(lab)
    params = {
        "AutoScalingGroupName": "g",
        "MinSize": 0,
        "MaxSize": 4,
        "DesiredCapacity": size,
        "VPCZoneIdentifier": lab.public,
        "LaunchTemplate": {"LaunchTemplateName": "temp", "Version": "$Latest"},
    } | more
    if "MixedInstancesPolicy" in more:
        del params["LaunchTemplate"]
    lab.asg.create_auto_scaling_group(**params)
    lab.advance()


def shown(lab: Lab) -> dict[str, Any]:
    found = lab.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["g"])["AutoScalingGroups"]
    return dict(found[0]) if found else {}


def members(lab: Lab) -> list[tuple[str, str]]:
    """(instance id, lifecycle state) of the members."""
    return [(i["InstanceId"], i["LifecycleState"]) for i in shown(lab)["Instances"]]


def in_service(lab: Lab) -> list[str]:
    return [i for i, state in members(lab) if state == "InService"]


def mixed(*types: str, on_demand: int = 0) -> dict[str, Any]:
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": "temp", "Version": "$Latest"},
            "Overrides": [{"InstanceType": t} for t in types],
        },
        "InstancesDistribution": {
            "OnDemandBaseCapacity": 0,
            "OnDemandPercentageAboveBaseCapacity": on_demand,
            "SpotAllocationStrategy": "price-capacity-optimized",
        },
    }


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
    {
        "terminate": lambda: lab.ec2.terminate_instances(InstanceIds=[old]),
        "stop": lambda: lab.ec2.stop_instances(InstanceIds=[old]),
        "plug": lambda: lab.cloud.pull_plug(old),
        "network": lambda: lab.cloud.cut_network(old),
        "unhealthy": lambda: lab.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy"),
        "poweroff": lambda: lab.cloud.guest_shutdown(old),
    }[how]()
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


def hook(lab: Lab, transition: str = LAUNCHING, **more: Any) -> None:
    params = {"HeartbeatTimeout": 60, "DefaultResult": "ABANDON"} | more
    lab.asg.put_lifecycle_hook(
        LifecycleHookName="h", AutoScalingGroupName="g", LifecycleTransition=transition, **params
    )


def complete(lab: Lab, instance: str, result: str = "CONTINUE") -> None:
    lab.asg.complete_lifecycle_action(
        LifecycleHookName="h", AutoScalingGroupName="g", InstanceId=instance, LifecycleActionResult=result
    )


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


def test_maintenance_policy_launches_before_it_terminates(lab: Lab) -> None:
    """With 100 % minimum an unhealthy member stays until its successor is in service."""
    group(
        lab, MaxSize=1, InstanceMaintenancePolicy={"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200}
    )
    hook(lab)
    old = in_service(lab)[0]
    lab.asg.set_instance_health(InstanceId=old, HealthStatus="Unhealthy")
    lab.advance(1)
    states = dict(members(lab))
    assert states.pop(old) == "InService"
    [(new, state)] = states.items()
    assert state == "Pending:Wait"
    complete(lab, new)
    lab.advance(1)
    assert in_service(lab) == [new]
    with refused("ValidationError"):
        lab.asg.update_auto_scaling_group(
            AutoScalingGroupName="g",
            InstanceMaintenancePolicy={"MinHealthyPercentage": 0, "MaxHealthyPercentage": 200},
        )


def test_capacity_rebalancing_needs_room(lab: Lab) -> None:
    """With room below the maximum the successor comes first; without, nothing happens until the end."""
    template(lab)
    group(lab, MaxSize=1, MixedInstancesPolicy=mixed("t4g.nano"), CapacityRebalance=True)
    old = in_service(lab)[0]
    lab.cloud.recommend_rebalance(old)
    lab.advance(1)
    assert in_service(lab) == [old]
    lab.asg.update_auto_scaling_group(AutoScalingGroupName="g", MaxSize=2)
    lab.advance(1)
    assert len(in_service(lab)) == 1
    assert in_service(lab) != [old]


@pytest.mark.parametrize("least", [0, 100])
def test_instance_refresh_replaces_all(lab: Lab, least: int) -> None:
    """One after the other, the old one going first or last; SkipMatching leaves the current ones alone."""
    group(lab, 2)
    old = in_service(lab)
    lab.ec2.create_launch_template_version(
        LaunchTemplateName="temp", SourceVersion="1", LaunchTemplateData={"InstanceType": "t4g.micro"}
    )
    preferences = {"MinHealthyPercentage": least, "InstanceWarmup": 0, "SkipMatching": True}
    preferences["MaxHealthyPercentage"] = 200 if least else 100
    refresh = lab.asg.start_instance_refresh(AutoScalingGroupName="g", Preferences=preferences)[
        "InstanceRefreshId"
    ]
    with refused("InstanceRefreshInProgress"):
        lab.asg.start_instance_refresh(AutoScalingGroupName="g")
    fewest = 2
    for _ in range(20):
        lab.advance(0.2)
        fewest = min(fewest, len(in_service(lab)))
    assert not set(in_service(lab)) & set(old)
    assert {lab.instance(i)["InstanceType"] for i in in_service(lab)} == {"t4g.micro"}
    [state] = lab.asg.describe_instance_refreshes(AutoScalingGroupName="g", InstanceRefreshIds=[refresh])[
        "InstanceRefreshes"
    ]
    assert (state["Status"], state["PercentageComplete"]) == ("Successful", 100)
    assert least == 0 or fewest == 2, "all stayed healthy"
    again = lab.asg.start_instance_refresh(AutoScalingGroupName="g", Preferences={"SkipMatching": True})
    lab.advance(1)
    found = lab.asg.describe_instance_refreshes(
        AutoScalingGroupName="g", InstanceRefreshIds=[again["InstanceRefreshId"]]
    )["InstanceRefreshes"][0]
    assert found["Status"] == "Successful"


def test_a_cancelled_refresh_stops(lab: Lab) -> None:
    """What was replaced stays replaced, the rest stays."""
    group(lab, 2)
    old = in_service(lab)
    hook(lab)
    lab.asg.start_instance_refresh(AutoScalingGroupName="g", Preferences={"InstanceWarmup": 0})
    lab.advance(1)
    lab.asg.cancel_instance_refresh(AutoScalingGroupName="g")
    lab.asg.delete_lifecycle_hook(LifecycleHookName="h", AutoScalingGroupName="g")
    lab.advance(3)
    assert len(set(in_service(lab)) & set(old)) == 1
    state = lab.asg.describe_instance_refreshes(AutoScalingGroupName="g")["InstanceRefreshes"][0]["Status"]
    assert state == "Cancelled"
    with refused("ActiveInstanceRefreshNotFound"):
        lab.asg.cancel_instance_refresh(AutoScalingGroupName="g")


def test_too_old_members_are_replaced(lab: Lab) -> None:
    """MaxInstanceLifetime is at least a day."""
    with refused("ValidationError"):
        group(lab, MaxInstanceLifetime=3600)
    group(lab, MaxInstanceLifetime=86400)
    old = in_service(lab)[0]
    lab.clock.now += 86400
    lab.advance(1)
    assert in_service(lab) != [old]


def test_deleting_a_group(lab: Lab) -> None:
    """With members it is ResourceInUse; forced, all end without waiting for hooks and the name is free again."""
    group(lab)
    hook(lab, TERMINATING)
    with refused("ResourceInUse"):
        lab.asg.delete_auto_scaling_group(AutoScalingGroupName="g")
    lab.asg.delete_auto_scaling_group(AutoScalingGroupName="g", ForceDelete=True)
    lab.advance(1)
    assert shown(lab) == {}
    assert all(i.state == "terminated" for i in lab.cloud.region("us-west-2").machines.values())
    group(lab)


def test_bad_groups_are_refused(lab: Lab) -> None:
    """Sizes, subnets, templates and an existing interface in a template: ValidationError, and nothing is made."""
    template(lab)
    eni = lab.eni()
    lab.ec2.create_launch_template(
        LaunchTemplateName="with-eni",
        LaunchTemplateData={
            "ImageId": ARM,
            "InstanceType": "t4g.nano",
            "NetworkInterfaces": [{"DeviceIndex": 0, "NetworkInterfaceId": eni}],
        },
    )
    for wrong in (
        {"MinSize": 2, "MaxSize": 1},
        {"DesiredCapacity": 9},
        {"VPCZoneIdentifier": "subnet-00000000000000000"},
        {"LaunchTemplate": {"LaunchTemplateName": "none", "Version": "1"}},
        {"LaunchTemplate": {"LaunchTemplateName": "temp", "Version": "7"}},
        {"LaunchTemplate": {"LaunchTemplateName": "with-eni", "Version": "1"}},
        {"MixedInstancesPolicy": mixed("t3.nano")},
    ):
        with refused("ValidationError"):
            group(lab, **wrong)
    assert shown(lab) == {}
    group(lab)
    with refused("AlreadyExists"):
        group(lab)
    with refused("ValidationError"):
        lab.asg.update_auto_scaling_group(AutoScalingGroupName="nobody", MinSize=0)
    with refused("ValidationError"):
        lab.asg.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=9)


def test_a_refused_update_changes_nothing(lab: Lab) -> None:
    """UpdateAutoScalingGroup is all or nothing."""
    group(lab)
    before = shown(lab)
    with refused("ValidationError"):
        lab.asg.update_auto_scaling_group(
            AutoScalingGroupName="g",
            MaxSize=3,
            HealthCheckGracePeriod=77,
            InstanceMaintenancePolicy={"MinHealthyPercentage": 0, "MaxHealthyPercentage": 200},
        )
    assert shown(lab) == before


def test_groups_are_found_by_tag(lab: Lab) -> None:
    """Filters of DescribeAutoScalingGroups; tags can be changed and deleted."""
    tag = {"Key": "evernat:stack", "ResourceId": "g", "ResourceType": "auto-scaling-group"}
    group(lab, Tags=[tag | {"Value": "m", "PropagateAtLaunch": False}])

    def found(value: str) -> int:
        wanted = [{"Name": "tag:evernat:stack", "Values": [value]}]
        return len(lab.asg.describe_auto_scaling_groups(Filters=wanted)["AutoScalingGroups"])

    assert (found("m"), found("x")) == (1, 0)
    lab.asg.create_or_update_tags(Tags=[tag | {"Value": "x", "PropagateAtLaunch": False}])
    assert found("x") == 1
    lab.asg.delete_tags(Tags=[tag])
    assert found("x") == 0


def test_a_detached_instance_lives_on(lab: Lab) -> None:
    """DetachInstances with a decrement leaves the instance and the group smaller."""
    group(lab)
    instance = in_service(lab)[0]
    lab.asg.detach_instances(
        AutoScalingGroupName="g", InstanceIds=[instance], ShouldDecrementDesiredCapacity=True
    )
    lab.advance(1)
    assert members(lab) == []
    assert lab.instance(instance)["State"]["Name"] == "running"


def test_what_is_done_is_written_down(lab: Lab) -> None:
    """Scaling activities name the instance, the cause and the outcome, newest first."""
    group(lab)
    instance = in_service(lab)[0]
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance(1)
    log = lab.asg.describe_scaling_activities(AutoScalingGroupName="g")["Activities"]
    assert [a["StatusCode"] for a in log] == ["Successful"] * 3
    assert [a["Description"].split(":")[0] for a in log] == [
        "Launching a new EC2 instance",
        "Terminating EC2 instance",
        "Launching a new EC2 instance",
    ]
    assert "health check" in log[1]["Cause"]
