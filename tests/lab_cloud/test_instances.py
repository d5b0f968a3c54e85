from __future__ import annotations

import base64
from dataclasses import replace

from evernat.lab.profile import NONE
from evernat.lab.world import Instance, World
from tests.lab_cloud.support import ARM, X86, Lab, Server, make_lab, refused


def seen(lab: Lab) -> list[World]:
    """Every world published from now on."""
    worlds: list[World] = []
    lab.cloud.subscribe(worlds.append)
    return worlds


def in_world(lab: Lab, instance: str) -> Instance:
    return next(i for i in lab.cloud.world().instances if i.id == instance)


def test_states_come_one_after_the_other(lab: Lab) -> None:
    """pending, running, stopping, stopped, pending, running, shutting-down, terminated; the world sees each."""
    worlds = seen(lab)
    instance = lab.run(settle=False)
    lab.advance()
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.advance()
    lab.ec2.start_instances(InstanceIds=[instance])
    lab.advance()
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance()
    states = [next((i.state for i in w.instances if i.id == instance), "gone") for w in worlds]
    assert list(dict.fromkeys(states)) == [
        "pending",
        "running",
        "stopping",
        "stopped",
        "shutting-down",
        "gone",
    ]
    boots = [next((i.boots for i in w.instances if i.id == instance), 0) for w in worlds]
    assert max(boots) == 2, "a start is a new boot"


def test_the_world_is_told_before_the_answer(lab: Lab) -> None:
    """When RunInstances has answered, the subscribers have seen the instance."""
    worlds = seen(lab)
    instance = lab.run(settle=False)
    assert [i.id for i in worlds[-1].instances] == [instance]
    generation = worlds[-1].generation
    lab.ec2.describe_instances()
    lab.advance()
    assert lab.cloud.world().generation == generation + 1, "only pending -> running has changed since"


def test_power_follows_state_and_plug(lab: Lab) -> None:
    """A machine is on from running until stopped; a pulled plug turns it off while the API says running."""
    instance = lab.run(settle=False)
    assert not in_world(lab, instance).powered
    lab.advance()
    assert in_world(lab, instance).powered
    lab.cloud.pull_plug(instance)
    assert (in_world(lab, instance).state, in_world(lab, instance).powered) == ("running", False)
    status = lab.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"][0]
    assert status["InstanceStatus"]["Status"] == "ok"
    lab.advance(1.1)
    status = lab.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"][0]
    assert status["InstanceStatus"]["Status"] == "impaired"


def test_a_short_cut_does_not_fail_the_status_check(lab: Lab) -> None:
    """Mended before the check, the machine stays healthy; cut for longer it is impaired, and mended it recovers."""
    instance = lab.run()
    lab.cloud.cut_network(instance)
    assert not in_world(lab, instance).connected
    lab.advance(0.5)
    lab.cloud.mend_network(instance)
    lab.advance(2)

    def healthy() -> bool:
        shown = lab.ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"][0]
        return bool(shown["InstanceStatus"]["Status"] == "ok")

    assert healthy()
    lab.cloud.cut_network(instance)
    lab.advance(2)
    assert not healthy()
    lab.cloud.mend_network(instance)
    lab.advance(2)
    assert healthy()


def test_reboots_count(lab: Lab) -> None:
    """By the API and by the guest itself; addresses stay."""
    instance = lab.run()
    address = in_world(lab, instance).private_address
    lab.ec2.reboot_instances(InstanceIds=[instance])
    lab.cloud.guest_reboot(instance)
    assert (in_world(lab, instance).boots, in_world(lab, instance).private_address) == (3, address)


def test_the_guest_powers_itself_off(lab: Lab) -> None:
    """InstanceInitiatedShutdownBehavior decides between stopped and terminated; spot is always terminated."""
    stops = lab.run()
    ends = lab.run(InstanceInitiatedShutdownBehavior="terminate")
    spot = lab.run(InstanceMarketOptions={"MarketType": "spot"})
    for instance in (stops, ends, spot):
        lab.cloud.guest_shutdown(instance)
    lab.advance()
    assert [lab.instance(i)["State"]["Name"] for i in (stops, ends, spot)] == [
        "stopped",
        "terminated",
        "terminated",
    ]


def test_a_spot_instance_cannot_be_stopped(lab: Lab) -> None:
    """StopInstances of a one-time spot instance is an UnsupportedOperation."""
    instance = lab.run(InstanceMarketOptions={"MarketType": "spot"})
    assert lab.instance(instance)["InstanceLifecycle"] == "spot"
    with refused("UnsupportedOperation"):
        lab.ec2.stop_instances(InstanceIds=[instance])


