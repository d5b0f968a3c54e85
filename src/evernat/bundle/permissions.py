"""What the role of a node may do: the calls in `agent.effects.ec2`, and no others."""

from __future__ import annotations

from typing import Any


def agent_policy(
    partition: str, region: str, account: str, stack: str, group_name: str, interface_id: str
) -> dict[str, Any]:
    """The inline policy document of the agent.

    Reading cannot be bound to resources (EC2 knows no resource level for Describe calls), only to the region. What
    changes something is bound to the interface or the group by name, and to the stack by its tag.
    """
    ec2 = f"arn:{partition}:ec2:{region}:{account}"
    group = (
        f"arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{group_name}"
    )
    of_stack = {"StringEquals": {"aws:ResourceTag/evernat:stack": stack}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "Look",
                "Effect": "Allow",
                # The interface and who has it; the instances port forwards lead to.
                "Action": ["ec2:DescribeInstances", "ec2:DescribeNetworkInterfaces"],
                "Resource": "*",
                "Condition": {"StringEquals": {"aws:RequestedRegion": region}},
            },
            {
                "Sid": "MoveInterface",
                "Effect": "Allow",
                "Action": ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"],
                # Both calls are checked against the interface and the instance.
                "Resource": [f"{ec2}:network-interface/{interface_id}", f"{ec2}:instance/*"],
                "Condition": of_stack,
            },
            {
                "Sid": "AnswerLaunchHook",
                "Effect": "Allow",
                "Action": "autoscaling:CompleteLifecycleAction",
                "Resource": group,
                "Condition": of_stack,
            },
        ],
    }
