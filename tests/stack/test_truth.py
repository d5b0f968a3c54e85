"""Status says ready only when clients have internet, else what keeps them from it; deploy ends with what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from evernat.cli import deploy, status
from evernat.stack import library, names
from evernat.stack.api import Api
from evernat.stack.errors import NotReady
from evernat.stack.spec import Gateway
from evernat.stack.status import GatewayStatus
from evernat.stack.status import status as look
from tests.stack.cluster import Agents
from tests.stack.support import pair, ring
from tests.stack.telling import PASSES, failing, moment, report, write
from tests.stack.world import World, nat_gateway

app = typer.Typer()
app.command("status")(status.status)
app.command("deploy")(deploy.deploy)

Maker = Callable[[World], Gateway]


def single(world: World) -> Gateway:
    return world.gateway()


def by_address(world: World) -> Gateway:
    return world.gateway(identity="address")


TOPOLOGIES = [single, by_address, pair]


def made(world: World, gateway: Maker) -> None:
    """Deploy one, whose nodes keep what they said."""
    if gateway is not single:
        Agents(world)
    world.deploy(gateway(world))
    world.agent_works = False


def shown(world: World) -> GatewayStatus:
    """The one gateway's status."""
    (gateway,) = look(world.api(), "main").gateways
    return gateway


def exit_code() -> int:
    """What `evernat status` exits with."""
    return CliRunner().invoke(app, ["status", "--name", "main"], catch_exceptions=False).exit_code


def say(world: World, **changed: Any) -> None:
    """Have the holder say something else."""
    now = shown(world)
    values = {**report(str(now.holder), (now.standby,) if now.standby else ()), **changed}
    write(world.client, "main", "main", values)


def place(world: World) -> str:
    """The interface that the gateway sits on."""
    return str(shown(world).interface)


# Routes (O5)


