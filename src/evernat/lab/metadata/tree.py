"""What the metadata service says about one instance, as a tree of texts. Pure.

Paths and formats are those of the EC2 user guide ("Instance metadata categories", "Retrieve instance metadata").
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Protocol

from evernat.lab.world import Eni, Instance, World

Node = str | bytes | Callable[[], str] | Mapping[str, "Node"]
"""A text, user data, a text made only when asked for, or a directory."""


class Credentials(Protocol):
    """Temporary credentials of a role; `expiration` is ISO 8601 in UTC."""

    @property
    def access_key_id(self) -> str:
        """AccessKeyId."""

    @property
    def secret_access_key(self) -> str:
        """SecretAccessKey."""

    @property
    def token(self) -> str:
        """Token."""

    @property
    def expiration(self) -> str:
        """Expiration."""


def architecture(instance_type: str) -> str:
    """`arm64` or `x86_64`, by the type's name: a1, and families with a `g` after the generation (t4g, c7gn)."""
    family = instance_type.partition(".")[0]
    graviton = family == "a1" or re.fullmatch(r"[a-z]+\d+g[a-z]*", family)
    return "arm64" if graviton else "x86_64"


def zone_id(zone: str) -> str:
    """An id like `usw2-az1` for `us-west-2a`. AWS shuffles the numbers per account; here they follow the letters."""
    region, letter = zone[:-1], zone[-1]
    words = region.split("-")
    places = {"gov": "g", "north": "n", "south": "s", "east": "e", "west": "w", "central": "c",
              "northeast": "ne", "northwest": "nw", "southeast": "se", "southwest": "sw"}  # fmt: skip
    short = "".join(places.get(word, word) for word in words)
    return f"{short}-az{ord(letter) - ord('a') + 1}"


def partition(region: str) -> str:
    """The AWS partition of a region."""
    return "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"


def enis_of(world: World, instance: Instance) -> list[Eni]:
    """The instance's interfaces, primary first."""
    mine = [
        (e.attachment.device_index, e)
        for e in world.enis
        if e.attachment and e.attachment.instance_id == instance.id
    ]
    return [eni for _, eni in sorted(mine, key=lambda pair: pair[0])]


def build(
    world: World,
    instance: Instance,
    credentials: Callable[[], Credentials | None],
    domain: str,
    launched: str,
) -> Mapping[str, Node]:
    """The whole tree below `/latest/`. `launched` is an ISO time."""
    latest: dict[str, Node] = {
        "dynamic": {"instance-identity": {"document": _document(world, instance, launched)}},
        "meta-data": _meta_data(world, instance, credentials, domain, launched),
    }
    if instance.user_data:
        latest["user-data"] = instance.user_data
    return latest


def _meta_data(
    world: World,
    instance: Instance,
    credentials: Callable[[], Credentials | None],
    domain: str,
    launched: str,
) -> dict[str, Node]:
    enis = enis_of(world, instance)
    name = host_name(instance.private_address, world.region)
    tree: dict[str, Node] = {
        "ami-id": instance.image_id,
        "ami-launch-index": "0",
        "ami-manifest-path": "(unknown)",
        "events": _events(instance),
        "hostname": name,
        "instance-action": "none",
        "instance-id": instance.id,
        "instance-life-cycle": "spot" if instance.spot else "on-demand",
        "instance-type": instance.instance_type,
        "local-hostname": name,
        "local-ipv4": instance.private_address,
        "network": {"interfaces": {"macs": {eni.mac: _interface(world, eni) for eni in enis}}},
        "placement": {
            "availability-zone": instance.zone,
            "availability-zone-id": zone_id(instance.zone),
            "region": world.region,
        },
        "profile": "default-hvm",
        "services": {"domain": domain, "partition": partition(world.region)},
        "system": "nitro",
    }
    if enis:
        tree["mac"] = enis[0].mac
        public = dict(enis[0].public).get(enis[0].addresses[0])
        if public:
            tree["public-ipv4"] = public
            tree["public-hostname"] = _public_name(public, world.region)
    if instance.profile_arn:
        tree["iam"] = _iam(instance, credentials, launched)
    if instance.spot_action:
        action, time = instance.spot_action
        notice: dict[str, Node] = {"instance-action": json.dumps({"action": action, "time": time})}
        if action == "terminate":
            notice["termination-time"] = time
        tree["spot"] = notice
    if instance.tags_in_metadata and instance.tags:
        tree["tags"] = {"instance": dict(instance.tags)}
    return tree


