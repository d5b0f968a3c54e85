"""What others do to a single's node: repaired at once, or named, on real packets with a stub cloud."""

from __future__ import annotations

import contextlib
import json
import re
import time

import pytest

from evernat.agent import contract
from evernat.lab.addresses import INTERNET_HOST, PLACES
from evernat.lab.disturbances import script, undo
from tests.agent.stub import CLIENT, GATEWAY, NODE, PUBLIC, Lab, config
from tests.broken import REPAIRED

pytestmark = pytest.mark.packets


@pytest.fixture
def ready(lab: Lab) -> Lab:
    """The agent holds the gateway, and has reported so."""
    lab.start()
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.until(lambda: report(lab).get("proven"))
    return lab


def report(lab: Lab) -> dict[str, object]:
    """What the node last reported of its gateway."""
    found: dict[str, object] = json.loads(lab.cloud.parameters.get(contract.report("main", "main"), "{}"))
    return found


def passes(lab: Lab, seconds: float = 0.1) -> bool:
    """Whether a new connection of the client's gets out."""
    with lab.fabric.socket(CLIENT) as made:
        made.settimeout(seconds)
        with contextlib.suppress(OSError):
            made.connect(PLACES[0])
            return True
    return False


MORE = {
    "link down and up": "ip link set ens6 down; ip link set ens6 up",
    "our rules": "ip rule del priority 9000; ip rule del priority 8999",
    "our table's routes": "ip route flush table 9000",
    "a rule in our table": "nft insert rule ip evernat forward drop",
    "our chain": "nft flush chain ip evernat forward",
    "strict reverse path": "cd /proc/sys/net/ipv4/conf; echo 1 >ens6/rp_filter; echo 1 >all/rp_filter",
}


@pytest.mark.parametrize("how", [*REPAIRED, "networkd", *MORE])
def test_repaired_within_a_second(ready: Lab, how: str) -> None:
    """The first connection of a client gets out again within a second of each, and the node ends up holding."""
    assert ready.until(lambda: passes(ready))
    said = ready.run(NODE, script(how) or MORE[how])
    began = time.monotonic()
    ready.until(lambda: passes(ready), 5)
    assert time.monotonic() - began < 1.0, said
    ready.until(ready.holds)
    assert passes(ready, 1.0)


