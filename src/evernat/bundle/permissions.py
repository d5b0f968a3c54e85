"""What the role of a node may do: the calls in `agent.effects.ec2`, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evernat.agent.contract import report
from evernat.bundle.beside import folder

SESSION_MANAGER: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "SessionManager",
            "Effect": "Allow",
            "Action": [
                "ssm:UpdateInstanceInformation",
                "ssmmessages:CreateControlChannel",
                "ssmmessages:CreateDataChannel",
                "ssmmessages:OpenControlChannel",
                "ssmmessages:OpenDataChannel",
            ],
            "Resource": "*",
        }
    ],
}
"""All that Session Manager needs of a node (Systems Manager user guide, minimal Session Manager permissions).

AWS's AmazonSSMManagedInstanceCore also lets a node read every parameter of the account. What goes by ec2messages there
goes by ssmmessages since the image's SSM agent 3.3.40.0 (user guide, "ec2messages, ssmmessages, and other API
operations").
"""


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
    parameter = f"arn:{partition}:ssm:{region}:{account}:parameter"
    in_region, of_stack = {"aws:RequestedRegion": region}, {"aws:ResourceTag/evernat:stack": stack}
    interfaces = [f"{ec2}:network-interface/{interface_id}", f"{ec2}:instance/*"]
    look = ["Instances", "NetworkInterfaces", "SecurityGroupRules"]
    statements = [
        # The interface and who has it; the instances port forwards lead to; what users let in.
        _statement("Look", [f"ec2:Describe{what}" for what in look], "*", in_region),
        # Both calls are checked against the interface and the instance.
        _statement(
            "MoveInterface",
            ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"],
            interfaces,
            of_stack,
        ),
        _statement("CheckOff", ["ec2:ModifyNetworkInterfaceAttribute"], interfaces[:1], of_stack),
        _statement(
            # The files of the agent that lie beside the user data, of whatever version; the last replacement.
            "ReadParameters",
            ["ssm:GetParameters"],
            [f"{parameter}{folder(stack)}/*", f"{parameter}{report(stack, 'replacement')}"],
        ),
        _statement("Report", ["ssm:PutParameter"], [f"{parameter}{report(stack, '*')}"]),
        _statement(
            "AnswerLaunchHook",
            # And have itself replaced, when clients do not get out through it.
            ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"],
            [group],
            of_stack,
        ),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def cluster_policy(
    partition: str,
    region: str,
    account: str,
    stack: str,
    *,
    group_names: Sequence[str],
    gateways: Sequence[str],
    addresses: Sequence[str],
    tables: Sequence[str],
    key_parameter: str,
) -> dict[str, Any]:
    """The inline policy of an agent whose gateways are addresses; `addresses` are allocation ids.

    Addresses, tables, groups and the key are named one by one; interfaces and instances, which come and go, are those
    with the stack's tag. A table may be led only while it carries its gateway's tag: taking that off is how the
    stack takes a route back from nodes that still run.
    """
    ec2 = f"arn:{partition}:ec2:{region}:{account}"
    parameter = f"arn:{partition}:ssm:{region}:{account}:parameter"
    scaling = f"arn:{partition}:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName"
    of_stack = {"aws:ResourceTag/evernat:stack": stack}
    members = [f"{ec2}:network-interface/*", f"{ec2}:instance/*"]
    replacement = report(stack, "replacement")
    look = ["Addresses", "Instances", "NetworkInterfaces", "RouteTables", "SecurityGroupRules"]
    statements = [
        _statement("Look", [f"ec2:Describe{what}" for what in look], "*", {"aws:RequestedRegion": region}),
        _statement(
            # Both calls are checked against the address, and against the interface (and instance) it is on.
            "MoveAddress",
            ["ec2:AssociateAddress", "ec2:DisassociateAddress"],
            [*(f"{ec2}:elastic-ip/{address}" for address in addresses), *members],
            of_stack,
        ),
        _statement("CheckOff", ["ec2:ModifyNetworkInterfaceAttribute"], members, of_stack),
        _statement(
            # The key, and the files of the agent that lie beside the user data, of whatever version.
            "ReadParameters",
            ["ssm:GetParameters"],
            # And when the stack last had a node replaced.
            [f"{parameter}{key_parameter}", f"{parameter}{folder(stack)}/*", f"{parameter}{replacement}"],
        ),
        _statement("Report", ["ssm:PutParameter"], [f"{parameter}{report(stack, '*')}"]),
        _statement(
            "AnswerLaunchHook",
            # And have itself replaced, when it is of no use and others are.
            ["autoscaling:CompleteLifecycleAction", "autoscaling:SetInstanceHealth"],
            [f"{scaling}/{name}" for name in group_names],
            of_stack,
        ),
    ]
    if tables:
        leading = {**of_stack, "aws:ResourceTag/evernat:gateway": list(gateways)}
        resources = [f"{ec2}:route-table/{table}" for table in tables]
        statements.append(
            _statement("LeadRoutes", ["ec2:CreateRoute", "ec2:ReplaceRoute"], resources, leading)
        )
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(
    name: str, actions: list[str], resources: str | list[str], equals: dict[str, Any] | None = None
) -> dict[str, Any]:
    condition = {"Condition": {"StringEquals": equals}} if equals else {}
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources, **condition}
