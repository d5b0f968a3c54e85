from __future__ import annotations

from dataclasses import replace

from evernat.lab.profile import NONE
from evernat.lab.world import World
from tests.lab_cloud.support import Lab, Server, make_lab, refused


def public_of(world: World, instance: str) -> dict[str, str]:
    return {
        p: a for e in world.enis if e.attachment and e.attachment.instance_id == instance for p, a in e.public
    }


def test_the_first_elastic_ip_ends_in_seven(lab: Lab) -> None:
    """Addresses come from 203.0.113.0/24, .7 first, and never twice."""
    assert [lab.eip()[1] for _ in range(3)] == ["203.0.113.7", "203.0.113.8", "203.0.113.9"]


def test_associate_moves_by_default(lab: Lab) -> None:
    """The old interface no longer shows the address and the association id is a new one."""
    one, two = lab.eni(), lab.eni()
    allocation, public = lab.eip()
    first = lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=one)["AssociationId"]
    second = lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=two)["AssociationId"]
    assert first != second
    assert "Association" not in lab.interface(one)
    assert lab.interface(two)["Association"]["PublicIp"] == public


def test_compare_and_swap(lab: Lab) -> None:
    """AllowReassociation=false fails if somebody has it; an association id can be dissociated once."""
    one, two = lab.eni(), lab.eni()
    allocation, _ = lab.eip()
    lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=one, AllowReassociation=False)
    with refused("Resource.AlreadyAssociated"):
        lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=two, AllowReassociation=False)
    association = lab.interface(one)["Association"]["AssociationId"]
    lab.ec2.disassociate_address(AssociationId=association)
    with refused("InvalidAssociationID.NotFound"):
        lab.ec2.disassociate_address(AssociationId=association)
    lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=two, AllowReassociation=False)


def test_an_elastic_ip_goes_to_the_private_address_named(lab: Lab) -> None:
    """PrivateIpAddress is honoured, and refused when the interface does not have it."""
    eni = lab.eni(PrivateIpAddresses=[{"PrivateIpAddress": "10.0.0.90", "Primary": True},
                                      {"PrivateIpAddress": "10.0.0.91", "Primary": False}])  # fmt: skip
    allocation, public = lab.eip()
    lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni, PrivateIpAddress="10.0.0.91")
    shown = lab.interface(eni)
    assert "Association" not in shown
    assert shown["PrivateIpAddresses"][1]["Association"]["PublicIp"] == public
    with refused("InvalidParameterValue"):
        lab.ec2.associate_address(
            AllocationId=allocation, NetworkInterfaceId=eni, PrivateIpAddress="10.0.0.92"
        )


def test_an_instance_with_several_interfaces_needs_one_named(lab: Lab) -> None:
    """The InstanceId form works with a single interface."""
    instance = lab.run()
    lab.attach(lab.eni(), instance)
    with refused("InvalidInstanceID"):
        lab.ec2.associate_address(AllocationId=lab.eip()[0], InstanceId=instance)


def test_an_associated_address_cannot_be_released(lab: Lab) -> None:
    """ReleaseAddress answers InvalidIPAddress.InUse; released, its id is unknown."""
    allocation, _ = lab.eip()
    association = lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=lab.eni())[
        "AssociationId"
    ]
    with refused("InvalidIPAddress.InUse"):
        lab.ec2.release_address(AllocationId=allocation)
    lab.ec2.disassociate_address(AssociationId=association)
    lab.ec2.release_address(AllocationId=allocation)
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.describe_addresses(AllocationIds=[allocation])


def test_no_gateway_no_elastic_ip(lab: Lab) -> None:
    """A network without an internet gateway answers Gateway.NotAttached."""
    lab.ec2.detach_internet_gateway(InternetGatewayId=lab.gateway, VpcId=lab.vpc)
    with refused("Gateway.NotAttached"):
        lab.ec2.associate_address(AllocationId=lab.eip()[0], NetworkInterfaceId=lab.eni())


def test_auto_assigned_address_follows_the_launch(lab: Lab) -> None:
    """AssociatePublicIpAddress and the subnet's MapPublicIpOnLaunch give one, else there is none."""
    plain = lab.run()
    assert "PublicIpAddress" not in lab.instance(plain)
    asked = lab.run(
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": lab.public, "AssociatePublicIpAddress": True}]
    )
    assert lab.instance(asked)["PublicIpAddress"].startswith("192.0.2.")
    lab.ec2.modify_subnet_attribute(SubnetId=lab.public, MapPublicIpOnLaunch={"Value": True})
    mapped = lab.run()
    assert next(iter(public_of(lab.cloud.world(), mapped).values())).startswith("192.0.2.")