FOREIGN = {
    "forward-drop": "table inet guard, chain forward",
    "docker-forward": "table ip filter, chain FORWARD",
    "firewalld-forward": "table inet firewalld, chain filter_FORWARD",
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_foreign_chain_is_named(ready: Lab, how: str) -> None:
    """A chain of others that stops clients: not proven any more, and the chain is named, to the stack too (H3, F3)."""
    assert not ready.run(NODE, script(how))
    ready.until(lambda: ready.status().get("role") == "proving")
    cause = ready.status()["cause"]
    assert cause.startswith("clients do not get out: foreign forward chain: ")
    assert FOREIGN[how] in cause
    ready.until(lambda: report(ready).get("proven") is False)
    assert report(ready)["egress"]["hop"] == "foreign forward chain"  # type: ignore[index]
    ready.run(NODE, undo(how))
    ready.until(ready.holds)


def blocked(ready: Lab, *addresses: str) -> None:
    """Addresses of the internet that answer nobody any more."""
    lines = "".join(f"add rule ip away away ip daddr {address} drop\n" for address in addresses)
    table = "table ip away { chain away { type filter hook input priority 0; }; }\n"
    assert not ready.run("internet", f"nft -f - <<'E'\n{table}{lines}E")


def test_the_internet_without_the_api(ready: Lab) -> None:
    """The API and the service that tells addresses answer, the internet does not: not proven (H2)."""
    blocked(ready, PLACES[0][0])
    time.sleep(contract.CHECK_EVERY + 1)
    assert ready.holds(), "the second place is enough"
    blocked(ready, PLACES[1][0])
    ready.until(lambda: ready.status().get("role") == "proving", contract.CHECK_EVERY + 5)
    ready.until(lambda: "the internet is at fault" in ready.status()["cause"])
    assert re.search("beyond: .*no answer", ready.status()["cause"])
    ready.run("internet", "nft delete table ip away")
    ready.until(ready.holds)


def test_never_proven_without_internet(lab: Lab) -> None:
    """At a first start, too: the hook is not answered."""
    blocked(lab, *(address for address, _ in PLACES))
    lab.start()
    lab.until(lambda: "clients do not get out" in lab.status().get("cause", ""))
    lab.until(lambda: report(lab).get("proven") is False)
    assert lab.cloud.hook == "waiting"


def test_the_address_is_taken_off(lab: Lab) -> None:
    """A check fails, the cause is what AWS's record says, and no new node is asked for: it would lack it too (H6)."""
    lab.start(config(address="eipalloc-1"), constants={"REPLACE_AFTER": "3.0"})
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.cloud.change(GATEWAY, public=())
    lab.until(lambda: "eipalloc-1 is not on" in lab.status().get("cause", ""), 15)
    lab.until(lambda: report(lab).get("proven") is False)
    time.sleep(5)
    assert lab.cloud.unhealthy == []
    lab.cloud.change(GATEWAY, public=(("172.18.128.50", PUBLIC),))
    lab.until(lab.holds)


def test_the_checks_cable(ready: Lab) -> None:
    """The cable of the agent's own client is made anew when somebody takes it away."""
    ready.run(NODE, "ip link del evernat0")
    ready.until(lambda: "169.254.82.1/" in ready.run(NODE, "ip -4 address show dev evernat0"))
    ready.until(ready.holds)
    assert passes(ready, 1.0)


def test_api_blackout(ready: Lab) -> None:
    """Without API and metadata the node holds, and repairs as fast as ever."""
    blocked(ready, "198.51.100.2")
    ready.run(NODE, "ip route add blackhole 169.254.169.254")
    time.sleep(3)
    ready.run(NODE, "nft flush ruleset")
    began = time.monotonic()
    ready.until(lambda: passes(ready), 5)
    assert time.monotonic() - began < 1.0
    ready.until(ready.holds)


def test_connections_outlive_a_flush(ready: Lab) -> None:
    """A connection is not reset by the machine whose rules are away for a moment (F5)."""
    listener = ready.fabric.socket("internet")
    listener.bind((INTERNET_HOST, 7))
    listener.listen()
    made = ready.fabric.socket(CLIENT)
    made.settimeout(5)
    made.connect((INTERNET_HOST, 7))
    far, _ = listener.accept()
    far.settimeout(5)
    for n in range(5):
        ready.run(NODE, "nft flush ruleset")
        for _ in range(20):
            far.sendall(b"x")
            time.sleep(0.005)
        made.sendall(b"y")
        assert far.recv(1) == b"y", n
    received = b""
    while len(received) < 100:
        received += made.recv(100)
    for one in (listener, made, far):
        one.close()


def test_a_node_of_no_use(lab: Lab) -> None:
    """When clients do not get out and the node does, it is marked unhealthy once, and the stack's record says so."""
    lab.start(constants={"REPLACE_AFTER": "3.0"})
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.run(NODE, script("docker-forward"))
    lab.until(lambda: lab.cloud.unhealthy, 20)
    assert lab.cloud.unhealthy == [NODE]
    record = json.loads(lab.cloud.parameters[contract.report("main", "replacement")])
    assert record["instance"] == NODE


def test_one_replacement_in_a_while(lab: Lab) -> None:
    """After another node's replacement this one waits, and says why."""
    lab.cloud.parameters[contract.report("main", "replacement")] = json.dumps(
        {"instance": "i-0000000000000000f", "at": time.time() - 100}
    )
    lab.start(constants={"REPLACE_AFTER": "3.0"})
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.run(NODE, script("docker-forward"))
    lab.until(lambda: any("was replaced" in each for each in lab.status()["problems"]), 20)
    assert lab.cloud.unhealthy == []


def test_why_a_launch_was_given_up(lab: Lab) -> None:
    """Before the hook is given back the cause is where it can be read when the machine is gone (H13)."""
    blocked(lab, *(address for address, _ in PLACES))
    lab.start(constants={"LIMIT": "8.0"})
    lab.until(lambda: lab.cloud.hook == "ABANDON", 20)
    said = json.loads(lab.cloud.parameters[contract.report("main", "node")])
    assert (said["instance"], said["role"]) == (NODE, "failed")
    assert "clients do not get out: beyond" in said["cause"]


def test_reports(ready: Lab) -> None:
    """A holder reports like that of a pair, on news, and without haste."""
    told = report(ready)
    assert told["holder"] == NODE
    assert told["egress"]["address"] == PUBLIC  # type: ignore[index]
    assert told["standby"] == []
    limits = "not set: netfilter/nf_conntrack_"  # no namespace has its own
    assert not [each for each in told["problems"] if not str(each).startswith(limits)]  # type: ignore[attr-defined]
    assert len(ready.cloud.writes) <= 3


def test_a_report_that_got_lost(lab: Lab) -> None:
    """It is made up for within seconds, not at the next time a report is due."""
    lab.cloud.refuse["PutParameter"] = ["ThrottlingException", "ThrottlingException"]
    lab.start()
    lab.until(lambda: lab.cloud.hook == "CONTINUE")
    lab.until(lambda: report(lab).get("proven"), 15)
    assert lab.cloud.refuse["PutParameter"] == []
