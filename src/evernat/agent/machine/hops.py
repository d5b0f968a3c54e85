"""Where a client's way out ends: what a failing check means, from what else is known."""

from __future__ import annotations

from collections.abc import Sequence

from ..values import Egress

TABLE = "no nftables table"
"""The fault that says that our table is not what was loaded."""


def located(failed: Egress, faults: Sequence[str], foreign: Sequence[str], own: Egress | None) -> Egress:
    """The failing check with the nearest hop that explains it.

    `faults`: what the kernel lacks; `foreign`: other programs' chains that stop packets; `own`: the last check of the
    node's own way, None when `failed` is that one.
    """
    if failed.ok or failed.hop != "beyond":
        return failed
    if TABLE in faults:
        return failed._replace(hop="own table", cause=f"{TABLE}: {failed.cause}")
    if foreign:
        return failed._replace(
            hop="foreign forward chain", cause=f"{'; '.join(foreign)} stops what is forwarded"
        )
    if faults:
        return failed._replace(hop="route", cause=f"{', '.join(faults)}: {failed.cause}")
    if own and own.ok and own.at >= failed.at - 10.0:
        cause = f"the gateway's address gets no answer, the node's own does: {failed.cause}"
        return failed._replace(hop="address", cause=cause)
    return failed
