"""The Elastic IPs of gateways whose identity is the address: made and tagged here, put on nodes by the nodes alone."""

from __future__ import annotations

from evernat.stack import names
from evernat.stack.context import Context, retag
from evernat.stack.layout import Shape
from evernat.stack.parts.address import released, returned
from evernat.stack.steps import Call, Step


def steps(context: Context) -> list[Step]:
    """One address for each gateway, with tags that say whose it is and which slots can hold it."""
    return [step for shape in context.layout.gateways for step in _one(context, shape)]


def cleanup(context: Context) -> list[Step]:
    """Release addresses that are no gateway's any more; hand back those of the user's."""
    wanted = [context.address_of(shape.name) for shape in context.layout.gateways]
    keep = {address.id for address in wanted if address}
    because = "the stack no longer uses it"
    return [
        *(released(a, because) for a in context.found.addresses if a.id not in keep),
        *(returned(a, because) for a in context.found.borrowed if a.id not in keep),
    ]


def tags(context: Context, shape: Shape) -> dict[str, str]:
    """Tags of a gateway's address. One that the user brought keeps its own Name."""
    ours = {names.GATEWAY_TAG: shape.name, names.SLOTS_TAG: " ".join(shape.slots)}
    if context.gateway.elastic_ip == "create":
        return {**context.tags("address"), **ours}
    return {names.STACK_TAG: context.gateway.name, names.PART_TAG: names.BORROWED, **ours}


def _one(context: Context, shape: Shape) -> list[Step]:
    address = context.address_of(shape.name)
    if address:
        return retag("address", address.id, address.tags, tags(context, shape))
    specification = [{"ResourceType": "elastic-ip", "Tags": names.tag_list(tags(context, shape))}]
    call = Call(
        "ec2",
        "allocate_address",
        {"Domain": "vpc", "TagSpecifications": specification},
        yields=((f"address {shape.name}", "AllocationId"),),
    )
    return [Step("create", "address", shape.name, (call,))]
