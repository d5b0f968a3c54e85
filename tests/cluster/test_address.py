"""The calls that move a gateway, against the lab's cloud over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evernat.agent import beside
from evernat.agent.common import Host
from evernat.agent.effects.address import Cloud
from evernat.agent.effects.api import RefusedError
from evernat.agent.effects.imds import Credentials, Metadata
from evernat.agent.effects.web import UnansweredError
from evernat.bundle import folder, parameters
from evernat.bundle.sources import beside_sources
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
        assert not cloud.routes([lab.table], interface, ())[lab.table].here
        cloud.point(lab.table, interface)
        assert cloud.routes([lab.table], interface, ())[lab.table].here


KEY = "/evernat/main/key"


@pytest.fixture
def stored(lab: Lab) -> list[str]:
    """The parameters of a stack's agent, and the key; the names of the former."""
    ssm, code = lab.server.client("ssm"), parameters("main")
    assert len(code) > 10
    for name, value in {KEY: "c0ffee", **code}.items():
        ssm.put_parameter(Name=name, Value=value, Type="String")
    return list(code)


def asked(lab: Lab) -> list[int]:
    """How many names each GetParameters so far asked for."""
    return [len(c.params["Names"]) for c in lab.cloud.calls if c.action == "GetParameters"]


def test_the_agents_files_are_fetched_by_ten(
    lab: Lab, cloud: Cloud, stored: list[str], tmp_path: Path
) -> None:
    """More parameters than one call takes; a node that starts again asks for the key alone."""
    for below in ("effects", "kernel"):
        (tmp_path / below).mkdir()
    for _ in range(2):
        assert beside.fetch(cloud, str(tmp_path), KEY, stored) == "c0ffee"
        for path, source in beside_sources().items():
            assert (tmp_path / path).read_text() == source
        (tmp_path / "elect.py").write_text("lost with the power")
    total = len(stored) + 1
    assert asked(lab) == [*[10] * (total // 10), *([total % 10] if total % 10 else []), 1]


@pytest.mark.parametrize("missing", [0, 10])
def test_a_parameter_that_does_not_exist(
    lab: Lab, cloud: Cloud, stored: list[str], tmp_path: Path, missing: int
) -> None:
    """It is named, in whichever call it was asked for, and no file is written."""
    lab.server.client("ssm").delete_parameter(Name=stored[missing])
    with pytest.raises(UnansweredError, match=f"{folder('main')}/.*/{missing}$"):
        beside.fetch(cloud, str(tmp_path), KEY, stored)
    assert list(tmp_path.iterdir()) == []
