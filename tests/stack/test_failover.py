"""failover and drill: asked for, watched through the API, refused where they would do harm."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evernat.cli import drill, failover, status
from evernat.stack.errors import NotReady, StackError
from evernat.stack.handover import hand_over
from evernat.stack.serving import look
from evernat.stack.status import status as look_at
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring, turning
from tests.stack.world import World

app = typer.Typer()
for verb in (failover.failover, drill.drill, status.status):
    app.command(verb.__name__)(verb)


def run(*arguments: str) -> Any:
    """Run a verb of the stack `main`."""
    result = CliRunner().invoke(app, [*arguments, "--name", "main"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture
def agents(world: World) -> Iterator[Agents]:
    """A deployed pair in a world that turns by itself, since commands use the real time."""
    agents = Agents(world)
    world.deploy(pair(world))
    with turning(world):
        yield agents


def wishes(world: World) -> list[str]:
    """Tags left on addresses that ask for a handover."""
    found = world.client("ec2").describe_addresses()["Addresses"]
    return [t["Value"] for a in found for t in a.get("Tags", []) if t["Key"] == "evernat:handover"]


def test_failover(world: World, agents: Agents) -> None:
    """The standby gets address and routes, the wish is taken away again, and what is told is what happened."""
    before = agents.holders()["main"]
    told = json.loads(run("failover", "main", "--json").stdout)
    assert (told["from"]["instance"], told["from"]["slot"], told["to"]["slot"]) == (before, "a", "b")
    assert told["to"]["instance"] == agents.holders()["main"] != before
    assert set(told["route_seconds"]) == set(world.network.private_route_table_ids)
    assert 0 < told["address_seconds"] <= max(told["route_seconds"].values())
    assert wishes(world) == []
    text = run("failover").stdout
    assert "(slot b) →" in text
    assert agents.holders()["main"] == before


def test_where_to(world: World, agents: Agents) -> None:
    """--to takes a slot or an instance; the holder itself and a stranger are refused."""
    holder = agents.holders()["main"]
    (other,) = set(world.made()["instances"]) - {holder}
    for wrong in ("a", holder, "c", "i-0dead"):
        with pytest.raises(StackError, match=f"cannot go to {wrong}"):
            run("failover", "main", "--to", wrong)
    run("failover", "main", "--to", other)
    assert agents.holders()["main"] == other


def test_which_gateway(world: World, agents: Agents) -> None:
    """A gateway that is not there is told with those that are."""
    with pytest.raises(StackError, match="there is no gateway side") as caught:
        run("failover", "side")
    assert caught.value.remedy == "name one of main"


def test_nobody_there(world: World, agents: Agents) -> None:
    """Without a standby in service neither a failover nor a drill begins, and status says that the gateway is alone."""
    holder = agents.holders()["main"]
    (other,) = set(world.made()["instances"]) - {holder}
    world.cloud.faults.no_capacity()
    world.client("ec2").terminate_instances(InstanceIds=[other])
    calls = len([c for c in world.mutations() if "Terminate" in c])
    for words in (["failover"], ["drill", "--yes"]):
        with pytest.raises(StackError, match=r"ready to take"):
            run(*words)
    assert len([c for c in world.mutations() if "Terminate" in c]) == calls
    (gateway,) = look_at(world.api(), "main").gateways
    assert (gateway.state, gateway.holder, gateway.standby) == ("alone", holder, None)
    assert "slot b" in gateway.why


def test_deaf_holder(world: World) -> None:
    """A holder that does not answer keeps the gateway; the wish is taken away, and the message says whom to ask."""
    agents = Agents(world)
    world.deploy(pair(world))
    agents.works = False
    api = world.api()
    with pytest.raises(NotReady, match=r"still holds it"):
        hand_over(api, look(api, "main"), "main", "b", timeout=10, report=lambda _text: None)
    assert agents.slots() == {"main": "a"}
    assert wishes(world) == []


def test_drill(world: World, agents: Agents, tmp_path: Path) -> None:
    """The holder is terminated, the standby takes over, the page says so, and the pair heals."""
    holder = agents.holders()["main"]
    page = tmp_path / "drill.html"
    told = json.loads(run("drill", "--yes", "--json", "--report", str(page)).stdout)
    assert told["from"]["instance"] == holder
    assert told["to"]["instance"] == agents.holders()["main"]
    assert told["detection_seconds"] is None
    assert told["probe"] is None
    text = page.read_text()
    HTMLParser().feed(text)
    assert told["public_address"] in text
    assert holder in text
    assert not re.search(r"(src|href)=|url\(|@import", text)
    world.settle()
    world.settle()
    assert len(world.made()["instances"]) == 2


def test_ways(world: World, agents: Agents) -> None:
    """A way that is not known, or that needs a lab, is refused before anything is broken."""
    calls = len(world.mutations())
    with pytest.raises(StackError, match="'hammer' is not known"):
        run("drill", "--yes", "--how", "hammer")
    with pytest.raises(StackError, match="nobody is there to confirm"):
        run("drill")
    with pytest.raises(StackError, match="needs a host"):
        run("drill", "--connections", "5")
    assert [c for c in world.mutations()[calls:] if "Terminate" in c] == []


def test_status_of_a_pair(world: World, agents: Agents) -> None:
    """status shows who holds, who stands by, and how both are."""
    now = json.loads(run("status", "--json").stdout)
    assert (now["topology"], now["vpc_id"]) == ("pair", world.network.vpc_id)
    (gateway,) = now["gateways"]
    assert gateway["state"] == "ready"
    assert (gateway["holder_slot"], gateway["standby_slot"], gateway["home_slot"]) == ("a", "b", "a")
    assert gateway["holder"] == agents.holders()["main"]
    assert {gateway["holder"], gateway["standby"]} == set(world.made()["instances"])
    assert [r["state"] for r in now["routes"]] == ["ok"] * 3
    assert [n["slot"] for n in now["nodes"]] == ["a", "b"]
    assert [g["name"] for g in now["groups"]] == ["evernat-main-a", "evernat-main-b"]
    text = run("status").stdout
    assert f"holder {gateway['holder']} in a  standby {gateway['standby']} in b" in text
    assert len(text.splitlines()) < 24


def test_ring(world: World) -> None:
    """In a ring the slot names its gateway, and status shows who is away from home."""
    agents = Agents(world)
    agents.returns = False
    world.deploy(ring(world))
    with turning(world), pytest.raises(StackError, match="which gateway"):
        run("failover")
    with turning(world):
        told = json.loads(run("failover", "b", "--json").stdout)
        assert (told["gateway"], told["from"]["slot"], told["to"]["slot"]) == ("main-b", "b", "c")
        text = run("status").stdout
    assert "in c (home is b)" in text
    assert "ring" in text
    assert agents.slots() == {"main-a": "a", "main-b": "c", "main-c": "c"}


def test_not_for_interfaces(world: World) -> None:
    """A stack whose gateway is an interface has nothing to hand over."""
    world.deploy(world.gateway())
    with pytest.raises(StackError, match="no gateway that changes nodes"):
        run("failover")
