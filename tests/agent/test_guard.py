"""What the kernel says in a gateway's name while our table is away: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SCRIPT = """
import json, socket, subprocess, time
from evernat.agent.effects.guard import Guard

def ruleset():
    return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout

def until(holds):
    end = time.monotonic() + 20
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()

def answer(address):
    one = socket.socket()
    one.bind(("127.0.0.9", 0))
    one.settimeout(0.3)
    try:
        one.connect((address, 9))
    except OSError as error:
        return type(error).__name__

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
found, guard = {}, Guard()
found["bare"] = answer("127.0.0.1")
guard.protect(["127.0.0.1", "127.0.0.2"])
assert until(lambda: "127.0.0.2" in ruleset())
found["guarded"] = answer("127.0.0.1")
found["other"] = answer("127.0.0.3")
subprocess.run(["nft", "flush", "ruleset"], check=True)
found["flushed"] = answer("127.0.0.1")
before = guard._owner.pid
guard.protect(["127.0.0.2", "127.0.0.1"])
found["again"] = guard._owner.pid == before
guard._owner.kill()
guard._owner.wait()
guard.protect(["127.0.0.2", "127.0.0.1"])
assert until(lambda: "127.0.0.2" in ruleset())
guard.protect(["127.0.0.3"])
assert until(lambda: "127.0.0.3" in ruleset())
found["moved"] = [answer("127.0.0.3"), answer("127.0.0.1")]
guard.close()
found["closed"] = until(lambda: ruleset() == "")
print(json.dumps(found))
"""


def found() -> dict[str, Any]:
    """Played in a network namespace of its own."""
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_nothing_is_answered_whoever_flushes() -> None:
    """No reset from a guarded address, after a flush of all rules too; an owner that died is started again."""
    refused, silence = "ConnectionRefusedError", "TimeoutError"
    assert found() == {
        "bare": refused,
        "guarded": silence,
        "other": refused,
        "flushed": silence,
        "again": True,
        "moved": [silence, refused],
        "closed": True,
    }
