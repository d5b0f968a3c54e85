"""What instances wrote to their consoles.

Rules (EC2 API reference, GetConsoleOutput; EC2 user guide, instance console output): the newest 64 KB, in base64.
Without `Latest` it is what was posted shortly after the last start, stop, reboot or end of the instance, and outlives
it for an hour. With `Latest` it is what is there now, on types that are built on Nitro. Whether AWS answers `Latest`
once the instance has ended no document says, so here it has nothing then.
"""

from __future__ import annotations

import base64

from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import Machine, utc_now
from evernat.lab.cloud.state import Region

KEPT = 64 * 1024
"""Bytes of a console that AWS keeps."""

XEN = ("t1", "t2", "m1", "m2", "m3", "m4", "c1", "c3", "c4", "r3", "r4", "i2", "i3", "d2", "h1", "x1", "x1e")
"""Families that are not built on Nitro (EC2 user guide, instances built on the AWS Nitro System)."""


@handles("ec2", "GetConsoleOutput")
def get_console_output(region: Region, params: Params) -> Params:
    """The console of one instance, ended ones included while they are listed."""
    machine = region.machine(params.get("InstanceId", ""))
    text = _latest(region, machine) if params.get("Latest") else _buffered(region, machine)
    shown = base64.b64encode(text[-KEPT:]).decode()
    return {"InstanceId": machine.id, "Timestamp": utc_now(), "Output": shown or None}


def _latest(region: Region, machine: Machine) -> bytes:
    if machine.instance_type.partition(".")[0] in XEN:
        raise AwsError(
            "UnsupportedOperation", "This instance type does not support retrieving the latest console logs."
        )
    return b"" if machine.state == "terminated" else region.console(machine.id)


def _buffered(region: Region, machine: Machine) -> bytes:
    ended = machine.state in ("stopped", "terminated")
    return region.console(machine.id) if ended else machine.posted
