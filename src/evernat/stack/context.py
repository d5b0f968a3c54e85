"""What every part of the planner gets to see, and the two things all parts do: compare tags, delete when done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evernat.stack import names
from evernat.stack.found import Address, Environment, Found, Interface, SecurityGroup
from evernat.stack.names import Part
from evernat.stack.spec import Gateway
from evernat.stack.steps import Call, Change, Step
from evernat.stack.values import UnresolvedError, resolve

LATER = "(known after deploy)"


@dataclass(frozen=True)
class Context:
    """The user's wish and what was found, with the choice among duplicates made once for all parts."""

    gateway: Gateway
    environment: Environment
    found: Found
    version: str
    """Version of evernat; the agent's version travels with it."""

    @property
    def name(self) -> str:
        """Name of security group, launch template and group."""
        return names.resource_name(self.gateway.name)

    @property
    def role(self) -> str:
        """Name of role and instance profile."""
        return names.role_name(self.gateway.name, self.environment.identity.region)

    @property
    def security_group(self) -> SecurityGroup | None:
        """The stack's security group."""
        return next((g for g in self.found.security_groups if g.vpc_id == self.gateway.vpc_id), None)

    @property
    def interface(self) -> Interface | None:
        """The interface to keep: in the right subnet; of several the one in use, then the first by id."""
        fit = [i for i in self.found.interfaces if i.subnet_id == self.gateway.public_subnet]
        return min(fit, key=lambda i: (not i.instance_id, not i.association_id, i.id), default=None)

    @property
    def address(self) -> Address | None:
        """The stack's own Elastic IP to keep: of several the one in use, then the first by id."""
        own = [a for a in self.found.addresses if a.tags.get(names.PART_TAG) == "address"]
        return min(own, key=lambda a: (not a.association_id, a.id), default=None)

    @property
    def known(self) -> dict[str, str]:
        """Ids of what exists, under the names of `values.Ref`."""
        known = {"instance-profile": self.role}
        if self.security_group:
            known["security-group"] = self.security_group.id
        if self.interface:
            known["interface"] = self.interface.id
        if self.found.template:
            known["launch-template"] = self.found.template.id
        if self.gateway.elastic_ip.startswith("eipalloc-"):
            known["address"] = self.gateway.elastic_ip
        elif self.gateway.elastic_ip == "create" and self.address:
            known["address"] = self.address.id
        return known

    def tags(self, part: Part) -> dict[str, str]:
        """Tags of a part."""
        return names.tags_for(self.gateway.name, part, self.gateway.tags)

    def specification(self, kind: str, part: Part) -> list[dict[str, Any]]:
        """EC2's way to tag a thing in the call that makes it."""
        return [{"ResourceType": kind, "Tags": names.tag_list(self.tags(part))}]

    def resolved(self, value: Any) -> Any | None:
        """The value, or None when it depends on something that does not exist yet."""
        try:
            return resolve(value, {**self.known, "nonce": ""})
        except UnresolvedError:
            return None


def tag_changes(have: Mapping[str, str], want: Mapping[str, str]) -> tuple[Change, ...]:
    """Tags that are missing or differ. Tags of others are left alone."""
    return tuple(
        Change(f"tag {key}", have.get(key, "(none)"), want[key])
        for key in sorted(want)
        if have.get(key) != want[key]
    )


def ec2_tags(identifier: str, want: Mapping[str, str]) -> Call:
    """Set tags of an EC2 resource."""
    return Call("ec2", "create_tags", {"Resources": [identifier], "Tags": names.tag_list(want)})


def retag(part: Part, identifier: str, have: Mapping[str, str], want: Mapping[str, str]) -> list[Step]:
    """The step that brings an EC2 resource's tags in line, if one is needed."""
    changes = tag_changes(have, want)
    return (
        [Step("change", part, f"{identifier} tags", (ec2_tags(identifier, want),), changes)]
        if changes
        else []
    )
