"""The Elastic IP on the persistent interface: the stack's own, the user's, or none."""

from __future__ import annotations

from evernat.stack import names
from evernat.stack.context import LATER, Context, retag
from evernat.stack.found import Address, Found
from evernat.stack.steps import Call, Change, Step
from evernat.stack.values import Ref

LOOSE = ("InvalidAssociationID.NotFound",)


def steps(context: Context) -> list[Step]:
    """Allocate if wanted, then see that it sits on the interface, and nothing else does."""
    mode = context.gateway.elastic_ip
    made: list[Step] = []
    if mode == "create":
        made = _allocate(context) if context.address is None else _retagged(context, context.address)
    return made + _placed(context)


def cleanup(context: Context) -> list[Step]:
    """Release addresses of the stack that it no longer uses."""
    keep = context.address if context.gateway.elastic_ip == "create" else None
    unused = [a for a in context.found.addresses if keep is None or a.id != keep.id]
    return [released(a, "the stack no longer uses it") for a in unused]


def removal(found: Found) -> list[Step]:
    """Take addresses off the interfaces; release those that the stack made, hand the user's back free."""
    steps = []
    for interface in found.interfaces:
        if interface.association_id and interface.allocation_id not in {a.id for a in found.addresses}:
            call = Call(
                "ec2", "disassociate_address", {"AssociationId": interface.association_id}, done=LOOSE
            )
            title = f"{interface.public_address} off {interface.id}"
            steps.append(Step("change", "address", title, (call,), (), "it is not the stack's: it is kept"))
    for address in found.borrowed:
        steps.append(returned(address))
    for address in found.addresses:
        steps.append(released(address))
    return steps


def returned(address: Address, because: str = "it is not the stack's: it is kept") -> Step:
    """Hand a borrowed address back: free, and without our tags."""
    ours = (names.STACK_TAG, names.PART_TAG, names.GATEWAY_TAG, names.SLOTS_TAG, names.HANDOVER_TAG)
    forget = {"Resources": [address.id], "Tags": [{"Key": key} for key in ours]}
    free = (_disassociate(address.association_id),) if address.association_id else ()
    # Our tags last: by them a run that is cut off finds it again.
    calls = (*free, Call("ec2", "delete_tags", forget))
    return Step(
        "change", "address", f"{address.public_address} ({address.id}) handed back", calls, (), because
    )


def released(address: Address, because: str = "") -> Step:
    """Release an address of the stack's."""
    title = f"{address.public_address} ({address.id})"
    return Step("delete", "address", title, _release(address), (), because)


def _allocate(context: Context) -> list[Step]:
    call = Call(
        "ec2",
        "allocate_address",
        {"Domain": "vpc", "TagSpecifications": context.specification("elastic-ip", "address")},
        yields=(("address", "AllocationId"),),
    )
    return [Step("create", "address", context.name, (call,))]


def _retagged(context: Context, address: Address) -> list[Step]:
    return retag("address", address.id, address.tags, context.tags("address"))


def _placed(context: Context) -> list[Step]:
    wanted = context.known.get("address", "")
    interface = context.interface
    current = interface.allocation_id if interface else ""
    own = {a.id for a in context.found.addresses}
    if context.gateway.elastic_ip == "none":
        # Somebody may have put an address of theirs there: that is what "none" is for.
        if interface and current in own:
            return [_taken_off(interface.association_id, interface.public_address, interface.id)]
        return []
    if current and current == wanted:
        return []
    calls = []
    if interface and interface.association_id:
        calls.append(_disassociate(interface.association_id))
    elsewhere = next((a for a in context.environment.addresses if a.id == wanted and a.association_id), None)
    if elsewhere and (not interface or elsewhere.interface_id != interface.id):
        calls.append(_disassociate(elsewhere.association_id))
    calls.append(_associate())
    shown = {a.id: a.public_address for a in context.environment.addresses}
    change = Change("public address", shown.get(current, "(none)"), shown.get(wanted, LATER))
    return [Step("change", "address", "onto the interface", tuple(calls), (change,))]


def _associate() -> Call:
    # Without AllowReassociation=false AWS would take the address away from whatever has it.
    return Call(
        "ec2",
        "associate_address",
        {"AllocationId": Ref("address"), "NetworkInterfaceId": Ref("interface"), "AllowReassociation": False},
    )


def _disassociate(association: str) -> Call:
    return Call("ec2", "disassociate_address", {"AssociationId": association}, done=LOOSE)


def _taken_off(association: str, public: str, interface: str) -> Step:
    change = Change("public address", public, "(none)")
    return Step("change", "address", f"off {interface}", (_disassociate(association),), (change,))


def _release(address: Address) -> tuple[Call, ...]:
    free = (_disassociate(address.association_id),) if address.association_id else ()
    release = Call(
        "ec2",
        "release_address",
        {"AllocationId": address.id},
        done=("InvalidAllocationID.NotFound", "InvalidAddressID.NotFound"),
        patient=("InvalidIPAddress.InUse",),
    )
    return (*free, release)
