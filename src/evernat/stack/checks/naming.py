"""The stack's name: nothing of that name may belong to somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from evernat.stack import names
from evernat.stack.context import Context
from evernat.stack.errors import Problem


def check(context: Context) -> Iterator[Problem]:
    """No other stack of this name, and no stranger with one of its names."""
    yield from _reserved(context)
    elsewhere = _other_vpcs(context)
    if elsewhere:
        yield Problem(
            "name",
            context.gateway.name,
            f"a stack of that name is in {', '.join(sorted(elsewhere))} already",
            f"choose another name, or correct vpc_id ({context.gateway.vpc_id})",
        )
        return
    for kind, identifier, tags in _named(context):
        if tags.get(names.STACK_TAG) != context.gateway.name:
            yield Problem(
                "name",
                context.gateway.name,
                f"the {kind} {identifier} exists without the tag {names.STACK_TAG}={context.gateway.name}",
                "choose another name, or delete it if it is not needed",
            )


def _reserved(context: Context) -> Iterator[Problem]:
    """A gateway's report has the gateway's name; others below the same path have names of their own."""
    gateway = context.gateway
    named = [shape.name for shape in context.layout.gateways] if gateway.by_address else [gateway.name]
    taken = {names.REPLACEMENT_REPORT, *(names.boot_report(slot) for slot in ("", *names.SLOTS))}
    if taken & set(named):
        yield Problem(
            "name", gateway.name, "is reserved: nodes write other reports by it", "choose another name"
        )


def _other_vpcs(context: Context) -> set[str]:
    found, gateway = context.found, context.gateway
    own = [g for g in found.security_groups if g.tags.get(names.STACK_TAG) == gateway.name]
    vpcs = {g.vpc_id for g in own} | {i.vpc_id for i in found.interfaces}
    group = next(iter(found.own_groups), None)
    if not vpcs and group and group.subnets and not set(group.subnets) & set(context.environment.subnets):
        vpcs.add(f"another VPC ({', '.join(group.subnets)})")
    return vpcs - {gateway.vpc_id}


def _named(context: Context) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    found = context.found
    if context.security_group:
        yield "security group", f"{context.name} ({context.security_group.id})", context.security_group.tags
    for name in map(context.name_in, context.slots):
        if name in found.templates:
            yield "launch template", name, found.templates[name].tags
        if name in found.groups:
            yield "Auto Scaling group", name, found.groups[name].tags
    if found.role:
        yield "role", found.role.name, found.role.tags
    if found.profile:
        yield "instance profile", found.profile.name, found.profile.tags
