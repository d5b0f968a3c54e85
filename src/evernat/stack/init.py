"""Writing a first `evernat.toml` from a VPC: which subnets are public, which private, which tables lead where."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from evernat.stack.api import Api
from evernat.stack.discover import route_tables
from evernat.stack.environment import subnets, vpc_from
from evernat.stack.errors import StackError
from evernat.stack.found import RouteTable, Subnet, Vpc
from evernat.text import quoted, visible


@dataclass(frozen=True)
class Candidate:
    """A VPC that fits: it has a public subnet for nodes and private subnets that want a way out.

    A subnet without any default route is isolated, most often on purpose (databases). To serve one would give it a way
    out, so that is nothing to guess.
    """

    vpc: Vpc
    public: tuple[Subnet, ...]
    private: tuple[Subnet, ...]
    """Subnets to serve: isolated ones only when they were asked for."""
    tables: tuple[RouteTable, ...]
    """The private subnets' route tables."""
    isolated: tuple[Subnet, ...] = ()
    """Isolated subnets, served or not."""

    @property
    def left_out(self) -> tuple[Subnet, ...]:
        """The isolated subnets that are not served."""
        return tuple(s for s in self.isolated if s not in self.private)

    @property
    def foreign(self) -> tuple[RouteTable, ...]:
        """Those of the tables that have a default route already."""
        return tuple(t for t in self.tables if t.default)

    def describe(self) -> str:
        """One line for people."""
        name = self.vpc.tags.get("Name", "")
        counts = f"{len(self.public)} public and {len(self.private)} private subnets"
        return f"{self.vpc.id} {name} {', '.join(self.vpc.cidrs)}: {counts}".replace("  ", " ")


def candidates(api: Api, vpc_id: str | None = None, *, include_isolated: bool = False) -> list[Candidate]:
    """The VPCs that fit; with `vpc_id` that one, or StackError saying why it does not fit."""
    filters = [{"Name": "vpc-id", "Values": [vpc_id]}] if vpc_id else []
    raw = api.pages("ec2", "describe_vpcs", "Vpcs", Filters=filters)
    if vpc_id and not raw:
        raise StackError(
            f"there is no VPC {vpc_id} in {api.region}", "check the id and the region (--region)"
        )
    looked = [look(api, vpc_from(v), include_isolated=include_isolated) for v in raw]
    fit = [c for c in looked if c.public and c.private]
    if not fit:
        _refuse_isolated([c for c in looked if c.public])
    if vpc_id and not fit:
        lacking = (
            "public subnet (default route to an internet gateway)"
            if not looked[0].public
            else "private subnet"
        )
        raise StackError(f"{vpc_id} has no {lacking}", "make one, or choose another VPC")
    return fit


def _refuse_isolated(candidates: list[Candidate]) -> None:
    """Where only isolated subnets could be served, say so and which."""
    found = [f"{c.vpc.id}: {place(subnet)}" for c in candidates for subnet in c.left_out]
    if found:
        raise StackError(
            "no private subnet has a default route; these are isolated:\n" + "\n".join(found),
            "with a gateway they get a way out to the internet; if that is what you want, add --include-isolated",
        )


def place(subnet: Subnet) -> str:
    """A subnet for people."""
    return f"{subnet.cidr} ({subnet.id} in {subnet.zone})"


def look(api: Api, vpc: Vpc, *, include_isolated: bool = False) -> Candidate:
    """Sort a VPC's subnets into public, private and isolated ones."""
    tables = route_tables(api, [{"Name": "vpc-id", "Values": [vpc.id]}])
    main = next((t for t in tables.values() if t.main), None)
    public: list[Subnet] = []
    private: list[Subnet] = []
    isolated: list[Subnet] = []
    used: dict[str, RouteTable] = {}
    for subnet in sorted(subnets(api, vpc.id).values(), key=_order):
        table = next((t for t in tables.values() if subnet.id in t.subnets), main)
        if table is None:
            continue
        if table.default and table.default.id.startswith("igw-"):
            public.append(subnet)
            continue
        if table.default is None:
            isolated.append(subnet)
        if table.default or include_isolated:
            private.append(subnet)
            used.setdefault(table.id, table)
    return Candidate(vpc, tuple(public), tuple(private), tuple(used.values()), tuple(isolated))


def text(candidate: Candidate, name: str, topology: str = "single", region: str = "") -> str:
    """The file. Raises StackError when the VPC has too few zones for a ring."""
    lines = [
        f"# {visible(candidate.describe())}",
        f"name = {quoted(name)}",
        f"region = {quoted(region)}",
        f"topology = {quoted(topology)}",
        *(line for lines in network(candidate, topology).values() for line in lines),
        "",
        "# Everything below shows its default.",
        '# instance_types = ["t4g.nano"]',
        "# use_spot_instance = true",
        '# elastic_ip = "create"  # or an allocation id, or "none"',
        "# tags = {}",
        "",
        "# [[port_forward]]",
        '# protocol = "tcp"',
        "# port = 8080",
        '# target = "name:web"  # an address, an instance id, or name:<Name tag>',
        "# target_port = 80",
        '# sources = ["0.0.0.0/0"]',
    ]
    return "\n".join(lines) + "\n"


def network(candidate: Candidate, topology: str) -> dict[str, list[str]]:
    """Field -> lines of the file, of what says where the stack lives and whom it serves."""
    return {
        "vpc_id": [f"vpc_id = {quoted(candidate.vpc.id)}"],
        "public_subnets": _nodes(candidate, topology),
        "private_subnets_cidr_blocks": [
            "private_subnets_cidr_blocks = [",
            *(
                f"    {quoted(s.cidr)},  # {s.zone} {s.id}{_isolated(candidate, s)}"
                for s in candidate.private
            ),
            *(f"    # left out, no default route: {place(s)}" for s in candidate.left_out),
            "]",
        ],
        "private_route_table_ids": [
            "private_route_table_ids = [",
            *(f"    {quoted(t.id)},{_leads(t)}" for t in candidate.tables),
            "]",
        ],
    }


def _nodes(candidate: Candidate, topology: str) -> list[str]:
    """Where nodes go: to zones with private subnets first, in each to the first public subnet."""
    zones = [s.zone for s in candidate.private]
    first: dict[str, Subnet] = {}
    for subnet in sorted(candidate.public, key=lambda s: (s.zone not in zones, *_order(s))):
        first.setdefault(subnet.zone, subnet)
    places = list(first.values())
    if topology == "single":
        return [f"public_subnet = {quoted(places[0].id)}  # {places[0].zone} {places[0].cidr}"]
    if topology == "ring":
        places = [s for s in places if s.zone in zones]
        if len(places) < 2:
            raise StackError(
                f"{candidate.vpc.id} has public and private subnets together in {len(places)} zone, a ring needs two",
                "use --topology pair, or make a public subnet in each zone first",
            )
    else:
        places = places[:2]
    listed = (f"    {quoted(s.id)},  # {s.zone} {s.cidr}" for s in places)
    return ["public_subnets = [", *listed, "]"]


def _order(subnet: Subnet) -> tuple[str, int]:
    return subnet.zone, int(ipaddress.IPv4Network(subnet.cidr).network_address)


def _isolated(candidate: Candidate, subnet: Subnet) -> str:
    return ", isolated until now" if subnet in candidate.isolated else ""


def _leads(table: RouteTable) -> str:
    if table.default is None:
        return ""
    return f"  # leads to {table.default.id} today: deploy needs --replace-routes"
