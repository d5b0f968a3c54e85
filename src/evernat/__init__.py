"""NAT instances on AWS that do not show when they break.

The library: describe a `Gateway`, `plan` it, `apply` the plan.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evernat.stack.library import apply as apply
    from evernat.stack.library import plan as plan
    from evernat.stack.spec import Gateway as Gateway

__all__ = ["Gateway", "apply", "plan", "version"]

_HOME = {"Gateway": "evernat.stack.spec", "plan": "evernat.stack.library", "apply": "evernat.stack.library"}


def version() -> str:
    """The installed version."""
    return metadata.version("evernat")


def __getattr__(name: str) -> Any:
    # Loaded when asked for: the lab's programs import this package too, and need no boto3.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