def _events(instance: Instance) -> dict[str, Node]:
    events: dict[str, Node] = {"maintenance": {"history": "[]", "scheduled": "[]"}}
    if instance.rebalance:
        events["recommendations"] = {"rebalance": json.dumps({"noticeTime": instance.rebalance})}
    return events


def _interface(world: World, eni: Eni) -> dict[str, Node]:
    assert eni.attachment is not None
    subnet = next((each for each in world.subnets if each.id == eni.subnet_id), None)
    tree: dict[str, Node] = {
        "device-number": str(eni.attachment.device_index),
        "interface-id": eni.id,
        "local-hostname": host_name(eni.addresses[0], world.region),
        "local-ipv4s": "\n".join(eni.addresses),
        "mac": eni.mac,
        "owner-id": world.account,
        "security-group-ids": "\n".join(eni.groups),
        "subnet-id": eni.subnet_id,
        "vpc-ipv4-cidr-block": world.vpc_cidrs[0] if world.vpc_cidrs else "",
        "vpc-ipv4-cidr-blocks": "\n".join(world.vpc_cidrs),
    }
    if subnet:
        tree["subnet-ipv4-cidr-block"] = str(ipaddress.ip_network(subnet.cidr))
    if eni.public:
        tree["public-ipv4s"] = "\n".join(public for _, public in eni.public)
        tree["public-hostname"] = _public_name(eni.public[0][1], world.region)
        tree["ipv4-associations"] = {public: private for private, public in eni.public}
    return tree


def _iam(instance: Instance, credentials: Callable[[], Credentials | None], launched: str) -> dict[str, Node]:
    profile = {
        "Code": "Success",
        "LastUpdated": launched,
        "InstanceProfileArn": instance.profile_arn,
        "InstanceProfileId": "AIPA" + hashlib.sha256(instance.profile_arn.encode()).hexdigest()[:16].upper(),
    }
    tree: dict[str, Node] = {"info": json.dumps(profile, indent=2)}

    def secret() -> str:
        got = credentials()
        if got is None:
            return ""
        fields = {
            "Code": "Success",
            "LastUpdated": launched,
            "Type": "AWS-HMAC",
            "AccessKeyId": got.access_key_id,
            "SecretAccessKey": got.secret_access_key,
            "Token": got.token,
            "Expiration": got.expiration,
        }
        return json.dumps(fields, indent=2)

    if instance.role_name:
        tree["security-credentials"] = {instance.role_name: secret}
    return tree


def _document(world: World, instance: Instance, launched: str) -> str:
    fields = {
        "accountId": world.account,
        "architecture": architecture(instance.instance_type),
        "availabilityZone": instance.zone,
        "billingProducts": None,
        "devpayProductCodes": None,
        "marketplaceProductCodes": None,
        "imageId": instance.image_id,
        "instanceId": instance.id,
        "instanceType": instance.instance_type,
        "kernelId": None,
        "pendingTime": launched,
        "privateIp": instance.private_address,
        "ramdiskId": None,
        "region": world.region,
        "version": "2017-09-30",
    }
    return json.dumps(fields, indent=2)


def host_name(private_address: str, region: str) -> str:
    """The private DNS name of an address (VPC user guide, "DNS hostnames"; us-east-1 has its own)."""
    suffix = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{private_address.replace('.', '-')}.{suffix}"


def _public_name(public_address: str, region: str) -> str:
    zone = "compute-1" if region == "us-east-1" else f"{region}.compute"
    return f"ec2-{public_address.replace('.', '-')}.{zone}.amazonaws.com"


def find(tree: Node, path: str) -> str | bytes | None:
    """What is at a path, None for nothing; a directory answers its entries, directories among them with a slash."""
    node = tree
    for word in [each for each in path.split("/") if each]:
        if not isinstance(node, Mapping) or word not in node:
            return None
        node = node[word]
    if isinstance(node, Mapping):
        return "\n".join(name + "/" * isinstance(child, Mapping) for name, child in sorted(node.items()))
    if callable(node):
        return node() or None
    return None if path.endswith("/") else node