def test_stopped_between_node_and_routes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C before the routes are set: a proven node without clients is not ready."""
    real = Api.call

    def interrupted(api: Api, service: str, operation: str, **params: Any) -> dict[str, Any]:
        if operation == "create_route":
            raise KeyboardInterrupt
        return real(api, service, operation, **params)

    with monkeypatch.context() as patch:
        patch.setattr(Api, "call", interrupted)
        with pytest.raises(KeyboardInterrupt):
            world.deploy(world.gateway())
    now = shown(world)
    assert now.state == "down"
    assert f"no route table leads to {now.interface}" in now.why
    assert exit_code() == 3
    world.deploy(world.gateway())
    assert (shown(world).state, exit_code()) == ("ready", 0)


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_one_table_of_three(world: World, gateway: Maker) -> None:
    """A table whose clients have no way, or another one, is named; the others do not make up for it."""
    made(world, gateway)
    table = world.network.private_route_table_ids[1]
    route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
    ec2, target = world.client("ec2"), place(world)
    ec2.delete_route(**route)
    now = shown(world)
    assert (now.state, now.why.startswith(f"{table} does not lead to ")) == ("down", True)
    ec2.create_route(**route, GatewayId=world.network.internet_gateway_id)
    assert table in shown(world).why
    ec2.replace_route(**route, NetworkInterfaceId=target)
    assert shown(world).state == "ready"


def test_a_ring_without_one_route(world: World) -> None:
    """Of a ring the gateway whose zone has no route is down, and only that one."""
    Agents(world)
    world.deploy(ring(world))
    world.agent_works = False
    world.client("ec2").delete_route(
        RouteTableId=world.network.private_route_table_ids[1], DestinationCidrBlock="0.0.0.0/0"
    )
    assert [g.state for g in look(world.api(), "main").gateways] == ["ready", "down", "ready"]


def test_tables_that_the_user_leads(world: World) -> None:
    """Without tables in the file deploy ends with "no route"; a route that the user makes counts."""
    world.deploy(world.gateway(private_route_table_ids=[]))
    assert (shown(world).state, "no route table leads" in shown(world).why) == ("down", True)
    world.client("ec2").create_route(
        RouteTableId=world.network.private_route_table_ids[0],
        DestinationCidrBlock="0.0.0.0/0",
        NetworkInterfaceId=place(world),
    )
    assert shown(world).state == "ready"


# The egress check (H2, H3, F3)


@pytest.mark.parametrize("gateway", TOPOLOGIES)
@pytest.mark.parametrize("hop", ["own table", "foreign forward chain", "route", "address", "check"])
def test_a_hop_that_fails(world: World, gateway: Maker, hop: str) -> None:
    """A node in service whose clients get no answer is not ready: hop and cause are said."""
    made(world, gateway)
    say(world, egress=failing(hop, "table ip filter, chain FORWARD"))
    now = shown(world)
    assert now.state == "down"
    assert f"{now.holder} has no way to the internet: {hop}: table ip filter, chain FORWARD" in now.why
    assert "at fault" not in now.why
    assert exit_code() == 3


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_a_hop_that_fails_before_service(world: World, gateway: Maker) -> None:
    """A holder whose launch hook waits for its proof: what keeps it from that is said."""
    made(world, gateway)
    holder = str(shown(world).holder)
    for group in world.cloud.region("us-west-2").groups.values():
        if holder in group.members:
            group.members[holder].state = "Pending:Wait"
    assert shown(world).state == "starting"
    assert "no way to the internet" not in shown(world).why
    say(world, egress=failing("foreign forward chain", "inet guard"))
    now = shown(world)
    assert now.state == "starting"
    assert now.why.endswith(f"{holder} has no way to the internet: foreign forward chain: inet guard")


def test_the_internet_is_at_fault(world: World) -> None:
    """When no node reaches the internet it is not the nodes; while one that could take over hears it, it is not."""
    made(world, pair)
    say(world, egress=failing("beyond", "1.1.1.1:443 timed out"))
    now = shown(world)
    assert now.state == "down"
    assert "at fault" not in now.why
    say(world, egress=failing("beyond", "1.1.1.1:443 timed out"), standby=[])
    assert "no node reaches the internet: the internet is at fault" in shown(world).why


def test_a_ring_where_one_node_has_no_internet(world: World) -> None:
    """What is beyond one node's reach and not the others' is no fault of the internet."""
    agents = Agents(world)
    world.deploy(ring(world))
    world.agent_works = False
    gone = failing("beyond", "8.8.8.8:443 timed out")
    for name, holder in agents.holders().items():
        write(world.client, "main", name, report(holder, egress=gone if name == "main-a" else PASSES))
    states = {g.name: g for g in look(world.api(), "main").gateways}
    assert states["main-a"].state == "down"
    assert "at fault" not in states["main-a"].why
    for name, holder in agents.holders().items():
        write(world.client, "main", name, report(holder, egress=gone))
    assert all("the internet is at fault" in g.why for g in look(world.api(), "main").gateways)


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_not_checked_yet(world: World, gateway: Maker) -> None:
    """A holder that has not checked is on its way."""
    made(world, gateway)
    values = {**report(str(shown(world).holder)), "egress": None}
    write(world.client, "main", "main", values)
    assert (shown(world).state, "has not checked" in shown(world).why) == ("starting", True)


def test_a_check_that_hangs(world: World) -> None:
    """A fresh report of an old check proves nothing."""
    made(world, single)
    say(world, egress={**PASSES, "at": moment(100)})
    assert shown(world).state == "ready"
    say(world, egress={**PASSES, "at": moment(200)})
    assert (shown(world).state, "last checked its way to the internet 20" in shown(world).why) == (
        "down",
        True,
    )


def test_an_agent_from_before(world: World) -> None:
    """Who knows no such check says whether it has proven NAT: that counts while an upgrade rolls."""
    made(world, pair)
    now = shown(world)
    values = report(str(now.holder), (str(now.standby),))
    del values["egress"]
    write(world.client, "main", "main", values)
    assert shown(world).state == "ready"
    write(world.client, "main", "main", {**values, "proven": False})
    assert (shown(world).state, "not proven" in shown(world).why) == ("down", True)


# The holder's word (H6)


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_a_stale_word(world: World, gateway: Maker) -> None:
    """Two minutes after the holder's last word nobody knows how its clients are."""
    made(world, gateway)
    say(world, at=moment(100))
    assert shown(world).state == "ready"
    say(world, at=moment(130))
    now = shown(world)
    assert now.state == "down"
    assert re.search(f"{now.holder} last reported 13. s ago: it has no way to the API", now.why)


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_no_word(world: World, gateway: Maker) -> None:
    """A holder that said nothing, or of which only another node says something, or what is no report, is not ready."""
    made(world, gateway)
    name = names.report_parameter("main", "main")
    ssm, holder = world.client("ssm"), str(shown(world).holder)
    for text in ("{}", json.dumps(report("i-0dead")), "x" * 4096):
        ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
        now = shown(world)
        assert (now.state, now.why) == ("starting", f"{holder} has not reported on main yet")
    ssm.delete_parameter(Name=name)
    assert shown(world).state == "starting"
    write(world.client, "main", "main", report(holder, at=moment(-3600)))
    assert (shown(world).state, "ahead" in shown(world).why) == ("down", True)


