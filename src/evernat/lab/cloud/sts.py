"""Who am I."""

from __future__ import annotations

from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.state import Region


@handles("sts", "GetCallerIdentity")
def caller_identity(region: Region, _params: Params) -> Params:
    """Needs no permission (STS API reference)."""
    return {"Account": region.account, "Arn": region.caller, "UserId": region.caller.rsplit("/", 1)[-1]}
