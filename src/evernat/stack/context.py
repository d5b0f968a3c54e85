"""What every part of the planner gets to see, and the two things all parts do: compare tags, delete when done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evernat.stack import names
from evernat.stack.found import Address, Environment, Found, Interface, SecurityGroup
from evernat.stack.layout import Layout, Slot, layout
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

    @cached_property
    def layout(self) -> Layout:
        """Slots and gateways; only for a stack whose gateways are addresses."""
        return layout(self.gateway, self.environment)

    @property
    def slots(self) -> tuple[Slot | None, ...]:
        """Where nodes live: the slots, or the one place that has no name."""
        return self.layout.slots if self.gateway.by_address else (None,)

    def name_in(self, slot: Slot | None) -> str:
        """Name of a slot's launch template and group."""
        return names.slot_name(self.gateway.name, slot.name) if slot else self.name

    def node_tags(self, part: Part, slot: Slot | None) -> dict[str, str]:
        """Tags of what belongs to a slot."""
        return {**self.tags(part), names.SLOT_TAG: slot.name} if slot else self.tags(part)

    def address_of(self, gateway: str) -> Address | None:
        """The Elastic IP of a gateway that is an address: of several the one in use, then the first by id."""
        if self.gateway.elastic_ip.startswith("eipalloc-"):
            fit = [a for a in self.environment.addresses if a.id == self.gateway.elastic_ip]
        else:
            fit = [a for a in self.found.addresses if a.gateway == gateway]
        return min(fit, key=lambda a: (not a.association_id, a.id), default=None)

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
        for slot in self.slots:
            template = self.found.templates.get(self.name_in(slot))
            if template:
                known[ref_of("launch-template", slot)] = template.id
        if self.gateway.by_address:
            held = {shape.name: self.address_of(shape.name) for shape in self.layout.gateways}
            return known | {f"address {name}": address.id for name, address in held.items() if address}
        if self.interface:
            known["interface"] = self.interface.id
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


def ref_of(part: Part, slot: Slot | None) -> str:
    """The name of a reference to a slot's part."""
    return f"{part} {slot.name}" if slot else part


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
