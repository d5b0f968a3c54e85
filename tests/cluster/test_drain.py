"""Draining before a handover."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evernat.agent.cluster import Agent
from evernat.agent.effects import EffectError


def agent(position: int | None) -> Any:
    """One whose standby comes to that position in time."""
    made: Any = object.__new__(Agent)
    made.sync = SimpleNamespace(drain=lambda gateway, seconds: position)
    made.seen = SimpleNamespace(drained=frozenset({"other"}))
    return made


def test_drained_is_who_has_everything() -> None:
    """The standby's position is the proof."""
    assert agent(0)._do_drain(None, "main") == {"drained": {"main", "other"}}


def test_a_drain_that_did_not_succeed_is_none() -> None:
    """The offer then waits for its limit, `elect.DRAIN`."""
    with pytest.raises(EffectError, match=r"lacks connections after 0\.5 s"):
        agent(None)._do_drain(None, "main")
