"""Make a failing scenario short: what is left is what matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from evernat.scenario.script import Event, Script, Settings

Fails = Callable[[Script], bool]


def shrink(script: Script, fails: Fails) -> Script:
    """The smallest scenario found that still fails in the same way, by leaving out and rounding."""
    again = True
    while again:
        again = False
        for smaller in _smaller(script):
            if fails(smaller):
                script, again = smaller, True
                break
    return script


def _smaller(script: Script) -> Iterator[Script]:
    *events, end = script.events
    settings, usual = script.settings, Settings()
    for index, event in enumerate(events):
        if not (settings.rest and event.what == "mend-all"):  # else nothing could come to rest
            yield _with(script, [*events[:index], *events[index + 1 :]], end)
    for key in ("seed", "api", "heal"):
        if getattr(settings, key) != getattr(usual, key):
            yield script._replace(settings=settings._replace(**{key: getattr(usual, key)}))
    if settings.topology == "ring":
        yield script._replace(settings=settings._replace(topology="ring2"))
    for index, event in enumerate(events):
        for digits in (0, 1, 2):
            at = round(event.at, digits)
            if at != event.at and (not index or at >= events[index - 1].at):
                yield _with(script, [*events[:index], event._replace(at=at), *events[index + 1 :]], end)
                break
    if not settings.rest and end.at > 5 and (not events or end.at / 2 > events[-1].at):
        yield _with(script, events, end._replace(at=round(end.at / 2, 1)))


def _with(script: Script, events: list[Event], end: Event) -> Script:
    ordered = sorted(events, key=lambda event: event.at)
    return script._replace(events=(*ordered, end))
