"""The article's network, made by API calls as anybody would make it."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evernat.lab.cloud.ec2_run import HOST_TAG
from evernat.lab.cloud.images import IMAGES

VPC = "172.18.0.0/16"
PRIVATE = ("172.18.64.0/20", "172.18.80.0/20", "172.18.96.0/20")
PUBLIC = ("172.18.128.0/20", "172.18.144.0/20", "172.18.160.0/20")
CLIENTS = ("172.18.64.10", "172.18.80.10", "172.18.96.10")


@dataclass(frozen=True)
class Network:
    """Ids of the article's network. Tuples are in the order of the zones a, b, c."""

    vpc_id: str
    internet_gateway_id: str
    private_subnet_ids: tuple[str, ...]
    public_subnet_ids: tuple[str, ...]
    private_route_table_ids: tuple[str, ...]
    public_route_table_id: str
    client_group_id: str
    client_instance_ids: tuple[str, ...]
    private_cidrs: tuple[str, ...] = PRIVATE
    public_cidrs: tuple[str, ...] = PUBLIC


def build_network(client_factory: Callable[[str], Any], region: str = "us-west-2") -> Network:
    """Make it: VPC, three private and three public subnets, gateway, route tables, three clients.

    `client_factory("ec2")` gives a boto3 client. The private route tables have no default route.
    """
    ec2 = client_factory("ec2")
    vpc = ec2.create_vpc(CidrBlock=VPC, TagSpecifications=_named("vpc", "lab"))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    gateway = ec2.create_internet_gateway(TagSpecifications=_named("internet-gateway", "lab"))
    gateway_id = gateway["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc)
    private = tuple(_subnets(ec2, vpc, region, "private", PRIVATE))
    public = tuple(_subnets(ec2, vpc, region, "public", PUBLIC))
    tables = tuple(_table(ec2, vpc, f"private-{z}", [s]) for z, s in zip("abc", private, strict=True))
    public_table = _table(ec2, vpc, "public", list(public))
    ec2.create_route(RouteTableId=public_table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    group = _open_group(ec2, vpc)
    clients = tuple(
        _client(ec2, f"client-{z}", subnet, address, group)
        for z, subnet, address in zip("abc", private, CLIENTS, strict=True)
    )
    return Network(vpc, gateway_id, private, public, tables, public_table, group, clients)


def _named(kind: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def _subnets(ec2: Any, vpc: str, region: str, kind: str, cidrs: tuple[str, ...]) -> list[str]:
    return [
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=cidr,
            AvailabilityZone=f"{region}{zone}",
            TagSpecifications=_named("subnet", f"{kind}-{zone}"),
        )["Subnet"]["SubnetId"]
        for zone, cidr in zip(string.ascii_lowercase, cidrs, strict=False)
    ]


def _table(ec2: Any, vpc: str, name: str, subnets: list[str]) -> str:
    made = ec2.create_route_table(VpcId=vpc, TagSpecifications=_named("route-table", name))
    table_id = str(made["RouteTable"]["RouteTableId"])
    for subnet in subnets:
        ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet)
    return table_id


def _open_group(ec2: Any, vpc: str) -> str:
    """A group that admits everything: the clients are there to be talked to."""
    group = str(
        ec2.create_security_group(
            GroupName="lab-clients",
            Description="Everything in and out",
            VpcId=vpc,
            TagSpecifications=_named("security-group", "lab-clients"),
        )["GroupId"]
    )
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everything)
    return group


def _client(ec2: Any, name: str, subnet: str, address: str, group: str) -> str:
    tags = [{"Key": "Name", "Value": name}, {"Key": HOST_TAG, "Value": name}]
    made = ec2.run_instances(
        ImageId=IMAGES[0].id,
        InstanceType="t4g.nano",
        MinCount=1,
        MaxCount=1,
        SubnetId=subnet,
        PrivateIpAddress=address,
        SecurityGroupIds=[group],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    return str(made["Instances"][0]["InstanceId"])
