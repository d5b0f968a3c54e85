"""systemctl(1): parses the command line, init does the work."""

from __future__ import annotations

import argparse
import json
import socket
import sys
from typing import Any

from ..places import CONTROL

_VERBS = (
    "start", "stop", "restart", "try-restart", "reload", "enable", "disable", "status", "show", "cat", "kill",
    "is-active", "is-enabled", "is-failed", "is-system-running", "daemon-reload", "reset-failed", "list-units",
    "poweroff", "reboot",
)  # fmt: skip
_SAME_AS = {
    "reload-or-restart": "restart",
    "condrestart": "try-restart",
    "halt": "poweroff",
    "daemon-reexec": "daemon-reload",
}
_QUIET_VERBS = ("is-active", "is-enabled", "is-failed", "is-system-running")


def ask(verb: str, units: list[str], **options: Any) -> dict[str, Any]:
    """One request to init. Raises OSError when init does not listen."""
    defaults = {"block": True, "signal": "SIGTERM", "whom": "all", "properties": [], "value": False}
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(CONTROL)
        connection.sendall(json.dumps({"verb": verb, "units": units, **defaults, **options}).encode() + b"\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    if not answer:
        raise OSError("init went away")
    return dict(json.loads(answer))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="systemctl", allow_abbrev=False)
    parser.add_argument(
        "verb", nargs="?", default="list-units", choices=(*_VERBS, *_SAME_AS), metavar="COMMAND"
    )
    parser.add_argument("units", nargs="*", metavar="UNIT")
    parser.add_argument("--now", action="store_true")
    parser.add_argument("--no-block", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("-s", "--signal", default="SIGTERM")
    parser.add_argument(
        "--kill-who", "--kill-whom", dest="whom", default="all", choices=("main", "control", "all")
    )
    parser.add_argument("-p", "--property", action="append", default=[])
    parser.add_argument("--value", action="store_true")
    for ignored in (
        "--no-pager",
        "--system",
        "--no-legend",
        "--force",
        "-f",
        "--full",
        "-l",
        "--plain",
        "--no-ask-password",
    ):
        parser.add_argument(ignored, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-n", "--lines", help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str]) -> int:
    """Answers the exit status."""
    options = _parser().parse_intermixed_args(arguments)
    verb = _SAME_AS.get(options.verb, options.verb)
    properties = [name for each in options.property for name in each.split(",")]
    more = {
        "block": not options.no_block,
        "signal": options.signal,
        "whom": options.whom,
        "properties": properties,
        "value": options.value,
    }
    try:
        answer = ask(verb, options.units, **more)
        quiet = options.quiet and verb in (*_QUIET_VERBS, "enable", "disable")
        _show(answer, quiet)
        if answer["code"] == 0 and options.now and verb in ("enable", "disable"):
            answer = ask("start" if verb == "enable" else "stop", options.units, **more)
            _show(answer, False)
    except OSError as error:
        print(f"Failed to connect to init: {error}", file=sys.stderr)
        return 1
    return int(answer["code"])


def _show(answer: dict[str, Any], quiet: bool) -> None:
    if answer["out"] and not quiet:
        print(answer["out"])
    if answer["err"] and not quiet:
        print(answer["err"], file=sys.stderr)
