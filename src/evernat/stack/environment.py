"""Looking at what the input refers to: network, image, instance types, addresses, quotas."""

from __future__ import annotations

from typing import Any

from evernat.stack.api import Api
from evernat.stack.discover import all_addresses, discover, route_tables
from evernat.stack.errors import ApiError
from evernat.stack.found import Environment, Found, Identity, Image, InstanceType, Subnet, Vpc
from evernat.stack.names import tag_map
from evernat.stack.spec import Gateway

AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{}"
"""Public SSM parameter of the newest Amazon Linux 2023, by architecture (AWS Systems Manager user guide)."""


def look(api: Api, gateway: Gateway) -> tuple[Environment, Found]:
    """The environment and what the stack already has, in two rounds of queries side by side."""
    identity = identify(api)
    first = api.gather(
        vpc=lambda: _vpc(api, gateway.vpc_id),
        subnets=lambda: subnets(api, gateway.vpc_id),
        types=lambda: _types(api, gateway),
        addresses=lambda: all_addresses(api),
        quota=lambda: _address_quota(api),
        key=lambda: _key_exists(api, gateway.key_name),
        policy=lambda: _policy_exists(api, ssm_policy(gateway)),
        targets=lambda: _targets(api, gateway),
    )
    found = discover(api, gateway.name, first["addresses"], gateway.vpc_id)
    tables = {t.id: t for t in found.route_tables}
    elsewhere = [t for t in gateway.private_route_table_ids if t not in tables]
    if elsewhere:
        tables |= route_tables(api, [{"Name": "route-table-id", "Values": elsewhere}])
    environment = Environment(
        identity=identity,
        vpc=first["vpc"],
        subnets=first["subnets"],
        route_tables=tables,
        addresses=tuple(first["addresses"]),
        address_quota=first["quota"],
        rule_quota=_rule_quota(api, gateway),
        image=_image(api, gateway, first["types"]),
        types=first["types"],
        key_exists=first["key"],
        policy_exists=first["policy"],
        targets=frozenset(first["targets"]),
        target_subnets=first["targets"],
    )
    return environment, found


def identify(api: Api) -> Identity:
    """Account, partition and region of the caller. The first call of all: it fails clearly on bad credentials."""
    answer = api.call("sts", "get_caller_identity")
    return Identity(answer["Account"], answer["Arn"].split(":")[1], api.region)


def ssm_policy(gateway: Gateway) -> str:
    """The ARN of the policy to attach for Session Manager; empty for the inline one, or none at all."""
    return "" if gateway.ssm_policy_arn == "none" else gateway.ssm_policy_arn