def test_wrong_states_are_refused(lab: Lab) -> None:
    """Starting or stopping what is terminated: IncorrectInstanceState; terminating it again succeeds."""
    instance = lab.run()
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance()
    with refused("IncorrectInstanceState"):
        lab.ec2.start_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        lab.ec2.stop_instances(InstanceIds=[instance])
    lab.ec2.terminate_instances(InstanceIds=[instance])
    with refused("InvalidInstanceID.NotFound"):
        lab.ec2.terminate_instances(InstanceIds=["i-00000000000000000"])
    with refused("InvalidInstanceID.Malformed"):
        lab.ec2.describe_instances(InstanceIds=["nonsense"])


def test_the_template_applies_and_parameters_override_it(lab: Lab) -> None:
    """Profile, metadata options, interfaces, user data and tags of a template's version reach the instance."""
    lab.iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")
    lab.iam.create_instance_profile(InstanceProfileName="p")
    lab.iam.add_role_to_instance_profile(InstanceProfileName="p", RoleName="r")
    data = {
        "ImageId": "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64",
        "InstanceType": "t4g.nano",
        "IamInstanceProfile": {"Name": "p"},
        "MetadataOptions": {
            "HttpTokens": "required",
            "InstanceMetadataTags": "enabled",
            "HttpPutResponseHopLimit": 3,
        },
        "NetworkInterfaces": [{"DeviceIndex": 0, "SubnetId": lab.public, "AssociatePublicIpAddress": True}],
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "t"}, {"Key": "b", "Value": "t"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "v", "Value": "t"}]},
        ],
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 9, "Encrypted": True, "VolumeType": "gp3"}}
        ],
        "CreditSpecification": {"CpuCredits": "standard"},
    }
    lab.ec2.create_launch_template(
        LaunchTemplateName="temp", LaunchTemplateData={**data, "UserData": _b64(b"one")}
    )
    lab.ec2.create_launch_template_version(
        LaunchTemplateName="temp", SourceVersion="1", LaunchTemplateData={"UserData": _b64(b"two")}
    )
    made = lab.ec2.run_instances(
        LaunchTemplate={"LaunchTemplateName": "temp", "Version": "$Latest"},
        InstanceType="t4g.micro",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "own"}]}],
    )["Instances"][0]["InstanceId"]
    lab.advance()
    shown, world = lab.instance(made), in_world(lab, made)
    assert (shown["ImageId"], shown["InstanceType"]) == (ARM, "t4g.micro")
    assert (world.user_data, world.role_name) == (b"two", "r")
    assert (world.tags_in_metadata, world.metadata_hop_limit) == (True, 3)
    assert shown["MetadataOptions"]["HttpTokens"] == "required"
    tags = dict(world.tags)
    assert (tags["a"], tags["b"], tags["aws:ec2launchtemplate:version"]) == ("t", "own", "2")
    volume = lab.ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [made]}])[
        "Volumes"
    ][0]
    assert (volume["Size"], volume["Encrypted"], volume["Tags"]) == (9, True, [{"Key": "v", "Value": "t"}])
    found = lab.ec2.describe_instance_credit_specifications(InstanceIds=[made])[
        "InstanceCreditSpecifications"
    ]
    assert found[0]["CpuCredits"] == "standard"


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_bad_launches_are_refused_and_leave_nothing(lab: Lab) -> None:
    """Each mistake has AWS's code and no instance, interface or volume remains."""
    base = {"ImageId": ARM, "InstanceType": "t4g.nano", "MinCount": 1, "MaxCount": 1, "SubnetId": lab.public}
    nics = [{"DeviceIndex": 0, "SubnetId": lab.public}]
    for code, wrong in (
        ("InvalidAMIID.NotFound", {"ImageId": "ami-00000000000000000"}),
        ("InvalidAMIID.Malformed", {"ImageId": "nonsense"}),
        ("InvalidParameterValue", {"InstanceType": "t9.nano"}),
        ("InvalidParameterValue", {"ImageId": X86}),
        ("InvalidParameterValue", {"UserData": "x" * 16385}),
        ("InvalidParameterValue", {"IamInstanceProfile": {"Name": "nobody"}}),
        ("InvalidKeyPair.NotFound", {"KeyName": "none"}),
        ("InvalidSubnetID.NotFound", {"SubnetId": "subnet-00000000000000000"}),
        ("InvalidGroup.NotFound", {"SecurityGroupIds": ["sg-00000000000000000"]}),
        ("InvalidParameterCombination", {"NetworkInterfaces": nics}),
        ("InvalidParameterValue", {"PrivateIpAddress": "10.9.9.9"}),
    ):
        with refused(code):
            lab.ec2.run_instances(**base | wrong)
    world = lab.cloud.world()
    assert (world.instances, world.enis) == ((), ())
    assert lab.ec2.describe_volumes()["Volumes"] == []