def test_an_elastic_ip_takes_the_place_of_the_auto_assigned_one(lab: Lab) -> None:
    """On the primary address of the primary interface; dissociated, a new one is assigned."""
    instance = lab.run(
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": lab.public, "AssociatePublicIpAddress": True}]
    )
    before = lab.instance(instance)["PublicIpAddress"]
    allocation, public = lab.eip()
    association = lab.ec2.associate_address(AllocationId=allocation, InstanceId=instance)["AssociationId"]
    assert list(public_of(lab.cloud.world(), instance).values()) == [public]
    lab.ec2.disassociate_address(AssociationId=association)
    after = lab.instance(instance)["PublicIpAddress"]
    assert after.startswith("192.0.2.")
    assert after != before


def test_with_two_interfaces_no_new_address_is_assigned(lab: Lab) -> None:
    """AWS assigns one again only while the instance has a single interface."""
    instance = lab.run(
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": lab.public, "AssociatePublicIpAddress": True}]
    )
    nic = lab.instance(instance)["NetworkInterfaces"][0]["NetworkInterfaceId"]
    lab.attach(lab.eni(), instance)
    association = lab.ec2.associate_address(AllocationId=lab.eip()[0], NetworkInterfaceId=nic)[
        "AssociationId"
    ]
    lab.ec2.disassociate_address(AssociationId=association)
    assert "PublicIpAddress" not in lab.instance(instance)


def with_secondary(lab: Lab) -> tuple[str, str, list[str]]:
    """An instance with an auto-assigned address and a secondary private one: its id, interface, private addresses."""
    interface = {
        "DeviceIndex": 0,
        "SubnetId": lab.public,
        "AssociatePublicIpAddress": True,
        "SecondaryPrivateIpAddressCount": 1,
    }
    instance = lab.run(NetworkInterfaces=[interface])
    card = lab.instance(instance)["NetworkInterfaces"][0]
    return (
        instance,
        card["NetworkInterfaceId"],
        [a["PrivateIpAddress"] for a in card["PrivateIpAddresses"]],
    )


def test_an_elastic_ip_on_a_secondary_address_takes_nothings_place(lab: Lab) -> None:
    """It comes and goes beside the auto-assigned one; nothing is assigned to the address that it leaves."""
    instance, nic, (primary, secondary) = with_secondary(lab)
    auto = lab.instance(instance)["PublicIpAddress"]
    allocation, public = lab.eip()
    association = lab.ec2.associate_address(
        AllocationId=allocation, NetworkInterfaceId=nic, PrivateIpAddress=secondary
    )["AssociationId"]
    assert public_of(lab.cloud.world(), instance) == {primary: auto, secondary: public}
    lab.ec2.disassociate_address(AssociationId=association)
    assert public_of(lab.cloud.world(), instance) == {primary: auto}
    assert lab.instance(instance)["PublicIpAddress"] == auto


def test_no_new_address_while_a_secondary_one_has_an_elastic_ip(lab: Lab) -> None:
    """The primary address gets none when its Elastic IP goes, nor when the secondary one's goes after it."""
    instance, nic, private = with_secondary(lab)
    associations = [
        lab.ec2.associate_address(AllocationId=lab.eip()[0], NetworkInterfaceId=nic, PrivateIpAddress=a)[
            "AssociationId"
        ]
        for a in private
    ]
    for association in associations:
        lab.ec2.disassociate_address(AssociationId=association)
        assert "PublicIpAddress" not in lab.instance(instance)


def test_an_elastic_ip_on_a_second_interface_leaves_the_first_alone(lab: Lab) -> None:
    """The instance keeps its auto-assigned address, and with it its way to the API."""
    instance, eni = (
        lab.run(
            NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": lab.public, "AssociatePublicIpAddress": True}]
        ),
        lab.eni(),
    )
    lab.attach(eni, instance)
    lab.ec2.associate_address(AllocationId=lab.eip()[0], NetworkInterfaceId=eni)
    assert sorted(a.rsplit(".", 1)[0] for a in public_of(lab.cloud.world(), instance).values()) == [
        "192.0.2",
        "203.0.113",
    ]


def test_packets_follow_an_association_later(server: Server) -> None:
    """The API answers at once, the world shows the address when the profile's time is up."""
    lab = make_lab(server, replace(NONE, public_address=3.0))
    eni, (allocation, public) = lab.eni(), lab.eip()
    lab.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=eni)
    assert lab.interface(eni)["Association"]["PublicIp"] == public
    assert next(e for e in lab.cloud.world().enis if e.id == eni).public == ()
    lab.advance(3.1)
    assert next(e for e in lab.cloud.world().enis if e.id == eni).public[0][1] == public
