"""What the holder of a gateway told of it: only the nodes know how their copying goes, and why a gateway was taken.

A node is the least trusted part of a stack, since it faces the internet: its report is a text of at most `LIMIT`
characters whose fields have their types, ranges and lengths, or there is no report. Fields that are not known here are
left out. Texts in it may hold any character: who shows them escapes them (`cli.terminal`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from evernat.agent import contract

OLD = contract.REPORT_STALE
"""Seconds after which a report is stale."""

LIMIT = 8192
"""Characters of a report; no SSM parameter takes more (Systems Manager API reference, PutParameter)."""

LONGEST = 500
"""Characters of a text in it; the rest of a longer one is left out."""

MOST = 32
"""Entries of a list in it."""


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _moment(text: str) -> str:
    datetime.fromisoformat(text)  # there is no 30th of February
    return text


# The types of a report's fields.
Words = Annotated[str, AfterValidator(_clipped)]
Instance = Annotated[str, Field(pattern=r"^i-[0-9a-z]{1,40}$")]
Moment = Annotated[
    str,
    Field(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
    ),
    AfterValidator(_moment),
]
Instances = Annotated[tuple[Instance, ...], Field(max_length=MOST)]
Milliseconds = Annotated[float, Field(ge=0, lt=1e12, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, lt=10**12)]

Shape = TypeVar("Shape", bound=BaseModel)

Given = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Copy(BaseModel):
    """How flow sync goes, as its process says it."""

    model_config = Given

    role: Words
    synced: bool = False
    lag_ms: Milliseconds = 0.0
    entries: Count = 0


class _Egress(BaseModel):
    """A check of the way that a client's packets take out, and back."""

    model_config = Given

    ok: bool
    hop: Words = ""
    cause: Words = ""
    address: Words = ""
    at: Moment | None = None


class _Told(BaseModel):
    """The fields of a report that are read. One more is declared here, with its type, and handed on by `read`."""

    model_config = Given

    holder: Instance
    at: Moment
    since: Moment
    standby: Instances = ()
    # 0 is how the agent says that it never took the gateway.
    taken: Annotated[Moment | None, BeforeValidator(lambda value: value or None)] = None
    why: Words = ""
    sync: _Copy | None = None
    proven: bool = False
    egress: _Egress | None = None
    problems: Annotated[tuple[Words, ...], Field(max_length=MOST)] = ()
    version: Words = ""


class FailedBoot(BaseModel):
    """What a node reported before it gave up, so that the cause outlives the machine."""

    model_config = Given

    instance: Instance
    at: Moment
    role: Words = ""
    cause: Words = ""
    problems: Annotated[tuple[Words, ...], Field(max_length=MOST)] = ()


@dataclass(frozen=True)
class Sync:
    """How connections are copied to the standby; `entries` as of the last full copy."""

    synced: bool
    lag_ms: float
    entries: int


@dataclass(frozen=True)
class Egress:
    """The holder's last check of a client's way to the internet.

    The hop that failed, why, the address seen outside, and how many seconds ago the check began (0 if it is not said).
    """

    ok: bool
    hop: str = ""
    cause: str = ""
    address: str = ""
    age: float = 0.0


@dataclass(frozen=True)
class Report:
    """A holder's word. Times are UTC as text.

    `standby` are the nodes that it hears and that could take over at once, `taken` is None when it had the gateway
    from the start, `age` the seconds since it said so, `egress` is None as long as it has not checked.
    """

    since: str
    standby: tuple[str, ...]
    sync: Sync | None
    taken: str | None
    why: str
    age: float
    stale: bool
    egress: Egress | None = None
    problems: tuple[str, ...] = ()
    version: str = ""


def read(text: str | None, holder: str | None, now: datetime) -> Report | None:
    """The report of the present holder; None when there is none, or none that can be read."""
    told = parsed(text, _Told)
    if told is None or not holder or told.holder != holder:
        return None  # of the one before; or between two
    age, stale = aged(told.at, now)
    return Report(
        since=told.since,
        standby=told.standby,
        sync=_sync(told.sync),
        taken=told.taken,
        why=told.why,
        age=age,
        stale=stale,
        egress=_egress(told, now),
        problems=told.problems,
        version=told.version,
    )


def parsed(text: str | None, shape: type[Shape]) -> Shape | None:
    """A node's text as one of the shapes above; None when it is not one."""
    if not text or len(text) > LIMIT:
        return None
    try:
        return shape.model_validate_json(text)
    except ValueError:
        return None


def aged(at: str, now: datetime) -> tuple[float, bool]:
    """How old a node's word is in seconds, and whether it is stale: also when it is dated that far in the future."""
    age = (now - datetime.fromisoformat(at)).total_seconds()
    return round(max(age, 0.0), 1), abs(age) > OLD


def today() -> datetime:
    """The time of day."""
    return datetime.now(UTC)


def _sync(copy: _Copy | None) -> Sync | None:
    # Right after a takeover it still tells how this node followed the former holder.
    if copy is None or copy.role != "serve":
        return None
    return Sync(copy.synced, round(copy.lag_ms, 2), copy.entries)


def _egress(told: _Told, now: datetime) -> Egress | None:
    if "egress" not in told.model_fields_set:
        # An agent from before there was this check: `proven` is all that it says.
        return Egress(told.proven, cause="" if told.proven else "not proven by the node's agent")
    check = told.egress
    if check is None:
        return None
    return Egress(
        check.ok, check.hop, check.cause, check.address, aged(check.at, now)[0] if check.at else 0.0
    )
