from __future__ import annotations

import base64

from tests.lab_cloud.support import ARM, Lab, refused


def make(lab: Lab, name: str = "temp", **data: object) -> str:
    return str(
        lab.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"ImageId": ARM, **data})[
            "LaunchTemplate"
        ]["LaunchTemplateId"]
    )


def test_names_are_unique(lab: Lab) -> None:
    """A second one is an AlreadyExistsException."""
    make(lab)
    with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
        make(lab)


def test_versions_default_and_latest(lab: Lab) -> None:
    """$Latest is the highest number, $Default the chosen one; an unknown number is refused."""
    template = make(lab, InstanceType="t4g.nano")
    lab.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"InstanceType": "t4g.micro"}
    )

    def data(version: str) -> dict[str, object]:
        found = lab.ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=[version])
        return dict(found["LaunchTemplateVersions"][0]["LaunchTemplateData"])

    assert data("$Latest") == {"InstanceType": "t4g.micro"}, "nothing is taken over without SourceVersion"
    assert data("$Default")["InstanceType"] == "t4g.nano"
    lab.ec2.modify_launch_template(LaunchTemplateId=template, DefaultVersion="2")
    assert data("$Default")["InstanceType"] == "t4g.micro"
    with refused("InvalidLaunchTemplateId.VersionNotFound"):
        data("3")
    answer = lab.ec2.delete_launch_template_versions(LaunchTemplateId=template, Versions=["1", "2"])
    assert [v["VersionNumber"] for v in answer["SuccessfullyDeletedLaunchTemplateVersions"]] == [1]


def test_user_data_of_every_version_is_kept(lab: Lab) -> None:
    """moto crashes on that of a later version; more than 16,384 bytes are refused."""
    template = make(lab, UserData=base64.b64encode(b"one").decode())
    lab.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"UserData": base64.b64encode(b"two").decode()}
    )
    found = lab.ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert [base64.b64decode(v["LaunchTemplateData"]["UserData"]) for v in found] == [b"two", b"one"]
    with refused("InvalidParameterValue"):
        make(lab, "big", UserData=base64.b64encode(b"x" * 16385).decode())
    with refused("InvalidUserData.Malformed"):
        make(lab, "bad", UserData="%%%")


def test_what_was_written_is_read_back(lab: Lab) -> None:
    """A template's data survives unchanged, so drift can be seen."""
    data = {
        "ImageId": ARM,
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 8}}],
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": True, "Groups": [lab.group]}],
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        "CreditSpecification": {"CpuCredits": "standard"},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}],
        "IamInstanceProfile": {"Arn": "arn:aws:iam::123456789012:instance-profile/x"},
    }
    lab.ec2.create_launch_template(
        LaunchTemplateName="temp",
        LaunchTemplateData=data,
        TagSpecifications=[{"ResourceType": "launch-template", "Tags": [{"Key": "t", "Value": "1"}]}],
    )
    found = lab.ec2.describe_launch_template_versions(LaunchTemplateName="temp")["LaunchTemplateVersions"][0]
    assert found["LaunchTemplateData"] == data
    templates = lab.ec2.describe_launch_templates(Filters=[{"Name": "tag:t", "Values": ["1"]}])[
        "LaunchTemplates"
    ]
    assert [t["LaunchTemplateName"] for t in templates] == ["temp"]
    lab.ec2.delete_launch_template(LaunchTemplateName="temp")
    with refused("InvalidLaunchTemplateName.NotFoundException"):
        lab.ec2.describe_launch_template_versions(LaunchTemplateName="temp")
