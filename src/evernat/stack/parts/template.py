"""The launch template: what a node is. Its newest version is what the group launches."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from evernat.stack import names
from evernat.stack.context import LATER, Context, ref_of, retag
from evernat.stack.environment import image_parameter
from evernat.stack.found import Found, Template, TemplateVersion
from evernat.stack.layout import Slot, node_settings
from evernat.stack.steps import Call, Change, Step
from evernat.stack.values import Ref, Token, UserData

OPTIONAL = ("KeyName", "CreditSpecification", "UserData")
"""Fields that the file can unset. Whatever else AWS adds to a version is its business."""


def user_data(context: Context, slot: Slot | None = None) -> UserData:
    """The node's user data; it names the interface and the addresses, so it exists after them."""
    gateway = context.gateway
    if slot:
        addresses = {shape.name: Ref(f"address {shape.name}") for shape in context.layout.gateways}
        settings = node_settings(gateway, context.layout, slot, addresses, context.version)
        return UserData(settings, gateway.user_data_write_files, gateway.user_data_runcmd)
    address = None if gateway.elastic_ip == "none" else Ref("address")
    config = gateway.node_config(Ref("interface"), address, context.name, names.HOOK, context.version)
    return UserData(config, gateway.user_data_write_files, gateway.user_data_runcmd)


def template_data(context: Context, slot: Slot | None = None) -> dict[str, Any]:
    """The launch template as AWS takes it, with references."""
    gateway, environment = context.gateway, context.environment
    image = environment.image
    assert image is not None, "checked before planning"
    parameter = image_parameter(dict(environment.types))
    # The parameter's name instead of today's image: every new node boots the newest image, and a new image is no drift.
    image_id = gateway.image_id or f"resolve:ssm:{parameter}"
    volume: dict[str, Any] = {
        "VolumeType": "gp3",
        "DeleteOnTermination": True,
        "Encrypted": gateway.root_volume.encrypted,
    }
    volume["VolumeSize"] = gateway.root_volume.size or image.size
    data: dict[str, Any] = {
        "ImageId": image_id,
        "InstanceType": gateway.instance_types[0],
        "IamInstanceProfile": {"Name": Ref("instance-profile")},
        "NetworkInterfaces": [_interface(slot)],
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "HttpPutResponseHopLimit": 1,
        },
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": volume}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": names.tag_list(context.node_tags("node", slot))}
            for kind in ("instance", "network-interface", "volume")
        ],
        "UserData": user_data(context, slot),
    }
    if gateway.key_name:
        data["KeyName"] = gateway.key_name
    if all(t.burstable for t in environment.types.values()):
        # Spot instances of the T family start as "unlimited", which can bill surplus credits.
        data["CreditSpecification"] = {"CpuCredits": "standard"}
    return data


def _interface(slot: Slot | None) -> dict[str, Any]:
    interface: dict[str, Any] = {
        "DeviceIndex": 0,
        # The node's own way to the API. It is there for as long as no gateway's Elastic IP takes its place, which
        # happens on the primary private address only.
        "AssociatePublicIpAddress": True,
        "DeleteOnTermination": True,
        "Groups": [Ref("security-group")],
    }
    if slot and slot.addresses > 1:
        # Places for gateways. Given at launch, so that no call has to be waited for in a takeover.
        interface["SecondaryPrivateIpAddressCount"] = slot.addresses - 1
    return interface


def steps(context: Context, slot: Slot | None = None) -> list[Step]:
    """Create the template, or a new version of it when anything differs."""
    data = template_data(context, slot)
    name, ref = context.name_in(slot), ref_of("launch-template", slot)
    template = context.found.templates.get(name)
    description = f"evernat {context.version}"
    if template is None:
        create = Call(
            "ec2",
            "create_launch_template",
            {
                "LaunchTemplateName": name,
                "VersionDescription": description,
                "LaunchTemplateData": data,
                "ClientToken": Token(ref),
                "TagSpecifications": [
                    {
                        "ResourceType": "launch-template",
                        "Tags": names.tag_list(context.node_tags("launch-template", slot)),
                    }
                ],
            },
            yields=((ref, "LaunchTemplate.LaunchTemplateId"),),
        )
        return [Step("create", "launch-template", name, (create,))]
    changed = changes(context, template.versions[template.latest], slot)
    made = []
    if changed:
        version = Call(
            "ec2",
            "create_launch_template_version",
            {
                "LaunchTemplateId": template.id,
                "VersionDescription": description,
                "LaunchTemplateData": data,
                # A further version of the same run (after a second look) must not be taken for this one.
                "ClientToken": Token(f"{ref} {template.latest + 1}"),
            },
        )
        made = [Step("change", "launch-template", template.id, (version,), changed)]
    tags = context.node_tags("launch-template", slot)
    return made + retag("launch-template", template.id, template.tags, tags)


def changes(
    context: Context, version: TemplateVersion, slot: Slot | None = None, *, tags: bool = True
) -> tuple[Change, ...]:
    """What differs between a version and the wish; with `tags` False only what would make another node."""
    wanted: dict[str, Any] = {
        key: value if (resolved := context.resolved(value)) is None else resolved
        for key, value in template_data(context, slot).items()
    }
    have = dict(version.data)
    if not tags:
        wanted.pop("TagSpecifications")
    unset = [Change(key, "set", "(none)") for key in OPTIONAL if have.get(key) and key not in wanted]
    return (*_differences(have, wanted), *unset)


def removal(found: Found) -> list[Step]:
    """Delete the templates with all their versions."""
    return [_deleted(template) for template in found.own_templates.values()]


def cleanup(context: Context) -> list[Step]:
    """Delete templates of slots that the stack no longer has."""
    wanted = set(map(context.name_in, context.slots))
    own = context.found.own_templates.items()
    return [
        _deleted(template, "the stack no longer has its slot") for name, template in own if name not in wanted
    ]


def _deleted(template: Template, because: str = "") -> Step:
    done = ("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException")
    call = Call("ec2", "delete_launch_template", {"LaunchTemplateId": template.id}, done=done)
    return Step("delete", "launch-template", template.id, (call,), (), because)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything inside; tag specifications by resource type and key, as their order means nothing."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(
                _by_key(inner) if key in ("TagSpecifications", "Tags") else inner, f"{path}.{key}"
            )
    elif isinstance(value, (list, tuple)):
        yield f"{path.lstrip('.')} count", len(value)
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path.lstrip("."), value


def _by_key(value: Any) -> Any:
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        if all("ResourceType" in item for item in value):
            return {item["ResourceType"]: {"Tags": item["Tags"]} for item in value}
        return {item["Key"]: item["Value"] for item in value}
    return value


def _differences(have: Mapping[str, Any], want: Mapping[str, Any]) -> Iterator[Change]:
    """Leaves that are wanted and differ. What AWS adds is left alone."""
    there = dict(_leaves(have))
    for path, value in _leaves(want):
        if there.get(path) != value:
            yield Change(path, _shown(path, there.get(path)), _shown(path, value))


def _shown(path: str, value: Any) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, (Ref, UserData)):
        return LATER
    return digest(value) if path == "UserData" else str(value)


def digest(user_data: str) -> str:
    """User data for people: its size and a short fingerprint of its text."""
    try:
        raw = base64.b64decode(user_data)
        text = zlib.decompress(raw, 31) if raw[:2] == b"\x1f\x8b" else raw
    except (binascii.Error, zlib.error):
        return "(unreadable)"
    return f"{len(raw)} bytes, {hashlib.sha256(text).hexdigest()[:8]}"
