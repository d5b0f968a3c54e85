"""Pairs and rings in the world of the stack's tests, and what their nodes are told."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evernat.bundle import parameters
from evernat.stack.spec import Gateway
from tests.stack.world import World

PARAMETERS = 1 + len(parameters("main"))
"""The key, and the agent's files beside the user data; reports are counted by gateway."""


def pair(world: World, **fields: Any) -> Gateway:
    """A pair in two zones."""
    table = world.table()
    del table["public_subnet"]
    subnets = list(world.network.public_subnet_ids[:2])
    return world.gateway_of({**table, "topology": "pair", "public_subnets": subnets, **fields})


def ring(world: World, **fields: Any) -> Gateway:
    """A ring over all three zones."""
    table = world.table()
    del table["public_subnet"]
    subnets = list(world.network.public_subnet_ids)
    return world.gateway_of({**table, "topology": "ring", "public_subnets": subnets, **fields})


def template_of(world: World, slot: str) -> dict[str, Any]:
    """The newest version of a slot's launch template."""
    answer = world.client("ec2").describe_launch_template_versions(
        LaunchTemplateName=f"evernat-main-{slot}", Versions=["$Latest"]
    )
    return dict(answer["LaunchTemplateVersions"][0]["LaunchTemplateData"])


def agent_json(world: World, slot: str) -> dict[str, Any]:
    """The agent's settings inside a slot's user data."""
    text = gzip.decompress(base64.b64decode(template_of(world, slot)["UserData"])).decode()
    after = text.split("- path: /etc/evernat/agent.json\n", 1)[1]
    return dict(json.loads(after.splitlines()[1].strip()))


@contextmanager
def turning(world: World) -> Iterator[None]:
    """The world turns by itself, for commands that use the real time."""
    done = threading.Event()

    def turn() -> None:
        while not done.wait(0.02):
            world.clock.sleep(1.0)

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
