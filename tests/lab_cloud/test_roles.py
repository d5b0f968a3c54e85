from __future__ import annotations

import json
from typing import Any

import pytest

from evernat.lab.cloud import Credentials
from tests.lab_cloud.support import ARM, Lab, refused

STACK = [{"Key": "evernat:stack", "Value": "main"}]


def role(lab: Lab, *statements: dict[str, Any]) -> None:
    """A role `r` with one inline policy, in a profile `p`."""
    lab.iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    harmless = {"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements) or [harmless]})
    lab.iam.put_role_policy(RoleName="r", PolicyName="x", PolicyDocument=document)
    lab.iam.create_instance_profile(InstanceProfileName="p")
    lab.iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")


def credentials(lab: Lab, instance: str) -> Credentials:
    found = lab.cloud.credentials(instance)
    assert found is not None
    return found


def node(lab: Lab, service: str = "ec2") -> tuple[str, Any]:
    """An instance with the role, tagged as of the stack, and a client with its credentials."""
    instance = lab.run(
        IamInstanceProfile={"Name": "p"}, TagSpecifications=[{"ResourceType": "instance", "Tags": STACK}]
    )
    keys = credentials(lab, instance)
    return instance, lab.server.client(service, keys.access_key_id, keys.secret_access_key, keys.token)


def test_an_instance_may_do_what_its_role_allows(lab: Lab) -> None:
    """Attaching is bound to the stack's tag on interface and instance; everything else is UnauthorizedOperation."""
    role(
        lab,
        {"Effect": "Allow", "Action": "ec2:DescribeNetworkInterfaces", "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ec2:AttachNetworkInterface", "ec2:DetachNetworkInterface"],
            "Resource": ["arn:aws:ec2:*:*:network-interface/*", "arn:aws:ec2:*:*:instance/*"],
            "Condition": {"StringEquals": {"aws:ResourceTag/evernat:stack": "main"}},
        },
    )
    instance, client = node(lab)
    ours = lab.eni(TagSpecifications=[{"ResourceType": "network-interface", "Tags": STACK}])
    other = lab.eni()
    assert len(client.describe_network_interfaces()["NetworkInterfaces"]) == 3
    with refused("UnauthorizedOperation"):
        client.attach_network_interface(NetworkInterfaceId=other, InstanceId=instance, DeviceIndex=1)
    with refused("UnauthorizedOperation"):
        client.attach_network_interface(NetworkInterfaceId=ours, InstanceId=lab.run(), DeviceIndex=1)
    attached = client.attach_network_interface(NetworkInterfaceId=ours, InstanceId=instance, DeviceIndex=1)
    client.detach_network_interface(AttachmentId=attached["AttachmentId"])
    for call in (client.describe_instances, lambda: client.delete_network_interface(NetworkInterfaceId=ours)):
        with refused("UnauthorizedOperation"):
            call()
    seen = [(c.principal, c.role, c.error) for c in lab.cloud.calls if c.action == "DescribeInstances"]
    assert seen[-1] == (instance, "r", "UnauthorizedOperation")


def test_dry_run_tells_whether_it_would_be_allowed(lab: Lab) -> None:
    """DryRunOperation if so, UnauthorizedOperation if not."""
    role(lab, {"Effect": "Allow", "Action": "ec2:DescribeAddresses", "Resource": "*"})
    _, client = node(lab)
    with refused("DryRunOperation"):
        client.describe_addresses(DryRun=True)
    with refused("UnauthorizedOperation"):
        client.describe_instances(DryRun=True)