def test_user_data_may_have_16384_bytes(lab: Lab) -> None:
    """The limit counts bytes before base64."""
    lab.run(UserData="x" * 16384)


def test_a_client_token_launches_once(lab: Lab) -> None:
    """The same ClientToken gives the same instance."""
    assert lab.run(ClientToken="t") == lab.run(ClientToken="t")


def test_dry_run_changes_nothing(lab: Lab) -> None:
    """DryRun answers DryRunOperation."""
    with refused("DryRunOperation"):
        lab.run(DryRun=True)
    assert lab.cloud.world().instances == ()


def test_spot_notice_and_end(lab: Lab) -> None:
    """The notice is in the world for two minutes, then the instance is terminated."""
    instance = lab.run(InstanceMarketOptions={"MarketType": "spot"})
    lab.cloud.recommend_rebalance(instance)
    lab.cloud.interrupt_spot(instance)
    assert in_world(lab, instance).rebalance
    action = in_world(lab, instance).spot_action
    assert action is not None
    assert action[0] == "terminate"
    lab.advance(119)
    assert lab.instance(instance)["State"]["Name"] == "running"
    lab.advance(2)
    assert lab.instance(instance)["State"]["Name"] == "terminated"


def test_time_is_the_profiles(server: Server) -> None:
    """pending and shutting-down last as long as the profile says."""
    lab = make_lab(server, replace(NONE, pending=3.0, shutting_down=5.0))
    instance = lab.run()
    lab.advance(2.5)
    assert lab.instance(instance)["State"]["Name"] == "pending"
    lab.advance(1)
    assert lab.instance(instance)["State"]["Name"] == "running"
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance(4)
    assert in_world(lab, instance).powered, "it runs on while it shuts down"
    lab.advance(2)
    assert lab.instance(instance)["State"]["Name"] == "terminated"


