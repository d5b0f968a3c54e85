"""The figures of a drill and its page, from what was measured."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from typing import Any

from evernat.drill.report import page, picture
from evernat.drill.result import Result
from evernat.drill.watch import Outage
from evernat.stack.found import Node
from evernat.stack.names import SLOT_TAG


def node(identifier: str, slot: str) -> Node:
    return Node(
        identifier, "running", "t4g.nano", f"us-west-2{slot}", True, "172.18.128.20", "", "", {SLOT_TAG: slot}
    )


WALL = 1_000_000.0
OUTAGE = Outage(
    "main",
    "203.0.113.7",
    "power",
    node("i-1", "a"),
    node("i-2", "b"),
    WALL,
    0.6,
    {"rtb-1": 0.7, "rtb-2": 0.65},
)
PACKETS: dict[str, Any] = {
    "began": WALL - 1.0,
    "interval": 0.01,
    "longest_gap": 0.5,
    # One gap before the break, which is none of its making, and the one it made.
    "probe": {"gaps": [[0.1, 0.06], [1.02, 0.5]]},
    "stream": {"alive": True, "error": ""},
    "bucket": 0.05,
    "bytes": [7000] * 20 + [0] * 10 + [70_000] + [7000] * 40,
}
RESULT = Result(
    OUTAGE, 0.4, packets=PACKETS, connections={"wanted": 50, "alive": 49, "lost": {"udp: silent": 1}}
)


def test_gap() -> None:
    """The gap is the longest that ended after the break, in seconds from the break."""
    assert RESULT.gap is not None
    assert [round(at, 3) for at in RESULT.gap] == [0.02, 0.52]
    early = {**PACKETS, "probe": {"gaps": [[0.1, 0.06]]}}
    assert Result(OUTAGE, packets=early).gap is None


def test_for_programs() -> None:
    """Every figure has its name; what was not measured is null."""
    told = RESULT.as_dict()
    assert (told["detection_seconds"], told["first_packet_seconds"], told["longest_gap_seconds"]) == (
        0.4,
        0.52,
        0.5,
    )
    assert told["route_seconds"] == {"rtb-1": 0.7, "rtb-2": 0.65}
    assert told["connections"]["alive"] == 49
    bare = Result(OUTAGE).as_dict()
    missing = ("detection_seconds", "first_packet_seconds", "longest_gap_seconds", "probe", "connections")
    assert [bare[name] for name in missing] == [None] * 5


def test_for_people() -> None:
    """Figures come in the order in which things happened; a handover is not called a detection."""
    assert RESULT.figures() == [
        ("detected", "0.40 s"),
        ("address moved", "≤ 0.60 s"),
        ("routes moved", "≤ 0.70 s"),
        ("first packet", "0.52 s"),
        ("longest gap", "0.50 s"),
        ("stream", "alive"),
        ("connections kept", "49 of 50"),
    ]
    assert replace(RESULT, by_source=True).figures()[0][0] == "handover begun"


def test_picture() -> None:
    """The picture is well formed, has the gap, every event and bars that stay inside, however tall one would be."""
    drawn = ElementTree.fromstring(picture(RESULT))
    text = [t.text for t in drawn.iter("text")]
    for event in (
        "broken: power",
        "standby acts",
        "address seen at i-2",
        "2 routes seen there",
        "first packet",
    ):
        assert event in text
    rects = list(drawn.iter("rect"))
    assert [r.get("class") for r in rects].count("gap") == 1
    assert [r.get("class") for r in rects].count("bar cut") == 1
    _, _, width, height = (float(n) for n in str(drawn.get("viewBox")).split())
    for rect in rects:
        assert 0 <= float(str(rect.get("x"))) <= width
        assert 0 <= float(str(rect.get("y"))) <= height


def test_page_without_probes() -> None:
    """Without probes the page still tells what the API showed, and speaks of no packets."""
    text = page(Result(OUTAGE))
    assert "had a new holder after 0.7 s" in text
    assert "Packets" not in text
    assert "<svg" in text


def test_page_is_safe() -> None:
    """What comes from AWS is text on the page, never markup."""
    odd = replace(OUTAGE, target=node("<script>", "b"))
    assert "<script>" not in page(replace(RESULT, outage=odd))