# Address, check and security groups (H6)


def test_the_address_taken_off(world: World) -> None:
    """A single's Elastic IP that is off, on another interface, or behind another address: not ready."""
    made(world, single)
    ec2, association = world.client("ec2"), world.interface()["Association"]
    allocation, public = association["AllocationId"], association["PublicIp"]
    ec2.disassociate_address(AssociationId=association["AssociationId"])
    now = shown(world)
    assert (now.state, now.why) == ("down", f"the Elastic IP {public} is not on {now.interface}")
    other = ec2.create_network_interface(SubnetId=world.network.public_subnet_ids[0])["NetworkInterface"]
    ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=other["NetworkInterfaceId"])
    assert f"but on {other['NetworkInterfaceId']}" in shown(world).why
    mine = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=mine, NetworkInterfaceId=str(now.interface))
    assert f"the Elastic IP {public} is not on" in shown(world).why


@pytest.mark.parametrize("gateway", [by_address, pair])
def test_the_address_of_a_gateway_taken_away(world: World, gateway: Maker) -> None:
    """Where the address is the gateway: off, nobody has it; elsewhere, it is said where."""
    made(world, gateway)
    ec2 = world.client("ec2")
    (address,) = [a for a in ec2.describe_addresses()["Addresses"] if a.get("InstanceId")]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    now = shown(world)
    assert now.state == "starting"
    assert f"no node has taken gateway main ({address['PublicIp']}) yet" in now.why
    other = ec2.create_network_interface(SubnetId=world.network.public_subnet_ids[0])["NetworkInterface"]
    ec2.associate_address(
        AllocationId=address["AllocationId"], NetworkInterfaceId=other["NetworkInterfaceId"]
    )
    assert f"is on {other['NetworkInterfaceId']}, which is no node's" in shown(world).why
    assert shown(world).state == "down"


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_check_on(world: World, gateway: Maker) -> None:
    """With the source/destination check on, AWS drops every packet of a client."""
    made(world, gateway)
    interface = place(world)
    world.client("ec2").modify_network_interface_attribute(
        NetworkInterfaceId=interface, SourceDestCheck={"Value": True}
    )
    now = shown(world)
    assert (now.state, now.why) == ("down", f"the source/destination check of {interface} is on")


def rules(world: World, *, out: bool = False) -> tuple[str, list[dict[str, Any]]]:
    """The stack's security group and its rules."""
    (group,) = world.client("ec2").describe_security_groups(GroupNames=["evernat-main"])["SecurityGroups"]
    return group["GroupId"], group["IpPermissionsEgress" if out else "IpPermissions"]