def _vpc(api: Api, vpc_id: str) -> Vpc | None:
    raw = api.pages("ec2", "describe_vpcs", "Vpcs", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return vpc_from(raw[0]) if raw else None


def vpc_from(raw: dict[str, Any]) -> Vpc:
    """A VPC from AWS's description of it."""
    blocks = [
        b["CidrBlock"]
        for b in raw.get("CidrBlockAssociationSet") or []
        if b.get("CidrBlockState", {}).get("State", "associated") == "associated"
    ]
    return Vpc(raw["VpcId"], tuple(dict.fromkeys([raw["CidrBlock"], *blocks])), tag_map(raw.get("Tags")))


def subnets(api: Api, vpc_id: str) -> dict[str, Subnet]:
    """The subnets of a VPC by id."""
    raw = api.pages("ec2", "describe_subnets", "Subnets", Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
    return {
        s["SubnetId"]: Subnet(s["SubnetId"], s["VpcId"], s["AvailabilityZone"], s["CidrBlock"])
        for s in sorted(raw, key=lambda s: str(s["SubnetId"]))
    }


def _types(api: Api, gateway: Gateway) -> dict[str, InstanceType]:
    wanted = [{"Name": "instance-type", "Values": list(gateway.instance_types)}]
    raw = api.pages("ec2", "describe_instance_types", "InstanceTypes", Filters=wanted)
    offered = api.pages(
        "ec2",
        "describe_instance_type_offerings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=wanted,
    )
    return {
        t["InstanceType"]: InstanceType(
            t["InstanceType"],
            # Old types also name i386, Macs arm64_mac: the 64-bit Linux one is what an image must have.
            next((a for a in t["ProcessorInfo"]["SupportedArchitectures"] if a in ("arm64", "x86_64")), ""),
            bool(t.get("BurstablePerformanceSupported")),
            _interfaces(t.get("NetworkInfo", {})),
            frozenset(o["Location"] for o in offered if o["InstanceType"] == t["InstanceType"]),
            int(t.get("NetworkInfo", {}).get("Ipv4AddressesPerInterface", 2)),
        )
        for t in raw
    }


def _interfaces(network: dict[str, Any]) -> int:
    """How many interfaces the default network card takes: nodes use no other, and the total is of all cards."""
    cards, default = network.get("NetworkCards") or [], network.get("DefaultNetworkCardIndex", 0)
    total = int(network.get("MaximumNetworkInterfaces", 2))
    here = [int(c.get("MaximumNetworkInterfaces", total)) for c in cards if c["NetworkCardIndex"] == default]
    return min([total, *here])


def _image(api: Api, gateway: Gateway, types: dict[str, InstanceType]) -> Image | None:
    identifier = gateway.image_id
    if not identifier:
        parameter = image_parameter(types)
        if not parameter:
            return None
        identifier = api.call("ssm", "get_parameter", Name=parameter)["Parameter"]["Value"]
    # An image may have been deprecated and is then left out, although it can be launched.
    wanted = [{"Name": "image-id", "Values": [identifier]}]
    raw = api.pages("ec2", "describe_images", "Images", Filters=wanted, IncludeDeprecated=True)
    if not raw:
        return None
    root = raw[0].get("RootDeviceName") or "/dev/xvda"
    sizes = [
        int((m.get("Ebs") or {}).get("VolumeSize") or 8)
        for m in raw[0].get("BlockDeviceMappings") or []
        if m.get("DeviceName") == root
    ]
    return Image(identifier, raw[0]["Architecture"], root, max(sizes, default=8))


def image_parameter(types: dict[str, InstanceType]) -> str:
    """The parameter that names the image; empty when the types do not agree on an architecture."""
    architectures = {t.architecture for t in types.values()}
    return AL2023.format(architectures.pop()) if len(architectures) == 1 else ""


def _address_quota(api: Api) -> int | None:
    answer = api.call("ec2", "describe_account_attributes", AttributeNames=["vpc-max-elastic-ips"])
    for attribute in answer.get("AccountAttributes") or []:
        if attribute["AttributeName"] == "vpc-max-elastic-ips":
            return int(attribute["AttributeValues"][0]["AttributeValue"])
    return None


def _rule_quota(api: Api, gateway: Gateway) -> int:
    """Rules per security group and direction. Only asked for when the default of 60 would not do."""
    needed = len(gateway.private_subnets_cidr_blocks) + sum(len(f.sources) for f in gateway.port_forward)
    if needed <= 60:
        return 60
    try:
        answer = api.call("service-quotas", "get_service_quota", ServiceCode="vpc", QuotaCode="L-0EA8095F")
    except ApiError:
        return 60  # not allowed to ask: AWS's default is what we know
    return int(answer["Quota"]["Value"])


def _key_exists(api: Api, name: str) -> bool:
    if not name:
        return True
    filters = [{"Name": "key-name", "Values": [name]}]
    return bool(api.call("ec2", "describe_key_pairs", Filters=filters).get("KeyPairs"))


def _policy_exists(api: Api, arn: str) -> bool:
    if not arn:
        return True
    try:
        api.call("iam", "get_policy", PolicyArn=arn)
    except ApiError as error:
        if error.code == "NoSuchEntity":
            return False
        raise
    return True


def _targets(api: Api, gateway: Gateway) -> dict[str, str]:
    """Instances that port forwards name, with their subnets."""
    wanted = sorted({f.target for f in gateway.port_forward if f.target.startswith("i-")})
    if not wanted:
        return {}
    filters = [{"Name": "instance-id", "Values": wanted}, {"Name": "vpc-id", "Values": [gateway.vpc_id]}]
    reservations = api.pages("ec2", "describe_instances", "Reservations", Filters=filters)
    return {
        i["InstanceId"]: i.get("SubnetId") or ""
        for r in reservations
        for i in r["Instances"]
        if i["State"]["Name"] != "terminated"
    }
