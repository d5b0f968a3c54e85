from __future__ import annotations

import pytest

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
from tests.lab_cloud.support import ARM, Lab, refused


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
