"""The calls that move a gateway, against the lab's cloud over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evernat.agent.common import Host
from evernat.agent.effects.address import Cloud
from evernat.agent.effects.api import RefusedError
from evernat.agent.effects.imds import Credentials, Metadata
from tests.lab_cloud.support import REGION, Lab, Server, make_lab


class User(Metadata):
    """There is no metadata on loopback: the keys are those of the lab's user."""

    def credentials(self, renew: bool = False) -> Credentials:
        return Credentials("lab", "lab", "")


@pytest.fixture
def lab() -> Iterator[Lab]:
    server = Server()
    yield make_lab(server)
    server.close()


@pytest.fixture
def cloud(lab: Lab) -> Cloud:
    return Cloud(Host("i-me", REGION, "10.0.0.0/24", lab.server.url), User())


def member(lab: Lab) -> tuple[str, str]:
    """A running instance's interface, and its private address."""
    card = lab.instance(lab.run())["NetworkInterfaces"][0]
    return card["NetworkInterfaceId"], card["PrivateIpAddress"]


def test_of_two_who_take_one_is_refused(lab: Lab, cloud: Cloud) -> None:
    """Compare-and-swap: an address that has an association is not taken, and stays where it is."""
    address, _ = lab.eip()
    first, second = member(lab), member(lab)
    held = cloud.take(address, *first)
    with pytest.raises(RefusedError, match=r"Resource\.AlreadyAssociated"):
        cloud.take(address, *second)
    found = lab.ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]
    assert (found["AssociationId"], found["NetworkInterfaceId"]) == (held, first[0])


def test_an_association_ends_once(lab: Lab, cloud: Cloud) -> None:
    """Compare-and-swap: who would end an association that is over is refused, and the next one stays."""
    address, _ = lab.eip()
    first, second = member(lab), member(lab)
    held = cloud.take(address, *first)
    cloud.release(held)
    then = cloud.take(address, *second)
    with pytest.raises(RefusedError, match=r"InvalidAssociationID\.NotFound"):
        cloud.release(held)
    assert lab.ec2.describe_addresses(AllocationIds=[address])["Addresses"][0]["AssociationId"] == then


def test_a_default_route_is_made_or_led_elsewhere(lab: Lab, cloud: Cloud) -> None:
    """A table without a default route gets one, with one it is replaced."""
    for interface, _ in (member(lab), member(lab)):
        assert not cloud.routes([lab.table], interface)[lab.table].here
        cloud.point(lab.table, interface)
        assert cloud.routes([lab.table], interface)[lab.table].here
