"""A pair: whatever happens to a node, connections stay open, the address stays, and the pair is whole again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from evernat.lab import checks
from evernat.lab.checks import until
from evernat.lab.probing import watching

from .cluster import Cluster, deployed, kept, out_under

pytestmark = pytest.mark.timeout(120)

CALM = 2.0
"""Seconds in which TCP repeats what was lost, so that a stream shows that it lives."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with deployed("pair", 2, tmp_path_factory.mktemp("pair")) as made:
        yield made


def gateway(pair: Cluster) -> dict[str, Any]:
    """The pair's gateway once it is whole."""
    return pair.whole()["main"]


def test_deployed(pair: Cluster) -> None:
    """Slot a holds, b stands by, and clients of every zone are out under the one address."""
    found = gateway(pair)
    assert (found["holder_slot"], found["standby_slot"]) == ("a", "b")
    for host in ("client-b", "client-c"):
        assert out_under(pair, host, pair.public)
    results = checks.everything(pair.lab, "client-a", pair.public)
    assert all(r.ok for r in results), results


def test_power_off(pair: Cluster) -> None:
    """500 connections outlive three holders in a row, across zones and under the same address, and the way back."""
    begun = time.time()
    with pair.load() as load:
        assert load.opened.total("wanted") == 500
        for _ in range(3):
            before = gateway(pair)
            with watching(pair.lab, "client-a") as seen:
                pair.lab.kill(before["holder"], "power")
                kept(load)
                time.sleep(CALM)
            assert seen.stream_alive
            after = gateway(pair)
            assert (after["holder"], after["public_address"]) == (before["standby"], pair.public)
        done = pair.failover("main", "--to", "a")
        assert done["to"]["slot"] == "a"
        kept(load)
    assert len(pair.associations(begun)) == 4


def test_failover(pair: Cluster) -> None:
    """The operator's handover loses nothing, and stays where it was put."""
    before = gateway(pair)
    with pair.load() as load:
        with watching(pair.lab, "client-a") as seen:
            done = pair.failover("main")
        kept(load)
    assert done["to"]["instance"] == before["standby"]
    assert seen.stream_alive
    assert gateway(pair)["holder"] == before["standby"]


def test_report(pair: Cluster) -> None:
    """`status` knows from the holder why it has the gateway, who stands by for it, and that the copies are whole."""
    before = gateway(pair)
    pair.failover("main")

    def told() -> dict[str, Any] | None:
        report = gateway(pair)["report"]
        return dict(report) if report and (report["sync"] or {}).get("synced") else None

    report = until(told, 15)
    assert report, pair.gateways()
    assert report["standby"] == [before["holder"]]
    assert report["why"] == f"offered by {before['holder']}"
    assert report["taken"] <= report["since"]
    assert not report["stale"]
    calls = [c for c in pair.lab.call("calls") if c["action"] == "PutParameter" and c["principal"] != "user"]
    assert not [c for c in calls if c["error"]]


def test_terminated(pair: Cluster) -> None:
    """A terminated holder is no worse than a power-off."""
    before = gateway(pair)
    with pair.load(("client-b",)) as load:
        pair.lab.kill(before["holder"], "terminate")
        assert until(lambda: gateway(pair)["holder"] not in (None, "", before["holder"]), 30)
        assert gateway(pair)["public_address"] == pair.public
        kept(load)


@pytest.mark.parametrize("notice", ["interrupt", "rebalance"])
def test_spot(pair: Cluster, notice: str) -> None:
    """A node that is told it may be taken away gives the gateway away first, and no connection notices."""
    before, begun = gateway(pair), time.time()
    with pair.load() as load:
        with watching(pair.lab, "client-a") as seen:
            pair.warn(before["holder"], notice)
            taker = pair.handed(
                before["holder"], "main"
            )  # the standby, or the replacement if that was as fast
            kept(load)
            assert until(lambda: before["holder"] not in pair.alive(), 40)
            time.sleep(CALM)
        assert seen.stream_alive
        after = gateway(pair)
        kept(load)
    assert (after["holder"], after["public_address"]) == (taker, pair.public)
    assert len(pair.associations(begun)) == 1


def test_stopped_unit(pair: Cluster) -> None:
    """So does an agent that is stopped; when it is started again it stands by."""
    before, begun = gateway(pair), time.time()
    systemctl = ["systemctl", "--no-pager"]
    with pair.load() as load:
        with watching(pair.lab, "client-a") as seen:
            stopped = pair.lab.exec(before["holder"], [*systemctl, "stop", "evernat-agent"], inside=True)
            assert stopped.returncode == 0, stopped.stderr
            assert pair.handed(before["holder"], "main") == before["standby"]
            kept(load)
            time.sleep(CALM)
        assert seen.stream_alive
        pair.lab.exec(before["holder"], [*systemctl, "start", "evernat-agent"], inside=True)
        after = gateway(pair)
        kept(load)
    assert (after["holder"], after["standby"]) == (before["standby"], before["holder"])
    assert len(pair.associations(begun)) == 1


def test_rolling_upgrade(pair: Cluster) -> None:
    """`deploy` of a changed template replaces both nodes, and no connection is lost."""
    before = gateway(pair)
    toml = pair.directory / "evernat.toml"
    with pair.load() as load:
        toml.write_text('instance_types = ["t4g.small"]\n' + toml.read_text())
        pair.evernat("deploy", "--yes")
        after = gateway(pair)
        kept(load)
    assert after["public_address"] == pair.public
    assert not {after["holder"], after["standby"]} & {before["holder"], before["standby"]}


def test_both_die(pair: Cluster) -> None:
    """New nodes agree on one holder of the same address."""
    before = gateway(pair)
    for node in (before["holder"], before["standby"]):
        pair.lab.kill(node, "power")
    after = pair.whole(60)["main"]
    assert after["public_address"] == pair.public
    assert not {after["holder"], after["standby"]} & {before["holder"], before["standby"]}
    assert until(lambda: out_under(pair, "client-c", pair.public), 10)
