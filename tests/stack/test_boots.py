"""What a boot that failed leaves behind: its cause and its console, shown when the machine is gone."""

from __future__ import annotations

from typing import Any

import pytest

from evernat.cli.status import boot_lines
from evernat.stack.boots import LINES, Boot
from evernat.stack.errors import NotReady
from evernat.stack.status import Status, status
from tests.stack.cluster import Agents
from tests.stack.support import pair
from tests.stack.telling import failed_boot, moment, write
from tests.stack.world import World

CAUSE = "installing nftables: killed, out of memory"


def written(world: World, text: str) -> None:
    """What every console has on it."""
    world.cloud.console = lambda _instance: text.encode()


def look(world: World) -> Status:
    return status(world.api(), "main")


def test_a_node_that_gave_up(world: World) -> None:
    """deploy tells what the node said before it gave up, and the end of its console, although it is gone."""
    world.gives_up = CAUSE
    written(world, "first\n" + "line\n" * LINES + "oom-killer: dnf\n")
    with pytest.raises(NotReady) as caught:
        world.deploy(world.gateway(), timeout=60)
    first, *lines = caught.value.cause.splitlines()
    assert "gave up: " + CAUSE in first
    assert any(line.startswith("i-") and CAUSE in line for line in lines)
    assert lines[-1] == "oom-killer: dnf"
    assert "first" not in lines
    now = look(world)
    assert [(boot.cause, boot.console[-1]) for boot in now.boots] == [(CAUSE, "oom-killer: dnf")]
    assert now.boots[0].instance not in {n.id for n in now.nodes}
    assert now.as_dict()["boots"][0]["cause"] == CAUSE


def test_all_is_well_again(world: World) -> None:
    """With a node in service nothing is shown of the one before, and destroy leaves nothing of either."""
    world.gives_up = CAUSE
    with pytest.raises(NotReady):
        world.deploy(world.gateway(), timeout=20)
    world.gives_up = ""
    world.deploy(world.gateway())
    assert look(world).boots == ()
    assert (look(world).gateways[0].state, look(world).gateways[0].why) == ("ready", "")
    world.destroy()
    world.gone()


def test_a_node_that_said_nothing(world: World) -> None:
    """One that was thrown away without a word has its console; of several the youngest is shown."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    (silent,) = world.made()["instances"]
    written(world, "kernel panic\n")
    world.cloud.faults.no_capacity()
    world.client("ec2").terminate_instances(InstanceIds=[silent])
    world.settle()
    assert [(b.instance, b.cause, b.console) for b in look(world).boots] == [(silent, "", ("kernel panic",))]
    with pytest.raises(NotReady, match=f"{silent} gave no cause\nkernel panic"):
        world.deploy(world.gateway(), timeout=5)


def test_a_node_that_is_still_trying(world: World) -> None:
    """A node that never came to an end is shown by its console as well."""
    world.agent_works = False
    written(world, "cloud-init: waiting for the network\n")
    with pytest.raises(NotReady, match="cloud-init: waiting for the network"):
        world.deploy(world.gateway(), timeout=30)


def test_the_slot_of_a_pair(world: World) -> None:
    """A standby that fails is told with its slot, while the gateway is served."""
    agents = Agents(world)
    world.deploy(pair(world))
    (standby,) = set(world.made()["instances"]) - {agents.holders()["main"]}
    world.cloud.faults.no_capacity()
    world.client("ec2").terminate_instances(InstanceIds=[standby])
    world.settle()
    write(world.client, "main", "node-b", failed_boot(standby, "egress check: beyond", problems=["no nft"]))
    now = look(world)
    assert now.gateways[0].state == "alone"
    (boot,) = now.boots
    assert (boot.instance, boot.slot, boot.problems) == (standby, "b", ("no nft",))
    assert boot.lines() == (f"{standby} in slot b gave up: egress check: beyond; no nft",)


def test_an_old_cause(world: World) -> None:
    """What failed hours ago is not why a node is missing now."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    (booting,) = world.made()["instances"]
    write(world.client, "main", "node", failed_boot("i-0dead", CAUSE, at=moment(3 * 3600)))
    assert [(b.instance, b.cause) for b in look(world).boots] == [(booting, "")]
    write(world.client, "main", "node", failed_boot("i-0dead", CAUSE, at=moment(600)))
    assert [(b.instance, b.cause) for b in look(world).boots] == [("i-0dead", CAUSE)]


BAD: list[dict[str, Any]] = [
    {}, {"instance": "i-1"}, failed_boot("i-1\x1b[2J", "x"), failed_boot("i-1", "x", at="yesterday"),
    {**failed_boot("i-1", "x"), "cause": 5}, {**failed_boot("i-1", "x"), "problems": ["x"] * 40},
]  # fmt: skip


@pytest.mark.parametrize("values", BAD, ids=range(len(BAD)))
def test_no_report(world: World, values: dict[str, Any]) -> None:
    """A text that is no such report tells nothing."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    write(world.client, "main", "node", values)
    assert [b.cause for b in look(world).boots] == [""]


def test_hostile_consoles(world: World) -> None:
    """A console acts on no terminal: escapes are shown, lines are short, markup is no markup."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    written(world, "\x1b[2J\x1b]8;;http://x\x07[red]boo[/]\u202e\n" + "y" * 5000 + "\n\x00\n")
    (boot,) = look(world).boots
    shown = "\n".join(boot.console)
    assert shown.isprintable() or all(line.isprintable() for line in boot.console)
    assert "\\x1b[2J" in shown
    assert max(map(len, boot.console)) <= 300
    assert all("\x1b" not in line for line in boot_lines(boot))


def test_a_console_that_may_not_be_read(world: World) -> None:
    """Without the permission status still answers, and says which is missing."""
    world.agent_works = False
    world.deploy(world.gateway(), ready=False)
    world.settle()
    world.cloud.faults.add("GetConsoleOutput", "UnauthorizedOperation", times=-1)
    (boot,) = look(world).boots
    assert boot.console == ("(its console cannot be read: UnauthorizedOperation)",)


def test_lines_of_a_boot() -> None:
    """Text for people, with whatever is known."""
    assert Boot("i-1", "").lines() == ("i-1 gave no cause",)
    assert Boot("i-1", "a", at="x", console=("a", "b")).lines() == (
        "i-1 in slot a gave up: no cause given", "a", "b",
    )  # fmt: skip
