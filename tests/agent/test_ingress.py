"""What users let in by rules of their own: which rules count, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from evernat.agent.contract import MARK
from evernat.agent.effects import EffectError
from evernat.agent.effects.api import Api
from evernat.agent.effects.openings import Openings
from evernat.agent.effects.web import UnansweredError
from evernat.agent.kernel.firewall import Opening, opened, reopened
from evernat.agent.kernel.ingress import Rule, openings

CLIENTS = ("172.18.64.0/20",)
SSH = Rule("sgr-1", "tcp", 22, 22, "0.0.0.0/0")


def let_in(*rules: Rule, members: dict[str, Sequence[str]] | None = None) -> tuple[list[Opening], list[str]]:
    found, notes = openings(rules, members or {}, CLIENTS)
    return [*found], notes


def test_the_users_rules_count() -> None:
    """A rule without our mark lets in what it says, whatever else it is described as."""
    bastion = SSH._replace(id="sgr-2", cidr="192.0.2.7/32", description="bastion")
    assert let_in(SSH, bastion) == (
        [Opening("tcp", 22, 22, ("0.0.0.0/0",)), Opening("tcp", 22, 22, ("192.0.2.7/32",))],
        [],
    )


@pytest.mark.parametrize(
    "rule",
    [
        SSH._replace(description=MARK),
        Rule("sgr-1", "-1", -1, -1, "0.0.0.0/0", description=MARK),
        Rule("sgr-1", "-1", -1, -1, CLIENTS[0]),
        Rule("sgr-1", "tcp", 22, 22),
    ],
    ids=["ours", "what opens a pair's group", "clients, by a former version", "IPv6"],
)
def test_what_does_not_count(rule: Rule) -> None:
    """Our own rules, those of a version that marked none, and sources that a node has no address for."""
    assert let_in(rule) == ([], [])


def test_a_group_that_is_open_to_all_opens_no_node() -> None:
    """Everything from everywhere is in every pair's group; whoever made it, no node is opened to the world by it."""
    found, notes = let_in(Rule("sgr-9", "-1", -1, -1, "0.0.0.0/0"), SSH)
    assert found == [Opening("tcp", 22, 22, ("0.0.0.0/0",))]
    assert notes == ["sgr-9: everything from everywhere is not let in: name a protocol"]


def test_sources_that_are_groups() -> None:
    """A group stands for the addresses of its members; one without any, and a prefix list, are told."""
    bastions = Rule("sgr-3", "tcp", 22, 22, group="sg-1")
    nobody = Rule("sgr-4", "tcp", 22, 22, group="sg-2")
    listed = Rule("sgr-5", "tcp", 22, 22, prefixes="pl-1")
    found, notes = let_in(
        bastions, nobody, listed, members={"sg-1": ["172.18.0.9", "172.18.0.8"], "sg-2": []}
    )
    assert found == [Opening("tcp", 22, 22, ("172.18.0.8/32", "172.18.0.9/32"))]
    assert notes == [
        "sgr-4: no address of a member of sg-2 is known",
        "sgr-5: the entries of pl-1 are not known: name their CIDR blocks",
    ]


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (Rule("s", "tcp", 22, 22, "192.0.2.0/24"), "tcp dport 22-22 accept"),
        (Rule("s", "6", -1, -1, "192.0.2.0/24"), "tcp dport 0-65535 accept"),
        (Rule("s", "17", 53, 54, "192.0.2.0/24"), "udp dport 53-54 accept"),
        (Rule("s", "icmp", -1, -1, "192.0.2.0/24"), "meta l4proto icmp accept"),
        (Rule("s", "1", 8, 0, "192.0.2.0/24"), "icmp type 8 icmp code 0 accept"),
        (Rule("s", "50", -1, -1, "192.0.2.0/24"), "ip protocol 50 accept"),
        (Rule("s", "-1", -1, -1, "192.0.2.0/24"), "accept"),
    ],
)
def test_protocols(rule: Rule, line: str) -> None:
    """By name or number, with ports, types, or neither."""
    (found,), _ = let_in(rule)
    assert opened(found) == f"ip saddr {{ 192.0.2.0/24 }} {line}"