def allow(world: World, group: str, *permissions: dict[str, Any]) -> None:
    """More rules inwards."""
    world.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_rules_stripped(world: World, gateway: Maker) -> None:
    """A security group that lets no client in, or nothing out, is said, with whom it keeps out."""
    made(world, gateway)
    ec2, (group, inward) = world.client("ec2"), rules(world)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=inward)
    now = shown(world)
    assert now.state == "down"
    assert f"the rules of {group} do not let all of " in now.why
    assert all(cidr in now.why for cidr in world.network.private_cidrs)
    assert exit_code() == 3
    allow(world, group, {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.18.0.0/16"}]})
    assert shown(world).state == "ready"
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=rules(world, out=True)[1])
    assert (shown(world).state, shown(world).why) == (
        "down",
        f"the rules of {group} do not let everything out",
    )


def test_rules_for_some(world: World) -> None:
    """One subnet left out, half a subnet, or TCP alone: not ready. Parts that make up the whole: ready."""
    made(world, single)
    ec2, (group, inward) = world.client("ec2"), rules(world)
    first, *others = world.network.private_cidrs
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=inward)
    rest = [{"CidrIp": cidr} for cidr in others]
    allow(world, group, {"IpProtocol": "-1", "IpRanges": [*rest, {"CidrIp": "172.18.64.0/21"}]})
    assert f"do not let all of {first} in" in shown(world).why
    allow(
        world,
        group,
        {"IpProtocol": "tcp", "FromPort": 0, "ToPort": 65535, "IpRanges": [{"CidrIp": first}]},
        # A group that names itself lets nodes in, no client.
        {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]},
    )
    assert f"do not let all of {first} in" in shown(world).why
    allow(world, group, {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "172.18.72.0/21"}]})
    assert shown(world).state == "ready"


def test_rules_that_cannot_be_judged(world: World) -> None:
    """Whom a prefix list or another group lets in is not known here: nothing is claimed."""
    made(world, pair)
    ec2, (group, inward) = world.client("ec2"), rules(world)
    other = ec2.create_security_group(GroupName="web", Description="web", VpcId=world.network.vpc_id)
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=inward)
    allow(world, group, {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": other["GroupId"]}]})
    assert shown(world).state == "ready"


@pytest.mark.parametrize("gateway", [single, pair])
def test_another_group_on_the_interface(world: World, gateway: Maker) -> None:
    """What counts are the groups that the interface has, not the one that the stack made."""
    made(world, gateway)
    ec2 = world.client("ec2")
    other = ec2.create_security_group(GroupName="shut", Description="shut", VpcId=world.network.vpc_id)
    group = other["GroupId"]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=place(world), Groups=[group])
    assert f"the rules of {group} do not let all of" in shown(world).why
    ec2.modify_network_interface_attribute(NetworkInterfaceId=place(world), Groups=[group, rules(world)[0]])
    assert shown(world).state == "ready"


def test_subnets_of_the_main_table(world: World) -> None:
    """Subnets without a table of their own are clients when the main table leads here."""
    made(world, single)
    ec2 = world.client("ec2")
    cidr = "172.18.224.0/20"
    ec2.create_subnet(VpcId=world.network.vpc_id, CidrBlock=cidr, AvailabilityZone="us-west-2a")
    assert shown(world).state == "ready"
    main = next(
        t["RouteTableId"]
        for t in ec2.describe_route_tables()["RouteTables"]
        if any(a.get("Main") for a in t["Associations"]) and t["VpcId"] == world.network.vpc_id
    )
    ec2.create_route(RouteTableId=main, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=place(world))
    assert f"do not let all of {cidr} in" in shown(world).why


# Standby


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"standby": []}, "hears no standby for main that is ready"),
        ({"sync": None}, "does not have all connections of main yet"),
        ({"sync": {"role": "follow", "synced": True}}, "does not have all connections of main yet"),
        ({"sync": {"role": "serve", "synced": False}}, "does not have all connections of main yet"),
    ],
)
def test_alone(world: World, changed: dict[str, Any], words: str) -> None:
    """Served, with nobody who could take over without loss: alone, and not ready for who asks by the exit code."""
    made(world, pair)
    say(world, **changed)
    now = shown(world)
    assert (now.state, words in now.why) == ("alone", True)
    assert exit_code() == 3


