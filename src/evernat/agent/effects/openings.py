"""What users let in by rules of their own, as AWS has it."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element as Item

from ..kernel import ingress
from ..kernel.firewall import Opening, Site
from ..kernel.ingress import Rule
from .api import Api, text
from .imds import Metadata


class Openings:
    """The last known, in `current`; in `notes` what is not let in, and why."""

    def __init__(self, groups: Sequence[str], clients: Sequence[str]):
        """`groups`: the ids of the node's security groups. `clients`: CIDR blocks of all its gateways' clients."""
        self._groups, self._clients = groups, clients
        self.current: tuple[Opening, ...] = ()
        self.notes: list[str] = []

    def look(self, api: Api) -> bool:
        """Read them anew; gives whether they changed. EffectError when that is not known: then nothing has changed."""
        rules = [_rule(item) for item in _items(api, "DescribeSecurityGroupRules", "group-id", self._groups)]
        inbound = [rule for rule in rules if rule]
        members = {group: _members(api, group) for group in ingress.groups(inbound)}
        before = self.current
        self.current, self.notes = ingress.openings(inbound, members, self._clients)
        return self.current != before


def found(metadata: Metadata, subnet: str, clients: Sequence[str]) -> tuple[Site, Openings]:
    """Where the node stands, by its primary interface in `subnet`, and what users let in there. EffectError."""
    card = f"meta-data/network/interfaces/macs/{metadata.get('meta-data/mac')}/"
    blocks, groups = (
        metadata.get(f"{card}{name}") for name in ("vpc-ipv4-cidr-blocks", "security-group-ids")
    )
    return Site((subnet,), tuple(blocks.split())), Openings(groups.split(), clients)


def _rule(item: Item) -> Rule | None:
    """None for one of what goes out."""
    if text(item, "isEgress") == "true":
        return None
    return Rule(
        text(item, "securityGroupRuleId"),
        text(item, "ipProtocol"),
        int(text(item, "fromPort") or -1),
        int(text(item, "toPort") or -1),
        text(item, "cidrIpv4"),
        text(item, "referencedGroupInfo/groupId"),
        text(item, "prefixListId"),
        text(item, "description"),
    )


def _members(api: Api, group: str) -> list[str]:
    """The private addresses of a group's interfaces."""
    found = _items(api, "DescribeNetworkInterfaces", "group-id", [group])
    each = (item.findall("privateIpAddressesSet/item/privateIpAddress") for item in found)
    return sorted({address.text or "" for addresses in each for address in addresses})


def _items(api: Api, action: str, name: str, values: Sequence[str]) -> list[Item]:
    asked = {"Filter.1.Name": name, **{f"Filter.1.Value.{n}": value for n, value in enumerate(values, 1)}}
    answer = api.call("ec2", action, asked)
    folder = "securityGroupRuleSet" if "Rules" in action else "networkInterfaceSet"
    return answer.findall(f"{folder}/item")