def test_the_order_of_rules_is_no_change() -> None:
    """AWS lists rules in any order; what they let in is in one."""
    rules = [SSH, Rule("sgr-0", "udp", 53, 53, "192.0.2.0/24"), Rule("sgr-7", "icmp", 8, -1, "0.0.0.0/0")]
    assert let_in(*rules) == let_in(*reversed(rules))


class Aws(Api):
    """Answers as the EC2 API does (EC2 API reference, DescribeSecurityGroupRules, DescribeNetworkInterfaces)."""

    def __init__(self) -> None:
        self.rules: list[str] = []
        self.interfaces: dict[str, list[str]] = {}
        self.asked: list[dict[str, str]] = []
        self.down = False

    def call(self, service: str, action: str, asked: dict[str, str]) -> ElementTree.Element:
        if self.down:
            raise UnansweredError("nobody there")
        self.asked.append({"Action": action, **asked})
        if action == "DescribeSecurityGroupRules":
            items = "".join(f"<item>{rule}</item>" for rule in self.rules)
            return ElementTree.fromstring(f"<r><securityGroupRuleSet>{items}</securityGroupRuleSet></r>")
        addresses = "".join(
            f"<item><privateIpAddress>{a}</privateIpAddress></item>"
            for a in self.interfaces.get(asked["Filter.1.Value.1"], [])
        )
        card = f"<item><privateIpAddressesSet>{addresses}</privateIpAddressesSet></item>"
        return ElementTree.fromstring(f"<r><networkInterfaceSet>{card}</networkInterfaceSet></r>")


def described(**fields: str) -> str:
    """A rule as XML."""
    every = {
        "securityGroupRuleId": "sgr-1",
        "isEgress": "false",
        "ipProtocol": "tcp",
        "fromPort": "22",
        "toPort": "22",
    }
    return "".join(f"<{name}>{value}</{name}>" for name, value in {**every, **fields}.items())


def test_rules_are_read() -> None:
    """Inbound rules of the node's groups, with the members of groups they name; outbound ones are none."""
    aws, kept = Aws(), Openings(["sg-a", "sg-b"], CLIENTS)
    aws.rules = [
        described(cidrIpv4="0.0.0.0/0"),
        described(isEgress="true", cidrIpv4="192.0.2.0/24"),
        described(referencedGroupInfo="<groupId>sg-7</groupId>"),
        described(ipProtocol="-1", fromPort="-1", toPort="-1", cidrIpv4="0.0.0.0/0", description=MARK),
    ]
    aws.interfaces = {"sg-7": ["172.18.0.8"]}
    assert kept.look(aws)
    assert kept.current == (
        Opening("tcp", 22, 22, ("172.18.0.8/32",)),
        Opening("tcp", 22, 22, ("0.0.0.0/0",)),
    )
    assert aws.asked[0] == {
        "Action": "DescribeSecurityGroupRules",
        "Filter.1.Name": "group-id",
        "Filter.1.Value.1": "sg-a",
        "Filter.1.Value.2": "sg-b",
    }
    assert not kept.look(aws), "nothing has changed"


def test_what_cannot_be_read_is_as_it_was() -> None:
    """An unanswered call closes nothing."""
    aws, kept = Aws(), Openings(["sg-a"], CLIENTS)
    aws.rules = [described(cidrIpv4="0.0.0.0/0")]
    kept.look(aws)
    before, aws.down = kept.current, True
    with pytest.raises(EffectError):
        kept.look(aws)
    assert kept.current == before
    aws.down, aws.rules = False, []
    assert kept.look(aws)
    assert kept.current == ()


def test_one_transaction_replaces_all() -> None:
    """What was let in before is not any more."""
    lines = reopened([Opening("tcp", 22, 22, ("192.0.2.0/24",)), Opening("-1", -1, -1, ("192.0.2.0/24",))])
    head, *added = lines.splitlines()
    assert head == "flush chain ip evernat opened"
    assert all(line.startswith("add rule ip evernat opened ip saddr ") for line in added)
    assert all(one != other for one, other in pairwise(added))
