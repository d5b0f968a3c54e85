"""What Terraform's AWS provider calls to create, refresh, change and delete the module's resources, in its order.

Written from what is known of the provider, not recorded from a run of it. Where it waits, one look is enough here.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.lab_cloud.support import Lab, refused

WHO = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
TRUST = json.dumps({"Version": "2012-10-17", "Statement": [WHO]})
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"}],
    }
)
EVERYTHING: list[Any] = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
TAGS = [{"Key": "Name", "Value": "nat-instance-main"}]


def tagged(kind: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": TAGS}]


def test_who_and_where(lab: Lab) -> None:
    """Before anything: the account, and for data sources the subnet."""
    identity = lab.server.client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
    lab.ec2.describe_account_attributes(AttributeNames=["supported-platforms"])
    (subnet,) = lab.ec2.describe_subnets(SubnetIds=[lab.public])["Subnets"]
    assert subnet["AvailabilityZone"] == "us-west-2a"


def test_a_security_group_and_its_rules(lab: Lab) -> None:
    """Made, emptied of AWS's own rule, filled, read, emptied, deleted."""
    ec2 = lab.ec2
    group = ec2.create_security_group(
        GroupName="main2026", Description="d", VpcId=lab.vpc, TagSpecifications=tagged("security-group")
    )["GroupId"]
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert (seen["Tags"], len(seen["IpPermissionsEgress"])) == (TAGS, 1)
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=EVERYTHING)
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=EVERYTHING)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=EVERYTHING)
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    ids = {rule["SecurityGroupRuleId"] for rule in rules["SecurityGroupRules"]}
    assert {rule["SecurityGroupRuleId"] for rule in made["SecurityGroupRules"]} < ids
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=EVERYTHING)
    ec2.describe_network_interfaces(Filters=[{"Name": "group-id", "Values": [group]}])
    ec2.delete_security_group(GroupId=group)
    with refused("InvalidGroup.NotFound"):
        ec2.describe_security_groups(GroupIds=[group])


def test_an_interface_an_address_and_a_route(lab: Lab) -> None:
    """The interface without the check, the address on it, the route to it; each read as the refresh does."""
    ec2 = lab.ec2
    eni = ec2.create_network_interface(
        SubnetId=lab.public,
        Groups=[lab.group],
        Description="d",
        ClientToken="t",
        TagSpecifications=tagged("network-interface"),
    )["NetworkInterface"]["NetworkInterfaceId"]
    ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])
    ec2.modify_network_interface_attribute(NetworkInterfaceId=eni, SourceDestCheck={"Value": False})
    assert lab.interface(eni)["SourceDestCheck"] is False
    address = ec2.allocate_address(Domain="vpc", TagSpecifications=tagged("elastic-ip"))["AllocationId"]
    ec2.describe_addresses(AllocationIds=[address])
    association = ec2.associate_address(
        AllocationId=address, NetworkInterfaceId=eni, AllowReassociation=False
    )
    by = [{"Name": "association-id", "Values": [association["AssociationId"]]}]
    assert ec2.describe_addresses(Filters=by)["Addresses"][0]["NetworkInterfaceId"] == eni
    named = ec2.describe_addresses_attribute(AllocationIds=[address], Attribute="domain-name")["Addresses"]
    assert [found["AllocationId"] for found in named] == [address]
    route = {"RouteTableId": lab.table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2.create_route(**route, NetworkInterfaceId=eni)
    # Nobody has the interface: a route to it is a route all the same.
    assert lab.routes(lab.table)["0.0.0.0/0"]["State"] == "blackhole"
    with refused("RouteAlreadyExists"):
        ec2.create_route(**route, NetworkInterfaceId=eni)
    ec2.delete_route(**route)
    ec2.disassociate_address(AssociationId=association["AssociationId"])
    ec2.release_address(AllocationId=address)
    ec2.delete_network_interface(NetworkInterfaceId=eni)
    with refused("InvalidNetworkInterfaceID.NotFound"):
        ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])


def test_a_role_with_policies_and_a_profile(lab: Lab) -> None:
    """Everything that a refresh reads of a role is there, and it is deleted piece by piece."""
    iam, role, profile = lab.iam, {"RoleName": "main2026"}, {"InstanceProfileName": "main2026"}
    iam.create_role(**role, AssumeRolePolicyDocument=TRUST, Path="/", Tags=TAGS, Description="d")
    assert iam.get_role(**role)["Role"]["Tags"] == TAGS
    iam.put_role_policy(**role, PolicyName="evernat-agent", PolicyDocument=POLICY)
    arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
    iam.attach_role_policy(**role, PolicyArn=arn)
    assert iam.list_role_policies(**role)["PolicyNames"] == ["evernat-agent"]
    assert iam.get_role_policy(**role, PolicyName="evernat-agent")["PolicyDocument"] == json.loads(POLICY)
    assert [p["PolicyArn"] for p in iam.list_attached_role_policies(**role)["AttachedPolicies"]] == [arn]
    iam.create_instance_profile(**profile, Path="/", Tags=TAGS)
    iam.add_role_to_instance_profile(**profile, **role)
    assert iam.get_instance_profile(**profile)["InstanceProfile"]["Roles"][0]["RoleName"] == "main2026"
    iam.update_assume_role_policy(**role, PolicyDocument=TRUST)
    iam.update_role(**role, Description="new")
    iam.tag_role(**role, Tags=TAGS)
    assert len(iam.list_instance_profiles_for_role(**role)["InstanceProfiles"]) == 1
    iam.remove_role_from_instance_profile(**profile, **role)
    iam.delete_instance_profile(**profile)
    iam.detach_role_policy(**role, PolicyArn=arn)
    iam.delete_role_policy(**role, PolicyName="evernat-agent")
    iam.delete_role(**role)
    with refused("NoSuchEntity"):
        iam.get_role(**role)


