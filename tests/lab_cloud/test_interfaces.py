from __future__ import annotations

from dataclasses import replace

from evernat.lab.profile import NONE
from tests.lab_cloud.support import Lab, Server, make_lab, refused


def test_an_attached_interface_cannot_be_attached_again(lab: Lab) -> None:
    """AWS answers InvalidNetworkInterface.InUse; moto attaches it twice."""
    first, second, eni = lab.run(), lab.run(), lab.eni()
    lab.attach(eni, first)
    with refused("InvalidNetworkInterface.InUse"):
        lab.attach(eni, second)
    assert lab.interface(eni)["Attachment"]["InstanceId"] == first


def test_an_interface_stays_in_its_zone(lab: Lab) -> None:
    """Attaching across zones is an InvalidParameterCombination."""
    with refused("InvalidParameterCombination"):
        lab.attach(lab.eni(SubnetId=lab.other_zone), lab.run())


def test_a_device_index_is_taken_once(lab: Lab) -> None:
    """An occupied device index is an InvalidParameterValue."""
    instance = lab.run(InstanceType="t4g.medium")
    lab.attach(lab.eni(), instance, 1)
    with refused("InvalidParameterValue"):
        lab.attach(lab.eni(), instance, 1)


def test_the_type_limits_the_interfaces(lab: Lab) -> None:
    """A t4g.nano has two interfaces."""
    instance = lab.run()
    lab.attach(lab.eni(), instance, 1)
    with refused("AttachmentLimitExceeded"):
        lab.attach(lab.eni(), instance, 2)


def test_the_type_limits_the_addresses(lab: Lab) -> None:
    """An interface of a t4g.nano has two addresses."""
    instance, eni = lab.run(), lab.eni(SecondaryPrivateIpAddressCount=2)
    with refused("PrivateIpAddressLimitExceeded"):
        lab.attach(eni, instance)


def test_only_running_and_stopped_instances_take_interfaces(server: Server) -> None:
    """A pending instance answers IncorrectState, an unknown one InvalidInstanceID.NotFound."""
    lab = make_lab(server, replace(NONE, pending=3.0))
    with refused("IncorrectState"):
        lab.attach(lab.eni(), lab.run())
    with refused("InvalidInstanceID.NotFound"):
        lab.attach(lab.eni(), "i-00000000000000000")


def test_detach_by_attachment_id(lab: Lab) -> None:
    """A detached interface is available; its old attachment id is unknown."""
    eni = lab.eni()
    attachment = lab.attach(eni, lab.run())
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    assert lab.interface(eni)["Status"] == "available"
    with refused("InvalidAttachmentID.NotFound"):
        lab.ec2.detach_network_interface(AttachmentId=attachment)


def test_the_primary_interface_stays(lab: Lab) -> None:
    """Device index 0 cannot be detached."""
    nic = lab.instance(lab.run())["NetworkInterfaces"][0]
    with refused("OperationNotPermitted"):
        lab.ec2.detach_network_interface(AttachmentId=nic["Attachment"]["AttachmentId"])


def test_an_interface_in_use_cannot_be_deleted(lab: Lab) -> None:
    """DeleteNetworkInterface of an attached interface is an InvalidParameterValue."""
    eni = lab.eni()
    lab.attach(eni, lab.run())
    with refused("InvalidParameterValue"):
        lab.ec2.delete_network_interface(NetworkInterfaceId=eni)


def test_a_persistent_interface_outlives_its_instance_with_a_delay(lab: Lab) -> None:
    """After termination it is in-use on the dead instance for a while, then available; its own one is deleted."""
    instance, eni = lab.run(), lab.eni()
    lab.attach(eni, instance)
    own = lab.instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance(0.1)
    assert lab.instance(instance)["State"]["Name"] == "terminated"
    assert lab.interface(eni)["Attachment"]["InstanceId"] == instance
    with refused("InvalidNetworkInterface.InUse"):
        lab.attach(eni, lab.run())
    lab.advance(0.4)
    assert lab.interface(eni)["Status"] == "available"
    with refused("InvalidNetworkInterfaceID.NotFound"):
        lab.interface(own)


