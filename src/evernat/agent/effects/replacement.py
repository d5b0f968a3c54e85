"""Has the Auto Scaling group replace this instance, at most once in a while for the whole stack."""

from __future__ import annotations

import json
import time

from ..contract import REPLACE_PAUSE, report
from . import EffectError
from .store import Store

SETTLE = 2.0  # seconds after which of two nodes that asked at once only the later one finds its own name
WITHIN = 1.0  # seconds in which the name must be written after the look at the last one


def replace(store: Store, stack: str, instance: str) -> None:
    """Mark the instance unhealthy. EffectError when the stack had a replacement less than REPLACE_PAUSE seconds ago.

    A parameter remembers the last time. Two nodes may ask at once: both write, and the one whose name stays may act.
    """
    name, began = report(stack, "replacement"), time.monotonic()
    last, age = _last(store.parameter(name))
    if age < REPLACE_PAUSE:
        raise EffectError(
            f"{last} was replaced {age:.0f} s ago: the next replacement is {REPLACE_PAUSE:.0f} s later"
        )
    if time.monotonic() - began > WITHIN:
        raise EffectError("the parameter store is slow: another node may ask at the same time")
    store.put(name, json.dumps({"instance": instance, "at": round(time.time())}))
    time.sleep(SETTLE)
    if _last(store.parameter(name))[0] != instance:
        raise EffectError("another node of the stack is being replaced")
    asked = {"InstanceId": instance, "HealthStatus": "Unhealthy", "ShouldRespectGracePeriod": "false"}
    store.call("autoscaling", "SetInstanceHealth", asked)


def _last(text: str) -> tuple[str, float]:
    """Who was replaced last, and how many seconds ago; a text that nobody of us wrote is none."""
    try:
        found = json.loads(text)
        return str(found["instance"]), max(time.time() - float(found["at"]), 0.0)
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return "", REPLACE_PAUSE
