"""Whose the rules of the stack's security group are."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.agent.contract import MARK
from evernat.stack import library
from evernat.stack.errors import NotReady
from tests.stack.world import World

SSH = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
EVERYTHING = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
PING = {"IpProtocol": "icmp", "FromPort": 8, "ToPort": -1, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
WIREGUARD = {
    "IpProtocol": "udp",
    "FromPort": 51820,
    "ToPort": 51820,
    "Ipv6Ranges": [{"CidrIpv6": "::/0", "Description": "road warriors"}],
}
USERS = [SSH, EVERYTHING, PING, WIREGUARD]
FORWARD = {"port": 8080, "target": "172.18.64.10", "sources": ["192.0.2.0/24"]}


def group(world: World) -> str:
    (found,) = world.made()["security groups"]
    return found


def rules(world: World, *, egress: bool = False) -> dict[tuple[Any, ...], str]:
    """Protocol, first port and source of each -> its description."""
    found = world.client("ec2").describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group(world)]}]
    )["SecurityGroupRules"]
    return {
        (
            r["IpProtocol"],
            r["FromPort"],
            r.get("CidrIpv4") or r.get("CidrIpv6") or r["ReferencedGroupInfo"]["GroupId"],
        ): r.get("Description", "")
        for r in found
        if r["IsEgress"] is egress
    }


def forget(world: World) -> None:
    """Take the descriptions away: the group of a version that gave none."""
    ec2 = world.client("ec2")
    ids = [
        {"SecurityGroupRuleId": r["SecurityGroupRuleId"]}
        for r in ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group(world)]}])[
            "SecurityGroupRules"
        ]
        if not r["IsEgress"]
    ]
    ec2.update_security_group_rule_descriptions_ingress(
        GroupId=group(world), SecurityGroupRuleDescriptions=ids
    )


def test_ours_are_marked(world: World) -> None:
    """Every rule that a deploy makes carries the mark."""
    opened = {"protocol": "udp", "port": "161-162", "sources": ["192.0.2.7/32"]}
    world.deploy(world.gateway(port_forward=[FORWARD], node_ingress=[opened]))
    found = rules(world)
    assert set(found.values()) == {MARK}
    assert ("udp", 161, "192.0.2.7/32") in found
    assert ("tcp", 8080, "192.0.2.0/24") in found


@pytest.mark.parametrize("changed", [False, True])
def test_the_users_stay(world: World, changed: bool) -> None:
    """Rules of the user's own, in or out, are no drift, and a deploy that changes ours leaves them."""
    world.deploy(world.gateway(port_forward=[FORWARD]))
    ec2 = world.client("ec2")
    ec2.authorize_security_group_ingress(GroupId=group(world), IpPermissions=USERS)
    ec2.authorize_security_group_egress(GroupId=group(world), IpPermissions=[SSH])
    before = rules(world)
    assert library.plan(world.gateway(port_forward=[FORWARD]), world.api()).changes == ()
    if changed:
        world.deploy(world.gateway())
        before.pop(("tcp", 8080, "192.0.2.0/24"))
        assert rules(world) == before
        assert ("tcp", 22, "0.0.0.0/0") in rules(world, egress=True)
    world.destroy()
    world.gone()


def test_what_is_wanted_and_there_becomes_ours(world: World) -> None:
    """A rule without a description that is one of ours is marked, not made again; it goes when it is not wanted."""
    world.deploy(world.gateway())
    same = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "IpRanges": [{"CidrIp": "192.0.2.0/24"}],
    }
    world.client("ec2").authorize_security_group_ingress(GroupId=group(world), IpPermissions=[same])
    world.deploy(world.gateway(port_forward=[FORWARD]))
    assert rules(world)["tcp", 8080, "192.0.2.0/24"] == MARK
    assert library.plan(world.gateway(port_forward=[FORWARD]), world.api()).changes == ()
    world.deploy(world.gateway())
    assert ("tcp", 8080, "192.0.2.0/24") not in rules(world)


def test_a_users_description_stays(world: World) -> None:
    """A rule that is one of ours and carries the user's own words is left as it is, and never revoked."""
    world.deploy(world.gateway())
    same = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "IpRanges": [{"CidrIp": "192.0.2.0/24", "Description": "mine"}],
    }
    world.client("ec2").authorize_security_group_ingress(GroupId=group(world), IpPermissions=[same])
    world.deploy(world.gateway(port_forward=[FORWARD]))
    world.deploy(world.gateway())
    assert rules(world)["tcp", 8080, "192.0.2.0/24"] == "mine"


def test_a_group_of_a_former_version(world: World) -> None:
    """Its rules become ours; a network that it let in and nobody wants goes; what names a port stays with the user."""
    yesterday = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.18.112.0/20"}]}
    world.deploy(world.gateway(port_forward=[FORWARD]))
    world.client("ec2").authorize_security_group_ingress(GroupId=group(world), IpPermissions=[SSH, yesterday])
    forget(world)
    world.deploy(world.gateway())
    assert rules(world) == {
        **{("-1", -1, cidr): MARK for cidr in world.gateway().private_subnets_cidr_blocks},
        ("tcp", 8080, "192.0.2.0/24"): "",
        ("tcp", 22, "0.0.0.0/0"): "",
    }


def test_a_group_that_is_open(world: World) -> None:
    """What lets everything and the members in is marked: it is not what users let into the nodes."""
    gateway = world.gateway(identity="address")
    with pytest.raises(NotReady):
        world.deploy(gateway, timeout=0)
    assert set(rules(world).values()) == {MARK}
    forget(world)
    assert [step.part for step in library.plan(gateway, world.api()).changes] == ["security-group"]