def test_a_stuck_interface_lets_go_late_or_when_forced(lab: Lab) -> None:
    """With the fault it stays for its seconds; a plain detach leaves it detaching, Force frees it."""
    lab.cloud.faults.interface_release(60)
    instance, eni = lab.run(), lab.eni()
    attachment = lab.attach(eni, instance)
    lab.ec2.terminate_instances(InstanceIds=[instance])
    lab.advance(30)
    lab.ec2.detach_network_interface(AttachmentId=attachment)
    assert lab.interface(eni)["Attachment"]["Status"] == "detaching"
    lab.ec2.detach_network_interface(AttachmentId=attachment, Force=True)
    assert lab.interface(eni)["Status"] == "available"
    lab.attach(eni, lab.run())
    lab.advance(60)
    assert lab.interface(eni)["Status"] == "in-use", "the old timer must not take it from its new instance"


def test_private_addresses_must_be_free_and_inside(lab: Lab) -> None:
    """Outside the subnet or reserved: InvalidParameterValue; taken: InvalidIPAddress.InUse."""
    lab.eni(PrivateIpAddress="10.0.0.50")
    with refused("InvalidIPAddress.InUse"):
        lab.eni(PrivateIpAddress="10.0.0.50")
    for wrong in ("10.9.0.5", "10.0.0.1", "10.0.0.255"):
        with refused("InvalidParameterValue"):
            lab.eni(PrivateIpAddress=wrong)


def test_a_secondary_address_moves_with_its_elastic_ip(lab: Lab) -> None:
    """AssignPrivateIpAddresses with AllowReassignment moves both; without it the address is in use."""
    one, two = lab.eni(), lab.eni()
    lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=one, PrivateIpAddresses=["10.0.0.77"])
    allocation, public = lab.eip()
    lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=one, PrivateIpAddress="10.0.0.77")
    with refused("InvalidIPAddress.InUse"):
        lab.ec2.assign_private_ip_addresses(NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.77"])
    lab.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.77"], AllowReassignment=True
    )
    assert [a["PrivateIpAddress"] for a in lab.interface(one)["PrivateIpAddresses"]] != ["10.0.0.77"]
    moved = lab.interface(two)["PrivateIpAddresses"][1]
    assert (moved["PrivateIpAddress"], moved["Association"]["PublicIp"]) == ("10.0.0.77", public)


def test_primary_addresses_do_not_move(lab: Lab) -> None:
    """The primary private address belongs to its interface."""
    one, two = lab.eni(PrivateIpAddress="10.0.0.60"), lab.eni()
    with refused("InvalidParameterValue"):
        lab.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=two, PrivateIpAddresses=["10.0.0.60"], AllowReassignment=True
        )
    with refused("InvalidParameterValue"):
        lab.ec2.unassign_private_ip_addresses(NetworkInterfaceId=one, PrivateIpAddresses=["10.0.0.60"])


def test_source_dest_check_of_an_instance_is_that_of_its_interface(lab: Lab) -> None:
    """ModifyInstanceAttribute reaches the primary interface and is refused with several."""
    instance = lab.run()
    lab.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": False})
    nic = lab.instance(instance)["NetworkInterfaces"][0]
    assert lab.interface(nic["NetworkInterfaceId"])["SourceDestCheck"] is False
    lab.attach(lab.eni(), instance)
    with refused("InvalidInstanceID"):
        lab.ec2.modify_instance_attribute(InstanceId=instance, SourceDestCheck={"Value": True})


def test_interfaces_are_found_by_tag_and_description(lab: Lab) -> None:
    """Filters work on tags, descriptions and attachments; a filter nobody knows is refused."""
    eni = lab.eni(
        Description="evernat main",
        TagSpecifications=[
            {"ResourceType": "network-interface", "Tags": [{"Key": "evernat:stack", "Value": "m"}]}
        ],
    )
    lab.eni()
    for name, value in (
        ("tag:evernat:stack", "m"),
        ("description", "evernat*"),
        ("tag-key", "evernat:stack"),
    ):
        found = lab.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": [value]}])
        assert [i["NetworkInterfaceId"] for i in found["NetworkInterfaces"]] == [eni], name
    with refused("InvalidParameterValue"):
        lab.ec2.describe_network_interfaces(Filters=[{"Name": "no-such-filter", "Values": ["x"]}])


def test_a_client_token_makes_one_interface(lab: Lab) -> None:
    """CreateNetworkInterface is idempotent by ClientToken."""
    assert lab.eni(ClientToken="t1") == lab.eni(ClientToken="t1") != lab.eni(ClientToken="t2")
