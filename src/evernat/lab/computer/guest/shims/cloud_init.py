"""cloud-init(1): `status` only, with `--wait`."""

from __future__ import annotations

import json
import sys
import time

from ..places import CLOUD_INIT_RESULT


def main(arguments: list[str]) -> int:
    """Answers the exit status: 0 done, 1 done with errors (or asked for something else)."""
    if not arguments or arguments[0] != "status":
        print("cloud-init: the lab knows `status`, `status --wait`", file=sys.stderr)
        return 1
    while "--wait" in arguments and not CLOUD_INIT_RESULT.exists():
        time.sleep(0.05)
    if not CLOUD_INIT_RESULT.exists():
        print("status: running")
        return 0
    errors = json.loads(CLOUD_INIT_RESULT.read_text())["v1"]["errors"]
    print(f"status: {'error' if errors else 'done'}")
    for error in errors:
        print(f"  {error}")
    return 1 if errors else 0