def test_an_elastic_ip_is_authorized_by_allocation(lab: Lab) -> None:
    """Associating and dissociating look at the tags of the Elastic IP and the interface."""
    condition = {"StringEquals": {"ec2:ResourceTag/evernat:stack": "main"}}
    role(
        lab,
        {
            "Effect": "Allow",
            "Action": ["ec2:AssociateAddress", "ec2:DisassociateAddress"],
            "Resource": ["arn:aws:ec2:*:*:elastic-ip/*", "arn:aws:ec2:*:*:network-interface/*"],
            "Condition": condition,
        },
    )
    _, client = node(lab)
    ours = lab.eni(TagSpecifications=[{"ResourceType": "network-interface", "Tags": STACK}])
    tagged, plain = lab.eip()[0], lab.eip()[0]
    lab.ec2.create_tags(Resources=[tagged], Tags=STACK)
    with refused("UnauthorizedOperation"):
        client.associate_address(AllocationId=plain, NetworkInterfaceId=ours)
    association = client.associate_address(AllocationId=tagged, NetworkInterfaceId=ours)["AssociationId"]
    client.disassociate_address(AssociationId=association)


def test_routes_are_authorized_by_their_table(lab: Lab) -> None:
    """The table's tag decides, the target's does not."""
    role(
        lab,
        {
            "Effect": "Allow",
            "Action": "ec2:CreateRoute",
            "Resource": f"arn:aws:ec2:us-west-2:123456789012:route-table/{lab.table}",
        },
    )
    _, client = node(lab)
    client.create_route(RouteTableId=lab.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=lab.gateway)
    with refused("UnauthorizedOperation"):
        client.delete_route(RouteTableId=lab.table, DestinationCidrBlock="0.0.0.0/0")


def test_a_group_is_authorized_by_its_arn(lab: Lab) -> None:
    """CompleteLifecycleAction for another group is AccessDenied."""
    role(
        lab,
        {
            "Effect": "Allow",
            "Action": "autoscaling:CompleteLifecycleAction",
            "Resource": "arn:aws:autoscaling:us-west-2:*:autoScalingGroup:*:autoScalingGroupName/ours",
        },
    )
    lab.ec2.create_launch_template(
        LaunchTemplateName="temp",
        LaunchTemplateData={"ImageId": "ami-0a12023a000000001", "InstanceType": "t4g.nano"},
    )
    for name in ("ours", "theirs"):
        lab.asg.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=1, VPCZoneIdentifier=lab.public,
            LaunchTemplate={"LaunchTemplateName": "temp", "Version": "1"},
        )  # fmt: skip
    instance, client = node(lab, "autoscaling")
    done = {"LifecycleHookName": "h", "InstanceId": instance, "LifecycleActionResult": "CONTINUE"}
    with refused("AccessDenied"):
        client.complete_lifecycle_action(AutoScalingGroupName="theirs", **done)
    with refused("ValidationError"):
        client.complete_lifecycle_action(AutoScalingGroupName="ours", **done)


def test_a_node_may_condemn_itself(lab: Lab) -> None:
    """SetInstanceHealth is authorized by the tags of the instance's own group, and ends it even while it is young."""
    role(
        lab,
        {
            "Effect": "Allow",
            "Action": "autoscaling:SetInstanceHealth",
            "Resource": "arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:*:autoScalingGroupName/ours*",
            "Condition": {"StringEquals": {"aws:ResourceTag/evernat:stack": "main"}},
        },
    )
    data = {"ImageId": ARM, "InstanceType": "t4g.nano", "IamInstanceProfile": {"Name": "p"}}
    lab.ec2.create_launch_template(LaunchTemplateName="temp", LaunchTemplateData=data)
    for name, stack in (("ours", "main"), ("theirs", "main"), ("ours2", "other")):
        tag = {"Key": "evernat:stack", "Value": stack, "PropagateAtLaunch": True}
        lab.asg.create_auto_scaling_group(
            AutoScalingGroupName=name, MinSize=0, MaxSize=1, DesiredCapacity=1, VPCZoneIdentifier=lab.public,
            LaunchTemplate={"LaunchTemplateName": "temp", "Version": "1"}, HealthCheckGracePeriod=300, Tags=[tag],
        )  # fmt: skip
    lab.advance()

    def member(name: str) -> str:
        (found,) = lab.asg.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        (only,) = found["Instances"]
        return str(only["InstanceId"])

    ours = member("ours")
    keys = credentials(lab, ours)
    client = lab.server.client("autoscaling", keys.access_key_id, keys.secret_access_key, keys.token)
    for instance in (member("theirs"), member("ours2"), "i-00000000000000000"):
        with refused("AccessDenied"):
            client.set_instance_health(InstanceId=instance, HealthStatus="Unhealthy")
    client.set_instance_health(InstanceId=ours, HealthStatus="Unhealthy")
    lab.advance(5)
    assert member("ours") == ours, "the grace period is respected unless told otherwise"
    client.set_instance_health(InstanceId=ours, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False)
    lab.advance(5)
    assert member("ours") != ours
    told = lab.asg.describe_scaling_activities(AutoScalingGroupName="ours")["Activities"]
    assert any("in response to a user health-check" in each["Cause"] for each in told)
    with refused("InvalidClientTokenId"):
        client.set_instance_health(InstanceId=ours, HealthStatus="Unhealthy")


