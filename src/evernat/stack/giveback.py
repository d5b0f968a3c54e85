"""A deploy that gives up puts back what it took: default routes of somebody else's that lead to no proven gateway.

A table that this stack took over remembers its former target in a tag. While the gateway is not proven, that target is
the better way: the table gets it back. The tag that lets nodes set the route goes first, so no node leads the table
again; the other tags stay, so the next deploy takes it over without asking, and destroy knows where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from evernat.stack import names
from evernat.stack.api import Api
from evernat.stack.discover import route_tables
from evernat.stack.errors import ApiError
from evernat.stack.found import RouteTable, Target
from evernat.stack.parts.routes import DEFAULT
from evernat.stack.readiness import unproven
from evernat.stack.serving import Scene, survey
from evernat.stack.targets import gone, remembered

TRIES = 5
"""How often routes are set before the loss of a race against a node is reported."""

PAUSE = 1.0
"""Seconds after which it is looked whether a node that had read the tag before has set a route once more."""


@dataclass(frozen=True)
class Returned:
    """A table that has its former route, or why it does not have it. `moved`: it led elsewhere meanwhile."""

    table: str
    target: str
    moved: bool = False
    problem: str = ""

    def text(self) -> str:
        """For people."""
        if self.problem:
            return f"{self.table} could not be given back to {self.target}: {self.problem}"
        how = f"leads to {self.target} again" if self.moved else f"still leads to {self.target}"
        return f"{self.table} {how}"


def give_back(api: Api, stack: str) -> tuple[Returned, ...]:
    """Put the former route back into each table that was taken over for a gateway that is not proven.

    Raises ApiError when the stack cannot be looked at, or a tag not be taken off. Interrupted anywhere, the next deploy
    or destroy goes on from there.
    """
    taken = list(_taken(survey(api, stack)))
    missing = gone(api, (table for table, _ in taken))
    lost = {t.id: _problem(f, missing) for t, f in taken if not f.field or f.id in missing}
    for table, _ in taken:
        if table.id not in lost and names.GATEWAY_TAG in table.tags:
            api.call("ec2", "delete_tags", Resources=[table.id], Tags=[{"Key": names.GATEWAY_TAG}])
    there = {table.id: former for table, former in taken if table.id not in lost}
    kept = [Returned(t.id, f.id, problem=lost[t.id]) for t, f in taken if t.id in lost]
    returned = (*kept, *_led(api, there))
    refused = {one.table for one in returned if one.problem} & there.keys()
    for table, _ in taken:
        if table.id in refused:
            _lent_again(api, table)
    return returned


def _problem(former: Target, missing: frozenset[str]) -> str:
    if former.id in missing:
        return "it does not exist any more"
    return "it is of a kind that this version of evernat does not know"


def _lent_again(api: Api, table: RouteTable) -> None:
    """A table that goes on leading to a node must follow when the gateway moves: nodes may set its route again."""
    gateway = table.tags.get(names.GATEWAY_TAG)
    if gateway:
        tags = [{"Key": names.GATEWAY_TAG, "Value": gateway}]
        api.call("ec2", "create_tags", Resources=[table.id], Tags=tags)


def _taken(scene: Scene) -> Iterator[tuple[RouteTable, Target]]:
    """The tables that remember a former target, and that no proven gateway serves."""
    for table in scene.own_tables:
        former = remembered(table.tags)
        if former and not _served(scene, table):
            yield table, former


def _served(scene: Scene, table: RouteTable) -> bool:
    """Whether the gateway that a table is for is proven, by whatever address: then its clients stay with it."""
    wanted = table.tags.get(names.GATEWAY_TAG, "") if scene.addresses else scene.stack
    return wanted in scene.gateways and not any(unproven(scene, wanted, address="any"))


def _led(api: Api, wanted: Mapping[str, Target]) -> Iterator[Returned]:
    """Set the routes, and see that they stay: a node may have read the tag a moment before it went."""
    moved, refused = set[str](), dict[str, str]()
    wrong = _elsewhere(api, wanted)
    for _ in range(TRIES):
        for table in wrong - set(refused):
            try:
                _set(api, table, wanted[table])
                moved.add(table)
            except ApiError as error:
                refused[table] = f"{error.code}: {error.message}"
        api.clock.sleep(PAUSE if wanted else 0.0)
        wrong = _elsewhere(api, wanted)
        if not wrong - set(refused):
            break
    for table, former in wanted.items():
        lost_race = "nodes go on setting another route" if table in wrong else ""
        yield Returned(table, former.id, table in moved, refused.get(table, lost_race))


def _elsewhere(api: Api, wanted: Mapping[str, Target]) -> set[str]:
    """Of the tables those that do not lead where they should."""
    if not wanted:
        return set()
    found = route_tables(api, [{"Name": "route-table-id", "Values": sorted(wanted)}])
    return {t.id for t in found.values() if not t.default or t.default.id != wanted[t.id].id}


def _set(api: Api, table: str, target: Target) -> None:
    route = {"RouteTableId": table, "DestinationCidrBlock": DEFAULT, target.field: target.id}
    try:
        api.call("ec2", "replace_route", **route)
    except ApiError as error:
        # ReplaceRoute does not make a route: somebody deleted it.
        if error.code not in ("InvalidRoute.NotFound", "InvalidParameterValue"):
            raise
        api.call("ec2", "create_route", **route)