@pytest.mark.parametrize("kind", ["String", "SecureString"])
def test_a_parameter(lab: Lab, kind: str) -> None:
    """Made, read with its tags, changed, deleted."""
    ssm = lab.server.client("ssm")
    ssm.put_parameter(Name="/evernat/main/x", Type=kind, Value="one", Tags=TAGS, Description="d")
    assert ssm.get_parameter(Name="/evernat/main/x", WithDecryption=True)["Parameter"]["Value"] == "one"
    by = [{"Key": "Name", "Option": "Equals", "Values": ["/evernat/main/x"]}]
    assert ssm.describe_parameters(ParameterFilters=by)["Parameters"][0]["Description"] == "d"
    listed = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/evernat/main/x")
    assert listed["TagList"] == TAGS
    ssm.put_parameter(Name="/evernat/main/x", Type=kind, Value="two", Overwrite=True)
    ssm.delete_parameter(Name="/evernat/main/x")
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/evernat/main/x")


NAME = {"AutoScalingGroupName": "main2026"}


def template_data(lab: Lab) -> dict[str, Any]:
    return {
        "ImageId": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        "InstanceType": "t4g.nano",
        "UserData": base64.b64encode(b"#cloud-config\n").decode(),
        "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [lab.group], "AssociatePublicIpAddress": True}],
    }


def policy(template: str, version: str) -> dict[str, Any]:
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": version},
            "Overrides": [{"InstanceType": "t4g.nano"}],
        },
        "InstancesDistribution": {
            "OnDemandBaseCapacity": 0,
            "OnDemandPercentageAboveBaseCapacity": 0,
            "SpotAllocationStrategy": "price-capacity-optimized",
        },
    }


@pytest.fixture
def template(lab: Lab) -> str:
    """A template, made and read."""
    made = lab.ec2.create_launch_template(
        LaunchTemplateName="main2026",
        ClientToken="c",
        LaunchTemplateData=template_data(lab),
        TagSpecifications=tagged("launch-template"),
    )
    identifier = str(made["LaunchTemplate"]["LaunchTemplateId"])
    (seen,) = lab.ec2.describe_launch_templates(LaunchTemplateIds=[identifier])["LaunchTemplates"]
    assert (seen["LatestVersionNumber"], seen["Tags"]) == (1, TAGS)
    lab.ec2.describe_launch_template_versions(LaunchTemplateId=identifier, Versions=["1"])
    return identifier


def member(lab: Lab) -> dict[str, Any]:
    """The group's one instance."""
    (group,) = lab.asg.describe_auto_scaling_groups(AutoScalingGroupNames=["main2026"])["AutoScalingGroups"]
    return dict(group["Instances"][0])


def test_a_group_with_a_hook(lab: Lab, template: str) -> None:
    """Made empty, given the hook, grown; a new version of the template starts a refresh; emptied and deleted."""
    ec2, asg = lab.ec2, lab.asg
    asg.create_auto_scaling_group(
        **NAME,
        MinSize=0,
        MaxSize=0,
        DesiredCapacity=0,
        MixedInstancesPolicy=policy(template, "1"),
        NewInstancesProtectedFromScaleIn=False,
        VPCZoneIdentifier=lab.public,
    )
    hook = {"LifecycleHookName": "evernat-ready", "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING"}
    asg.put_lifecycle_hook(**NAME, **hook, HeartbeatTimeout=300, DefaultResult="ABANDON")
    asg.update_auto_scaling_group(**NAME, MinSize=1, MaxSize=1, DesiredCapacity=1)
    lab.advance(1)
    assert member(lab)["LifecycleState"] == "Pending:Wait"
    answer = {"LifecycleHookName": "evernat-ready", "LifecycleActionResult": "CONTINUE"}
    asg.complete_lifecycle_action(**NAME, **answer, InstanceId=member(lab)["InstanceId"])
    lab.advance(1)
    assert member(lab)["LifecycleState"] == "InService"
    asg.describe_scaling_activities(**NAME)
    ec2.create_launch_template_version(LaunchTemplateId=template, LaunchTemplateData=template_data(lab))
    asg.update_auto_scaling_group(**NAME, MixedInstancesPolicy=policy(template, "2"))
    preferences = {"MinHealthyPercentage": 0, "MaxHealthyPercentage": 100, "InstanceWarmup": 0}
    refresh = asg.start_instance_refresh(**NAME, Strategy="Rolling", Preferences=preferences)
    (seen,) = asg.describe_instance_refreshes(**NAME, InstanceRefreshIds=[refresh["InstanceRefreshId"]])[
        "InstanceRefreshes"
    ]
    assert seen["Status"] in ("Pending", "InProgress")
    asg.update_auto_scaling_group(**NAME, MinSize=0, MaxSize=0, DesiredCapacity=0)
    lab.advance(30)
    asg.delete_auto_scaling_group(**NAME, ForceDelete=True)
    lab.advance(30)
    assert asg.describe_auto_scaling_groups(AutoScalingGroupNames=["main2026"])["AutoScalingGroups"] == []
    ec2.delete_launch_template(LaunchTemplateId=template)