def test_a_node_reads_the_rules_of_groups(lab: Lab) -> None:
    """A listing has no resources of its own: it is allowed for all, or not at all."""
    look = {"Effect": "Allow", "Action": "ec2:DescribeSecurityGroupRules", "Resource": "*"}
    role(lab, {**look, "Condition": {"StringEquals": {"aws:RequestedRegion": "us-west-2"}}})
    _, client = node(lab)
    wanted = {"Filters": [{"Name": "group-id", "Values": [lab.group]}]}
    assert client.describe_security_group_rules(**wanted)["SecurityGroupRules"][0]["GroupId"] == lab.group
    with refused("UnauthorizedOperation"):
        client.update_security_group_rule_descriptions_ingress(GroupId=lab.group)
    with refused("UnauthorizedOperation"):
        client.revoke_security_group_ingress(GroupId=lab.group)


def test_a_node_writes_and_reads_its_reports(lab: Lab) -> None:
    """PutParameter over and over, GetParameter and GetParameters, each for the names of the policy and no others."""
    place = "arn:aws:ssm:us-west-2:123456789012:parameter/evernat/main/report"
    role(
        lab,
        {"Effect": "Allow", "Action": "ssm:PutParameter", "Resource": [f"{place}/main", f"{place}/node-0"]},
        {"Effect": "Allow", "Action": ["ssm:GetParameter", "ssm:GetParameters"], "Resource": f"{place}/*"},
    )
    _, client = node(lab, "ssm")
    for number, text in enumerate(("one", "two"), 1):
        put = {"Name": "/evernat/main/report/main", "Value": text, "Type": "String", "Overwrite": True}
        assert client.put_parameter(**put)["Version"] == number
    assert client.get_parameter(Name="/evernat/main/report/main")["Parameter"]["Value"] == "two"
    found = client.get_parameters(Names=["/evernat/main/report/main", "/evernat/main/report/node-0"])
    assert [p["Value"] for p in found["Parameters"]] == ["two"]
    assert found["InvalidParameters"] == ["/evernat/main/report/node-0"]
    for name in ("/evernat/main/report/node-1", "/evernat/other/report/main"):
        with refused("AccessDeniedException"):
            client.put_parameter(Name=name, Value="x", Type="String")
    with refused("AccessDeniedException"):
        client.get_parameter(Name="/evernat/main/key")
    with refused("AccessDeniedException"):
        client.get_parameters(Names=["/evernat/main/report/main", "/evernat/main/key"])


def test_managed_policies_count(lab: Lab) -> None:
    """An attached policy of AWS is in force like an inline one."""
    role(lab, {"Effect": "Allow", "Action": "ec2:DescribeVpcs", "Resource": "*"})
    lab.iam.attach_role_policy(RoleName="r", PolicyArn="arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore")
    _, client = node(lab)
    client.describe_vpcs()
    lab.iam.delete_role_policy(RoleName="r", PolicyName="x")
    with refused("UnauthorizedOperation"):
        client.describe_vpcs()


