"""Auto Scaling groups for tests."""

from __future__ import annotations

from typing import Any

from tests.lab_cloud.support import ARM, Lab

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


def hook(lab: Lab, transition: str = LAUNCHING, **more: Any) -> None:
    params = {"HeartbeatTimeout": 60, "DefaultResult": "ABANDON"} | more
    lab.asg.put_lifecycle_hook(
        LifecycleHookName="h", AutoScalingGroupName="g", LifecycleTransition=transition, **params
    )


def complete(lab: Lab, instance: str, result: str = "CONTINUE") -> None:
    lab.asg.complete_lifecycle_action(
        LifecycleHookName="h", AutoScalingGroupName="g", InstanceId=instance, LifecycleActionResult=result
    )