def test_down_wins(world: World) -> None:
    """What clients lack is told before what the standby lacks."""
    made(world, pair)
    say(world, standby=[], egress=failing("own table", "flushed"))
    assert (shown(world).state, "standby" in shown(world).why) == ("down", False)


# deploy ends with what status says (O6)


@pytest.mark.parametrize("turns", [0, 40])
def test_deploy_waits_for_the_standby(world: World, turns: int) -> None:
    """A pair's deploy ends when the holder hears its standby, and status says ready from then on."""
    agents = Agents(world)
    agents.heard_after = turns
    world.deploy(pair(world))
    assert (shown(world).state, agents.heard_after) == ("ready", -1) or not turns


def test_deploy_waits_for_the_connections(world: World) -> None:
    """A standby that does not have them yet is not ready."""
    Agents(world)
    world.teller().changed = {"sync": {"role": "serve", "synced": False}}
    with pytest.raises(NotReady, match="does not have all connections of main yet"):
        world.deploy(pair(world), timeout=60)
    assert shown(world).state == "alone"
    world.teller().changed = {}
    world.deploy(pair(world))
    assert shown(world).state == "ready"


@pytest.mark.parametrize("gateway", TOPOLOGIES)
def test_deploy_does_not_end_without_proof(world: World, gateway: Maker) -> None:
    """A node in service that says nothing, or that its clients have no internet, is waited for; no route leads to it
    where there was none that it may take."""
    if gateway is not single:
        Agents(world)
    world.teller().mute = True
    with pytest.raises(NotReady, match="has not reported on main yet"):
        world.deploy(gateway(world), timeout=60)
    world.teller().mute = False
    world.teller().egress = failing("foreign forward chain", "table ip filter chain FORWARD drops")
    with pytest.raises(NotReady, match="no way to the internet: foreign forward chain: table ip filter"):
        world.deploy(gateway(world), timeout=60)
    if gateway is single:
        assert world.routes() == {}
    world.teller().egress = PASSES
    world.deploy(gateway(world))
    assert shown(world).state == "ready"


def test_rolled_without_routes(world: World) -> None:
    """What happens between proof and the end counts as well: deploy waits for its last step too."""
    made(world, single)
    world.agent_works = True
    api = world.api()
    plan = library.plan(world.gateway(), api)
    assert plan.changes == ()
    world.client("ec2").delete_route(
        RouteTableId=world.network.private_route_table_ids[0], DestinationCidrBlock="0.0.0.0/0"
    )
    with pytest.raises(NotReady, match="does not lead to"):
        library.apply(plan, api, timeout=5)


def test_an_address_that_the_user_brings(world: World) -> None:
    """elastic_ip = none: deploy ends without an address and says so; over a working route it does not take that."""
    world.deploy(world.gateway(elastic_ip="none"))
    now = shown(world)
    assert (now.state, "has no public address" in now.why) == ("down", True)
    ec2 = world.client("ec2")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, NetworkInterfaceId=place(world))
    assert shown(world).state == "ready"


def test_an_address_that_the_user_brings_later(world: World) -> None:
    """Without an address nothing is proven, so a working NAT Gateway's routes stay."""
    nat = nat_gateway(world)
    with pytest.raises(NotReady, match="has no public address"):
        world.deploy(world.gateway(elastic_ip="none"), replace_routes=True, timeout=30)
    assert set(world.routes().values()) == {nat}


# Exit codes


def test_exit_codes(world: World) -> None:
    """0 ready or disabled, 3 not ready; with --json the state is in the document and 0 says that it was answered."""
    made(world, single)
    assert exit_code() == 0
    say(world, at=moment(999))
    assert exit_code() == 3
    asked = CliRunner().invoke(app, ["status", "--name", "main", "--json"])
    assert (asked.exit_code, json.loads(asked.stdout)["gateways"][0]["state"]) == (0, "down")
    world.agent_works = True
    world.deploy(world.gateway(enabled=False))
    assert (shown(world).state, exit_code()) == ("disabled", 0)
