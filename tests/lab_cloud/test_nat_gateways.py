from __future__ import annotations

from tests.lab_cloud.support import Lab, refused


def test_a_nat_gateway_holds_its_elastic_ip(lab: Lab) -> None:
    """A second gateway cannot have it, nobody can take it away or release it, its interface cannot be deleted."""
    allocation, public = lab.eip()
    made = lab.ec2.create_nat_gateway(SubnetId=lab.public, AllocationId=allocation)["NatGateway"]
    assert made["State"] == "pending"
    lab.advance()
    shown = lab.ec2.describe_nat_gateways(NatGatewayIds=[made["NatGatewayId"]])["NatGateways"][0]
    address = shown["NatGatewayAddresses"][0]
    assert (shown["State"], address["PublicIp"]) == ("available", public)
    with refused("Resource.AlreadyAssociated"):
        lab.ec2.create_nat_gateway(SubnetId=lab.public, AllocationId=allocation)
    with refused("OperationNotPermitted"):
        lab.ec2.disassociate_address(AssociationId=address["AssociationId"])
    with refused("InvalidIPAddress.InUse"):
        lab.ec2.release_address(AllocationId=allocation)
    with refused("OperationNotPermitted"):
        lab.ec2.delete_network_interface(NetworkInterfaceId=address["NetworkInterfaceId"])
    with refused("DependencyViolation"):
        lab.ec2.delete_subnet(SubnetId=lab.public)


def test_a_deleted_nat_gateway_is_remembered_and_holds_nothing(lab: Lab) -> None:
    """It shows as deleted; its interface is gone and its Elastic IP free."""
    allocation, _ = lab.eip()
    nat = lab.ec2.create_nat_gateway(SubnetId=lab.public, AllocationId=allocation)["NatGateway"][
        "NatGatewayId"
    ]
    lab.advance()
    lab.ec2.delete_nat_gateway(NatGatewayId=nat)
    lab.advance()
    assert lab.ec2.describe_nat_gateways(NatGatewayIds=[nat])["NatGateways"][0]["State"] == "deleted"
    assert lab.ec2.describe_network_interfaces()["NetworkInterfaces"] == []
    lab.ec2.release_address(AllocationId=allocation)
    with refused("NatGatewayNotFound"):
        lab.ec2.delete_nat_gateway(NatGatewayId=nat)


def test_a_public_nat_gateway_needs_an_address(lab: Lab) -> None:
    """Without AllocationId it is a MissingParameter, with an unknown one an InvalidAllocationID.NotFound."""
    with refused("MissingParameter"):
        lab.ec2.create_nat_gateway(SubnetId=lab.public)
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.create_nat_gateway(SubnetId=lab.public, AllocationId="eipalloc-00000000000000000")
