"""Everything that a default route can lead to: made, taken away, and as AWS's calls name it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernat.lab.cloud.state import Region

CORE = "arn:aws:networkmanager::123456789012:core-network/core-network-0a1b2c3d4e5f60718"
ODB = "arn:aws:odb:us-west-2:123456789012:odb-network/odbnet_0a1b2c3d4e"


@dataclass
class Place:
    """A VPC with a subnet, and the way to make things there."""

    ec2: Any
    region: Region
    vpc: str
    subnet: str
    settle: Callable[[], None]


@dataclass(frozen=True)
class Kind:
    """A kind of target. `field` names it in CreateRoute and ReplaceRoute, `shown` in DescribeRouteTables."""

    field: str
    shown: str
    missing: str
    """The error code when there is none."""
    make: Callable[[Place], str]
    end: Callable[[Place, str], object]
    asked: bool = True
    """Whether EC2 can be asked if it is there."""


def _nat(place: Place) -> str:
    address = place.ec2.allocate_address(Domain="vpc")["AllocationId"]
    made = place.ec2.create_nat_gateway(SubnetId=place.subnet, AllocationId=address)["NatGateway"]
    place.settle()
    return str(made["NatGatewayId"])


def _end_nat(place: Place, identifier: str) -> None:
    place.ec2.delete_nat_gateway(NatGatewayId=identifier)
    place.settle()


def _interface(place: Place) -> str:
    """Of an instance, as that of somebody's NAT instance."""
    image = place.ec2.describe_images()["Images"][0]["ImageId"]
    made = place.ec2.run_instances(
        ImageId=image, InstanceType="t4g.nano", MinCount=1, MaxCount=1, SubnetId=place.subnet
    )
    place.settle()
    return str(made["Instances"][0]["NetworkInterfaces"][0]["NetworkInterfaceId"])


def _end_interface(place: Place, identifier: str) -> None:
    (found,) = place.ec2.describe_network_interfaces(NetworkInterfaceIds=[identifier])["NetworkInterfaces"]
    place.ec2.terminate_instances(InstanceIds=[found["Attachment"]["InstanceId"]])
    place.settle()


def _endpoint(place: Place) -> str:
    made = place.ec2.create_vpc_endpoint(
        VpcEndpointType="GatewayLoadBalancer",
        ServiceName="com.amazonaws.vpce.us-west-2.vpce-svc-0a1b2c3d4e5f60718",
        VpcId=place.vpc,
        SubnetIds=[place.subnet],
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def _transit(place: Place) -> str:
    gateway = place.ec2.create_transit_gateway()["TransitGateway"]["TransitGatewayId"]
    place.ec2.create_transit_gateway_vpc_attachment(
        TransitGatewayId=gateway, VpcId=place.vpc, SubnetIds=[place.subnet]
    )
    return str(gateway)


def _detach_transit(place: Place, identifier: str) -> None:
    mine = [{"Name": "transit-gateway-id", "Values": [identifier]}]
    (found,) = place.ec2.describe_transit_gateway_vpc_attachments(Filters=mine)[
        "TransitGatewayVpcAttachments"
    ]
    place.ec2.delete_transit_gateway_vpc_attachment(
        TransitGatewayAttachmentId=found["TransitGatewayAttachmentId"]
    )


def _peering(place: Place) -> str:
    other = place.ec2.create_vpc(CidrBlock="10.99.0.0/16")["Vpc"]["VpcId"]
    made = place.ec2.create_vpc_peering_connection(VpcId=place.vpc, PeerVpcId=other)
    identifier = made["VpcPeeringConnection"]["VpcPeeringConnectionId"]
    place.ec2.accept_vpc_peering_connection(VpcPeeringConnectionId=identifier)
    return str(identifier)


def _carrier(place: Place) -> str:
    return str(place.ec2.create_carrier_gateway(VpcId=place.vpc)["CarrierGateway"]["CarrierGatewayId"])


def _private(place: Place) -> str:
    gateway = place.ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    place.ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=place.vpc)
    return str(gateway)


def _elsewhere(identifier: str) -> tuple[Callable[[Place], str], Callable[[Place, str], object]]:
    def make(place: Place) -> str:
        place.region.elsewhere[identifier] = place.vpc
        return identifier

    return make, lambda place, gone: place.region.elsewhere.pop(gone)


KINDS: dict[str, Kind] = {
    "nat gateway": Kind("NatGatewayId", "NatGatewayId", "InvalidNatGatewayID.NotFound", _nat, _end_nat),
    "interface": Kind(
        "NetworkInterfaceId",
        "NetworkInterfaceId",
        "InvalidNetworkInterfaceID.NotFound",
        _interface,
        _end_interface,
    ),
    "endpoint": Kind(
        "VpcEndpointId",
        "GatewayId",
        "InvalidVpcEndpointId.NotFound",
        _endpoint,
        lambda place, gone: place.ec2.delete_vpc_endpoints(VpcEndpointIds=[gone]),
    ),
    "transit gateway": Kind(
        "TransitGatewayId",
        "TransitGatewayId",
        "InvalidTransitGatewayID.NotFound",
        _transit,
        _detach_transit,
    ),
    "peering": Kind(
        "VpcPeeringConnectionId",
        "VpcPeeringConnectionId",
        "InvalidVpcPeeringConnectionID.NotFound",
        _peering,
        lambda place, gone: place.ec2.delete_vpc_peering_connection(VpcPeeringConnectionId=gone),
    ),
    "carrier gateway": Kind(
        "CarrierGatewayId",
        "CarrierGatewayId",
        "InvalidCarrierGatewayID.NotFound",
        _carrier,
        lambda place, gone: place.ec2.delete_carrier_gateway(CarrierGatewayId=gone),
    ),
    "private gateway": Kind(
        "GatewayId",
        "GatewayId",
        "InvalidGatewayID.NotFound",
        _private,
        lambda place, gone: place.ec2.detach_vpn_gateway(VpnGatewayId=gone, VpcId=place.vpc),
    ),
    "local gateway": Kind(
        "LocalGatewayId",
        "LocalGatewayId",
        "InvalidLocalGatewayID.NotFound",
        *_elsewhere("lgw-0a1b2c3d4e5f60718"),
    ),
    "core network": Kind(
        "CoreNetworkArn", "CoreNetworkArn", "InvalidCoreNetworkArn.NotFound", *_elsewhere(CORE), asked=False
    ),
    "odb network": Kind(
        "OdbNetworkArn", "OdbNetworkArn", "InvalidOdbNetworkArn.NotFound", *_elsewhere(ODB), asked=False
    ),
}