SSM_CORE = """
    ssm:DescribeAssociation ssm:GetDeployablePatchSnapshotForInstance ssm:GetDocument ssm:DescribeDocument
    ssm:GetManifest ssm:GetParameter ssm:GetParameters ssm:ListAssociations ssm:ListInstanceAssociations
    ssm:PutInventory ssm:PutComplianceItems ssm:PutConfigurePackageResult ssm:UpdateAssociationStatus
    ssm:UpdateInstanceAssociationStatus ssm:UpdateInstanceInformation ssmmessages:CreateControlChannel
    ssmmessages:CreateDataChannel ssmmessages:OpenControlChannel ssmmessages:OpenDataChannel
    ec2messages:AcknowledgeMessage ec2messages:DeleteMessage ec2messages:FailMessage ec2messages:GetEndpoint
    ec2messages:GetMessages ec2messages:SendReply
"""
"""AWS managed policy reference, AmazonSSMManagedInstanceCore, version v2."""


def test_a_managed_policy_of_aws_is_whole(lab: Lab) -> None:
    """It allows all that AWS's own text does, each on everything, and so lets a role read any parameter."""
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    policy = lab.iam.get_policy(PolicyArn=arn)["Policy"]
    assert policy["DefaultVersionId"] == "v2"
    text = lab.iam.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"]
    assert sorted(a for s in text["Statement"] for a in s["Action"]) == sorted(SSM_CORE.split())
    assert {(s["Effect"], s["Resource"]) for s in text["Statement"]} == {("Allow", "*")}
    role(lab)
    lab.iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    _, client = node(lab, "ssm")
    lab.server.client("ssm").put_parameter(Name="/any/secret", Value="x", Type="SecureString")
    assert client.get_parameter(Name="/any/secret", WithDecryption=True)["Parameter"]["Value"] == "x"
    with refused("AccessDeniedException"):
        client.get_parameters_by_path(Path="/any")


def test_credentials_stay_until_shortly_before_they_expire(lab: Lab) -> None:
    """The metadata service can ask as often as it likes; without a profile there are none."""
    role(lab)
    instance, _ = node(lab)
    one = credentials(lab, instance)
    assert one == credentials(lab, instance)
    assert one.document()["AccessKeyId"] == one.access_key_id
    assert lab.cloud.credentials(lab.run()) is None


@pytest.mark.parametrize("wrong", ["key", "secret", "token"])
def test_forged_credentials_are_refused(lab: Lab, wrong: str) -> None:
    """Signature, token and key are checked: AuthFailure from EC2."""
    role(lab, {"Effect": "Allow", "Action": "*", "Resource": "*"})
    keys = credentials(lab, node(lab)[0])
    given = {"key": keys.access_key_id, "secret": keys.secret_access_key, "token": keys.token}
    lab.server.client("ec2", **given).describe_vpcs()
    given[wrong] = "ASIA" + given[wrong][::-1]
    with refused("AuthFailure"):
        lab.server.client("ec2", **given).describe_vpcs()


def test_credentials_die_with_their_instance(lab: Lab) -> None:
    """After termination they are refused, in each service's own words."""
    role(lab, {"Effect": "Allow", "Action": "*", "Resource": "*"})
    instance, client = node(lab)
    keys = credentials(lab, instance)
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance()
    with refused("AuthFailure"):
        client.describe_vpcs()
    with refused("InvalidClientTokenId"):
        lab.server.client("sts", keys.access_key_id, keys.secret_access_key, keys.token).get_caller_identity()
    assert lab.cloud.credentials(instance) is None


def test_a_role_in_use_cannot_be_deleted(lab: Lab) -> None:
    """DeleteConflict in the order AWS wants; removing what is not there is NoSuchEntity."""
    role(lab)
    with refused("DeleteConflict"):
        lab.iam.delete_role(RoleName="r")
    with refused("DeleteConflict"):
        lab.iam.delete_instance_profile(InstanceProfileName="p")
    lab.iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    with refused("NoSuchEntity"):
        lab.iam.remove_role_from_instance_profile(InstanceProfileName="p", RoleName="r")
    lab.iam.delete_instance_profile(InstanceProfileName="p")
    lab.iam.delete_role_policy(RoleName="r", PolicyName="x")
    lab.iam.delete_role(RoleName="r")