def test_a_lab_host_is_known_by_its_tag(lab: Lab) -> None:
    """The tag lab:host at launch, or set_instance_host later."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "lab:host", "Value": "client-x"}]}]
    host, other = lab.run(TagSpecifications=tags), lab.run()
    lab.cloud.set_instance_host(other, "client-y")
    assert (in_world(lab, host).host, in_world(lab, other).host) == ("client-x", "client-y")


def test_images_have_the_architecture_of_their_parameters(lab: Lab) -> None:
    """The SSM parameters of Amazon Linux 2023 and Debian name images of the right architecture."""
    ssm = lab.server.client("ssm")
    prefix = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
    for name, arch in ((prefix + "arm64", "arm64"), (prefix + "x86_64", "x86_64"),
                       ("/aws/service/debian/release/13/latest/arm64", "arm64")):  # fmt: skip
        image = ssm.get_parameter(Name=name)["Parameter"]["Value"]
        found = lab.ec2.describe_images(ImageIds=[image])["Images"]
        assert (found[0]["Architecture"], found[0]["State"]) == (arch, "available")
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name="/nope")
    with refused("InvalidAMIID.NotFound"):
        lab.ec2.describe_images(ImageIds=["ami-00000000000000000"])


def test_instance_types_know_architecture_and_limits(lab: Lab) -> None:
    """DescribeInstanceTypes answers from real data; an unknown type is an InvalidInstanceType."""
    found = lab.ec2.describe_instance_types(InstanceTypes=["t4g.nano"])["InstanceTypes"][0]
    assert found["ProcessorInfo"]["SupportedArchitectures"] == ["arm64"]
    assert (
        found["NetworkInfo"]["MaximumNetworkInterfaces"],
        found["NetworkInfo"]["Ipv4AddressesPerInterface"],
    ) == (2, 2)
    with refused("InvalidInstanceType"):
        lab.ec2.describe_instance_types(InstanceTypes=["t9.nano"])


def test_instances_are_found_by_filter(lab: Lab) -> None:
    """By tag, state, address and name pattern."""
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    instance = lab.run(TagSpecifications=tags, PrivateIpAddress="10.0.0.99")
    lab.run()
    for name, value in (("tag:Name", "w*"), ("private-ip-address", "10.0.0.99")):
        wanted = [{"Name": name, "Values": [value]}, {"Name": "instance-state-name", "Values": ["running"]}]
        found = lab.ec2.describe_instances(Filters=wanted)["Reservations"]
        assert [i["InstanceId"] for r in found for i in r["Instances"]] == [instance]


def test_a_launch_that_fails_half_way_is_undone(lab: Lab) -> None:
    """The second interface cannot be attached: neither instance nor interfaces remain, kept ones included."""
    nics = [
        {"DeviceIndex": 0, "SubnetId": lab.public, "DeleteOnTermination": False},
        {"DeviceIndex": 1, "SubnetId": lab.other_zone},
    ]
    with refused("InvalidParameterCombination"):
        lab.run(NetworkInterfaces=nics)
    with refused("InvalidIPAddress.InUse"):
        lab.run(PrivateIpAddress="10.0.0.9", MaxCount=2)
    assert (lab.cloud.world().instances, lab.cloud.world().enis) == ((), ())


def test_only_what_is_made_can_be_tagged(lab: Lab) -> None:
    """A tag specification for another kind of resource is an InvalidParameterValue and nothing is made."""
    tags = [{"ResourceType": "vpc", "Tags": [{"Key": "k", "Value": "v"}]}]
    with refused("InvalidParameterValue"):
        lab.run(TagSpecifications=tags)
    with refused("InvalidParameterValue"):
        lab.eni(TagSpecifications=tags)
    assert lab.cloud.world().enis == ()


def test_tags_of_what_is_gone_are_gone(lab: Lab) -> None:
    """DescribeTags lists existing resources only, so that it can prove that nothing was left."""
    tags = [{"Key": "k", "Value": "v"}]
    subnet = lab.ec2.create_subnet(
        VpcId=lab.vpc, CidrBlock="10.0.9.0/24", TagSpecifications=[{"ResourceType": "subnet", "Tags": tags}]
    )["Subnet"]["SubnetId"]
    assert len(lab.ec2.describe_tags()["Tags"]) == 1
    lab.ec2.delete_subnet(SubnetId=subnet)
    assert lab.ec2.describe_tags()["Tags"] == []


def test_attributes_can_be_read_and_changed(lab: Lab) -> None:
    """Shutdown behaviour, termination protection, groups; the type only of a stopped instance."""
    instance = lab.run(UserData="#!/bin/sh")
    lab.ec2.modify_instance_attribute(
        InstanceId=instance, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    lab.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": True})
    with refused("OperationNotPermitted"):
        lab.ec2.terminate_instances(InstanceIds=[instance])
    with refused("IncorrectInstanceState"):
        lab.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t4g.micro"})
    found = lab.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    assert base64.b64decode(found["UserData"]["Value"]) == b"#!/bin/sh"
    other = lab.ec2.create_security_group(GroupName="o", Description="o", VpcId=lab.vpc)["GroupId"]
    lab.ec2.modify_instance_attribute(InstanceId=instance, Groups=[other])
    assert [g["GroupId"] for g in lab.instance(instance)["SecurityGroups"]] == [other]
    lab.ec2.stop_instances(InstanceIds=[instance])
    lab.advance()
    lab.ec2.modify_instance_attribute(InstanceId=instance, InstanceType={"Value": "t4g.micro"})
    assert lab.instance(instance)["InstanceType"] == "t4g.micro"


def test_metadata_options_can_be_changed(lab: Lab) -> None:
    """ModifyInstanceMetadataOptions reaches the world."""
    instance = lab.run()
    lab.ec2.modify_instance_metadata_options(
        InstanceId=instance, InstanceMetadataTags="enabled", HttpPutResponseHopLimit=5
    )
    assert (in_world(lab, instance).tags_in_metadata, in_world(lab, instance).metadata_hop_limit) == (True, 5)


def test_key_pairs_are_known(lab: Lab) -> None:
    """A key pair that was made can be named at launch."""
    lab.ec2.create_key_pair(KeyName="k")
    assert lab.instance(lab.run(KeyName="k"))["KeyName"] == "k"


def test_one_profile_per_instance(lab: Lab) -> None:
    """AssociateIamInstanceProfile gives a profile once; twice is an IncorrectState."""
    lab.iam.create_instance_profile(InstanceProfileName="p")
    instance = lab.run()
    lab.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "p"})
    with refused("IncorrectState"):
        lab.ec2.associate_iam_instance_profile(InstanceId=instance, IamInstanceProfile={"Name": "p"})
    found = lab.ec2.describe_iam_instance_profile_associations()["IamInstanceProfileAssociations"]
    assert [a["InstanceId"] for a in found] == [instance]
