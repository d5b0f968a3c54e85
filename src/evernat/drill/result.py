"""A drill's outcome in figures, for people, programs and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evernat.drill.watch import Outage


@dataclass(frozen=True)
class Result:
    """An outage with all that was measured; what was not is None. Times are seconds since the holder was broken."""

    outage: Outage
    detection: float | None = None
    """When the first call came that moves the address."""
    by_source: bool = False
    """The broken node made that call itself: it handed over before it went."""
    packets: Mapping[str, Any] | None = None
    """The report of `evernat.lab.drillprobe`."""
    connections: Mapping[str, Any] | None = None
    """`wanted`, `alive` and `lost`."""

    @property
    def gap(self) -> tuple[float, float] | None:
        """The longest silence after the break: (when it began, when it ended). None without probes or without a gap."""
        if not self.packets:
            return None
        offset = float(self.packets["began"]) - self.outage.wall
        gaps = [(at + offset, at + offset + length) for at, length in self.packets["probe"]["gaps"]]
        return max((g for g in gaps if g[1] > 0), key=lambda g: g[1] - g[0], default=None)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        outage, gap = self.outage, self.gap
        return {
            "gateway": outage.gateway,
            "public_address": outage.public_address,
            "how": outage.how,
            "from": {"instance": outage.source.id, "slot": outage.source.slot, "zone": outage.source.zone},
            "to": {"instance": outage.target.id, "slot": outage.target.slot, "zone": outage.target.zone},
            "detection_seconds": _rounded(self.detection),
            "handed_over": self.by_source,
            "address_seconds": _rounded(outage.address),
            "route_seconds": {table: _rounded(at) for table, at in outage.routes.items()},
            "first_packet_seconds": _rounded(gap[1]) if gap else None,
            "longest_gap_seconds": self.packets["longest_gap"] if self.packets else None,
            "probe": dict(self.packets) if self.packets else None,
            "connections": dict(self.connections) if self.connections else None,
        }

    def figures(self) -> list[tuple[str, str]]:
        """(what, how much) in the order in which things happened."""
        outage, gap = self.outage, self.gap
        made: list[tuple[str, str]] = []
        if self.detection is not None:
            word = "handover begun" if self.by_source else "detected"
            made.append((word, f"{self.detection:.2f} s"))
        # The API is looked at ten times a second: no later than that.
        made.append(("address moved", f"≤ {outage.address:.2f} s"))
        if outage.routes:
            made.append(("routes moved", f"≤ {max(outage.routes.values()):.2f} s"))
        if self.packets:
            made.append(("first packet", f"{gap[1]:.2f} s" if gap else "none was missing"))
            made.append(("longest gap", f"{float(self.packets['longest_gap']):.2f} s"))
            alive = bool(self.packets["stream"]["alive"])
            made.append(("stream", "alive" if alive else f"lost ({self.packets['stream']['error']})"))
        if self.connections:
            made.append(("connections kept", f"{self.connections['alive']} of {self.connections['wanted']}"))
        return made


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
