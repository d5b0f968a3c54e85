"""A drill on one page that needs nothing else: what was broken, what it cost, and a picture of the outage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from evernat.drill.result import Result

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 280, 70, 92, 34
"""Of the picture, in its own units; bars stand between TOP and BOTTOM."""
MOST = 1.6
"""The tallest bar, as a multiple of the usual one."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>evernat drill: {gateway}</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; color: #1c2430; background: #fff; max-width: 1000px;
         margin: 2.5rem auto; padding: 0 1.2rem; }}
  h1 {{ font-size: 1.5rem; margin: 0 0 .3rem; }}
  p {{ margin: 0 0 1.4rem; color: #4a5565; }}
  dl {{ display: flex; flex-wrap: wrap; gap: .8rem; margin: 0 0 1.8rem; }}
  dl div {{ border: 1px solid #d9dee5; border-radius: 8px; padding: .55rem .95rem; }}
  dt {{ font-size: .8rem; color: #4a5565; }}
  dd {{ margin: 0; font-size: 1.35rem; font-weight: 600; }}
  svg {{ width: 100%; height: auto; }}
  text {{ font: 12px system-ui, sans-serif; fill: #4a5565; }}
  .bar {{ fill: #3b7dd8; }} .cut {{ fill: #7aa9e6; }} .gap {{ fill: #fbdcd6; }} .axis {{ stroke: #9aa4b2; }}
  .event {{ stroke: #1c2430; stroke-dasharray: 3 3; }} .broken {{ stroke: #c8321e; stroke-width: 2; }}
  .label {{ fill: #1c2430; }} footer {{ margin-top: 2rem; font-size: .85rem; color: #4a5565; }}
</style>
<h1>{headline}</h1>
<p>{story}</p>
<dl>{figures}</dl>
{picture}
<footer>{footer}</footer>
</html>
"""


def page(result: Result) -> str:
    """The page's text."""
    outage = result.outage
    figures = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in result.figures()
    )
    source, target = outage.source, outage.target
    story = (
        f"{source.id} (slot {source.slot}, {source.zone}) was broken by {outage.how}; {target.id} (slot {target.slot}, "
        f"{target.zone}) took the gateway, still {outage.public_address}. All times are from the break."
    )
    return PAGE.format(
        gateway=escape(outage.gateway),
        headline=escape(_headline(result)),
        story=escape(story),
        figures=figures,
        picture=picture(result),
        footer=escape(_footer(result)),
    )


def _headline(result: Result) -> str:
    kept = result.connections
    if result.packets:
        seconds = f"Packets stopped for {float(result.packets['longest_gap']):.2f} s"
        return f"{seconds}; {kept['alive']} of {kept['wanted']} connections lived" if kept else seconds
    return f"Gateway {result.outage.gateway} had a new holder after {result.outage.whole:.1f} s"


def _footer(result: Result) -> str:
    packets = result.packets
    told = "Address and routes are as the AWS API showed them, looked at ten times a second."
    if packets:
        told += (
            f" Packets: one datagram every {packets['interval'] * 1000:.0f} ms through the gateway and back, beside "
            f"one TCP stream; bars show what came back in each {packets['bucket'] * 1000:.0f} ms, pale ones are cut "
            "off (what TCP repeated)."
        )
    return told


def picture(result: Result) -> str:
    """Bytes over time with the events marked; without probes the events alone."""
    first, last = _span(result)
    floor = HEIGHT - BOTTOM

    def x(at: float) -> float:
        return LEFT + (at - first) / (last - first) * (WIDTH - LEFT - 12)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="The outage over time">']
    if result.gap:
        begin, end = result.gap
        wide = max(x(end) - x(begin), 1)
        parts.append(
            f'<rect class="gap" x="{x(begin):.1f}" y="{TOP}" width="{wide:.1f}" height="{floor - TOP}"/>'
        )
    parts += _bars(result, x, floor)
    parts.append(f'<line class="axis" x1="{LEFT}" y1="{floor}" x2="{WIDTH - 12}" y2="{floor}"/>')
    for second in _ticks(first, last):
        parts.append(f'<text x="{x(second):.1f}" y="{floor + 18}" text-anchor="middle">{second:g} s</text>')
    for row, (at, what) in enumerate(_events(result)):
        kind = "event" if row else "broken"
        level = 14 + 15 * (row % 5)
        # Near the right edge a label stands to the left of its line.
        anchor, shift = ("end", -5) if x(at) > WIDTH * 0.72 else ("start", 5)
        parts.append(
            f'<line class="{kind}" x1="{x(at):.1f}" y1="{level - 8}" x2="{x(at):.1f}" y2="{floor}"/>'
        )
        parts.append(
            f'<text class="label" x="{x(at) + shift:.1f}" y="{level}" text-anchor="{anchor}">{escape(what)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _span(result: Result) -> tuple[float, float]:
    """First and last moment of the picture: a little before the break, a little after all was well."""
    end = max(at for at, _ in _events(result))
    return -0.25 * max(end, 1.0), end * 1.35 + 0.3


def _bars(result: Result, x: Callable[[float], float], floor: int) -> Iterator[str]:
    if not result.packets:
        return
    first, last = _span(result)
    packets = result.packets
    bucket, offset = float(packets["bucket"]), float(packets["began"]) - result.outage.wall
    shown = [(offset + n * bucket, size) for n, size in enumerate(packets["bytes"])]
    shown = [(at, size) for at, size in shown if first <= at and at + bucket <= last]
    flowing = sorted(size for _, size in shown if size)
    usual = flowing[len(flowing) // 2] if flowing else 1
    room = floor - TOP - 6
    for at, size in shown:
        # What TCP repeats afterwards comes all at once. To its scale everything else would be flat: it is cut off.
        tall, wide = min(size / (usual * MOST) * room, room), max(x(at + bucket) - x(at) - 0.6, 0.6)
        place = f'x="{x(at):.1f}" y="{floor - tall:.1f}"'
        kind = "bar cut" if size > usual * MOST else "bar"
        yield f'<rect class="{kind}" {place} width="{wide:.1f}" height="{tall:.1f}"/>'
    level = floor - room / MOST + 4
    yield f'<text x="{LEFT - 8}" y="{level:.1f}" text-anchor="end">{usual / bucket / 1000:.0f} kB/s</text>'


def _events(result: Result) -> list[tuple[float, str]]:
    outage, gap = result.outage, result.gap
    made = [(0.0, f"broken: {outage.how}")]
    if result.detection is not None:
        made.append((result.detection, "handover begins" if result.by_source else "standby acts"))
    made.append((outage.address, f"address seen at {outage.target.id}"))
    if outage.routes:
        made.append((max(outage.routes.values()), f"{len(outage.routes)} routes seen there"))
    if gap:
        made.append((gap[1], "first packet"))
    return sorted(made, key=lambda event: event[0])


def _ticks(first: float, last: float) -> Iterator[float]:
    span = last - first
    step = next((s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60) if span / s <= 12), 120)
    number = int(first / step)
    while number * step <= last:
        if number * step >= first:
            yield round(number * step, 2)
        number += 1
