"""Instance types, image, disk, key pair, policy, user data."""

from __future__ import annotations

from collections.abc import Iterator

from evernat.bundle import UserDataTooLargeError
from evernat.stack.checks.network import named_subnets
from evernat.stack.context import Context
from evernat.stack.environment import ssm_policy
from evernat.stack.errors import Problem
from evernat.stack.found import InstanceType
from evernat.stack.parts.template import user_data
from evernat.stack.values import resolve

LIKELY = {"interface": "eni-0f1e2d3c4b5a69788", "address": "eipalloc-0a1b2c3d4e5f60718"}
"""Ids as AWS makes them, to measure user data before the real ones exist."""


def check(context: Context) -> Iterator[Problem]:
    """Everything the node must be."""
    yield from _types(context)
    yield from _image(context)
    yield from _user_data(context)
    gateway, environment = context.gateway, context.environment
    if not environment.key_exists:
        remedy = f"create it in {environment.identity.region}, or leave key_name out"
        yield Problem("key_name", gateway.key_name, "there is no such key pair in the region", remedy)
    if not environment.policy_exists:
        arn = ssm_policy(gateway)
        remedy = "correct the ARN, or leave it out for an inline policy of just what Session Manager needs"
        yield Problem("ssm_policy_arn", arn, "there is no such policy", remedy)


def _types(context: Context) -> Iterator[Problem]:
    gateway, environment = context.gateway, context.environment
    value = ", ".join(gateway.instance_types)
    unknown = [name for name in gateway.instance_types if name not in environment.types]
    for name in unknown:
        region = environment.identity.region
        yield Problem(
            "instance_types", name, f"there is no such instance type in {region}", "correct it or remove it"
        )
    known = [environment.types[name] for name in gateway.instance_types if name in environment.types]
    if len({t.architecture for t in known}) > 1:
        listed = ", ".join(f"{t.name} is {t.architecture}" for t in known)
        yield Problem(
            "instance_types", value, f"mixes architectures: {listed}", "keep types of one architecture"
        )
    for kind in known:
        yield from _offered(context, kind)
        if not gateway.by_address and kind.interfaces < 2:
            yield Problem(
                "instance_types", kind.name, "takes one interface, a node needs two", "choose another type"
            )
        needed = max((slot.addresses for slot in context.slots if slot), default=1)
        if kind.addresses < needed:
            cause = (
                f"takes {kind.addresses} IPv4 per interface, a node of this {gateway.topology} needs {needed}"
            )
            larger = "choose a larger type, such as a small one"
            remedy = f'{larger}, or set node_address = "shared"' if gateway.on_secondary else larger
            yield Problem("instance_types", kind.name, cause, remedy)


def _offered(context: Context, kind: InstanceType) -> Iterator[Problem]:
    for field, subnet in named_subnets(context.gateway):
        place = context.environment.subnets.get(subnet)
        if place and place.zone not in kind.zones:
            yield Problem(
                "instance_types",
                kind.name,
                f"is not offered in {place.zone}, the zone of {field}",
                "choose another type, or a public subnet in another zone",
            )


def _image(context: Context) -> Iterator[Problem]:
    gateway, image = context.gateway, context.environment.image
    architectures = {t.architecture for t in context.environment.types.values()}
    if image is None:
        if gateway.image_id:
            region = context.environment.identity.region
            remedy = "name an image of this region, or leave image_id out for Amazon Linux 2023"
            yield Problem("image_id", gateway.image_id, f"there is no such image in {region}", remedy)
        return
    if len(architectures) == 1 and image.architecture not in architectures:
        types, wanted = ", ".join(gateway.instance_types), architectures.pop()
        yield Problem(
            "image_id",
            gateway.image_id,
            f"is for {image.architecture}, but instance_types ({types}) is {wanted}",
            "choose an image or types of the same architecture, or leave image_id out",
        )
    size = gateway.root_volume.size
    if size is not None and size < image.size:
        remedy = f"use {image.size} or more, or leave it out"
        yield Problem("root_volume.size", str(size), f"is less than the image's {image.size} GiB", remedy)


def _user_data(context: Context) -> Iterator[Problem]:
    likely = dict(LIKELY)
    if context.gateway.by_address:
        likely |= {f"address {shape.name}": LIKELY["address"] for shape in context.layout.gateways}
    try:
        for slot in context.slots:
            resolve(user_data(context, slot), {**likely, **context.known})
    except UserDataTooLargeError as error:
        field = "user_data_write_files" if context.gateway.user_data_write_files else "user_data_runcmd"
        yield Problem(
            field,
            "",
            f"makes the user data too large: {error}",
            "shorten it, or fetch what is large while booting",
        )
