"""The persistent interface: the gateway's identity. Routes lead to it, the Elastic IP sits on it, nodes come and go."""

from __future__ import annotations

from evernat.stack.context import LATER, Context, retag
from evernat.stack.found import Found, Interface
from evernat.stack.steps import Call, Change, Step, Wait
from evernat.stack.values import Ref, Token

GONE = ("InvalidNetworkInterfaceID.NotFound",)


def steps(context: Context) -> list[Step]:
    """Create the interface, or bring groups, source/destination check and tags in line."""
    interface = context.interface
    if interface is None:
        others = context.found.interfaces
        because = (
            f"public_subnet changes from {others[0].subnet_id}; an interface cannot move" if others else ""
        )
        return [
            Step("replace" if others else "create", "interface", context.name, _create(context), (), because)
        ]
    changes: list[Change] = []
    calls: list[Call] = []
    if interface.source_dest_check:
        changes.append(Change("source/destination check", "on", "off"))
        calls.append(_check_off())
    group = context.known.get("security-group")
    if group is None or interface.groups != (group,):
        changes.append(Change("security group", ", ".join(interface.groups), group or LATER))
        calls.append(_modify({"Groups": [Ref("security-group")]}))
    changed = [Step("change", "interface", interface.id, tuple(calls), tuple(changes))] if calls else []
    return changed + retag("interface", interface.id, interface.tags, context.tags("interface"))


def cleanup(context: Context) -> list[Step]:
    """Delete interfaces that another one has taken the place of. Last of all: only then nothing leads to them."""
    keep = context.interface
    stale = [i for i in context.found.interfaces if keep is None or i.id != keep.id]
    return [_delete(interface, "another interface took its place") for interface in stale]


def removal(found: Found) -> list[Step]:
    """Delete every interface of the stack."""
    nodes = {node.id for node in found.nodes} | {m.id for m in (found.group.members if found.group else ())}
    return [_delete(i, foreign=bool(i.instance_id) and i.instance_id not in nodes) for i in found.interfaces]


def _create(context: Context) -> tuple[Call, ...]:
    create = Call(
        "ec2",
        "create_network_interface",
        {
            "SubnetId": context.gateway.public_subnet,
            "Groups": [Ref("security-group")],
            "Description": f"evernat gateway {context.gateway.name}",
            "ClientToken": Token("interface"),
            "TagSpecifications": context.specification("network-interface", "interface"),
        },
        yields=(("interface", "NetworkInterface.NetworkInterfaceId"),),
    )
    return (create, _check_off())


def _check_off() -> Call:
    return _modify({"SourceDestCheck": {"Value": False}})


def _modify(attribute: dict[str, object]) -> Call:
    return Call(
        "ec2", "modify_network_interface_attribute", {"NetworkInterfaceId": Ref("interface"), **attribute}
    )


def _delete(interface: Interface, because: str = "", foreign: bool = False) -> Step:
    # Instances of the stack let go of it when they end. Somebody else's instance has to be told.
    detach = Call(
        "ec2",
        "detach_network_interface",
        {"AttachmentId": interface.attachment_id},
        done=("InvalidAttachmentID.NotFound",),
    )
    delete = Call(
        "ec2",
        "delete_network_interface",
        {"NetworkInterfaceId": interface.id},
        done=GONE,
        patient=("InvalidParameterValue", "InvalidNetworkInterface.InUse", "DependencyViolation"),
    )
    actions = (*((detach,) if foreign else ()), Wait("interface-free", interface.id), delete)
    return Step("delete", "interface", interface.id, actions, (), because)
