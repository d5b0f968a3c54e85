"""What `systemctl` asks of init: one JSON line there, one back, over a unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import unitfile
from .loop import Loop
from .manager import Manager
from .places import CONTROL, JOURNAL
from .service import Service
from .unitfile import UnitError, canonical

_ETC = Path("/etc/systemd/system")

Answer = dict[str, Any]
"""`code` (the exit status systemctl(1) gives), `out`, `err`."""
Reply = Callable[[Answer], None]


def _answer(code: int = 0, out: str = "", err: str = "") -> Answer:
    return {"code": code, "out": out, "err": err}


class Control:
    """Serves the socket; `power` is called with `poweroff` or `reboot`."""

    def __init__(self, loop: Loop, manager: Manager, power: Callable[[str], None]) -> None:
        self._loop = loop
        self._manager = manager
        self._power = power
        Path(CONTROL).parent.mkdir(parents=True, exist_ok=True)
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._server.bind(CONTROL)
        self._server.listen(64)
        loop.watch(self._server.fileno(), self._accept)

    def _accept(self) -> None:
        connection, _ = self._server.accept()
        received = b""

        def ready() -> None:
            nonlocal received
            data = connection.recv(65536)
            received += data
            if not data or received.endswith(b"\n"):
                self._loop.unwatch(connection.fileno())
                if received:
                    self._handle(json.loads(received), lambda answer: _send(connection, answer))

        self._loop.watch(connection.fileno(), ready)

    def _handle(self, request: dict[str, Any], reply: Reply) -> None:
        verb, units = request["verb"], request["units"]
        try:
            if verb in ("poweroff", "reboot"):
                reply(_answer())
                self._power(verb)
            elif verb in ("start", "stop", "restart", "try-restart", "reload"):
                self._jobs(verb, units, request["block"], reply)
            else:
                reply(getattr(self, f"_do_{verb.replace('-', '_')}")(units, request))
        except UnitError as error:
            # systemctl(1): 5, the unit does not exist.
            reply(
                _answer(
                    5 if "not found" in str(error) else 1, err=f"Failed to {verb} {' '.join(units)}: {error}"
                )
            )

    def _jobs(self, verb: str, units: list[str], block: bool, reply: Reply) -> None:
        left = [canonical(each) for each in units]
        errors: list[str] = []

        def ended(name: str, why: str) -> None:
            left.remove(name)
            if why:
                errors.append(
                    f'Job for {name} failed: {why}.\nSee "systemctl status {name}" and "journalctl -u {name}".'
                )
            if not left and block:
                reply(_answer(1 if errors else 0, err="\n".join(errors)))

        for name in list(left):
            service = None if name.endswith(".target") else self._manager.service(name)
            if verb == "try-restart" and service is not None and service.active in ("inactive", "failed"):
                ended(name, "")
            elif verb == "reload" and service is not None:
                service.reload(lambda why, name=name: ended(name, why))  # type: ignore[misc]
            else:
                run = {"start": self._manager.start, "stop": self._manager.stop}.get(
                    verb, self._manager.restart
                )
                run(name, lambda why, name=name: ended(name, why))  # type: ignore[misc]
        if not block:
            reply(_answer())

    def _do_daemon_reload(self, units: list[str], request: dict[str, Any]) -> Answer:
        self._manager.daemon_reload()
        return _answer()

    def _do_reset_failed(self, units: list[str], request: dict[str, Any]) -> Answer:
        for service in [self._manager.service(each) for each in units] or list(
            self._manager.services.values()
        ):
            service.reset_failed()
        return _answer()

    def _do_enable(self, units: list[str], request: dict[str, Any]) -> Answer:
        lines = []
        for name in map(canonical, units):
            for link, path in _links(name):
                if link.is_symlink():
                    continue
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path)
                lines.append(f"Created symlink {link} -> {path}.")
        return _answer(err="\n".join(lines))

    def _do_disable(self, units: list[str], request: dict[str, Any]) -> Answer:
        lines = []
        for name in map(canonical, units):
            for link in _ETC.glob(f"*.wants/{name}"):
                link.unlink()
                lines.append(f"Removed {link}.")
        return _answer(err="\n".join(lines))

    def _do_is_enabled(self, units: list[str], request: dict[str, Any]) -> Answer:
        words = []
        for name in map(canonical, units):
            found = [link for link, _ in _links(name)]
            words.append(
                "static"
                if not found
                else "enabled"
                if any(each.is_symlink() for each in found)
                else "disabled"
            )
        return _answer(0 if set(words) <= {"enabled", "static"} else 1, "\n".join(words))

    def _do_is_active(self, units: list[str], request: dict[str, Any]) -> Answer:
        words = [self._state(each) for each in units]
        return _answer(0 if "active" in words else 3, "\n".join(words))

    def _do_is_failed(self, units: list[str], request: dict[str, Any]) -> Answer:
        words = [self._state(each) for each in units]
        return _answer(0 if "failed" in words else 1, "\n".join(words))

    def _do_is_system_running(self, units: list[str], request: dict[str, Any]) -> Answer:
        failed = any(each.sub == "failed" for each in self._manager.services.values())
        return _answer(1 if failed else 0, "degraded" if failed else "running")

    def _do_list_units(self, units: list[str], request: dict[str, Any]) -> Answer:
        rows = [
            f"  {name:40} loaded {each.active:12} {each.sub:12} {each.settings.description}"
            for name, each in sorted(self._manager.services.items())
        ]
        return _answer(out="\n".join(rows))

    def _do_cat(self, units: list[str], request: dict[str, Any]) -> Answer:
        paths = [_path(canonical(each)) for each in units]
        return _answer(out="\n".join(f"# {path}\n{path.read_text()}" for path in paths))

    def _do_kill(self, units: list[str], request: dict[str, Any]) -> Answer:
        word = request["signal"]
        number = (
            int(word) if word.isdigit() else signal.Signals[word if word.startswith("SIG") else f"SIG{word}"]
        )
        for each in units:
            self._manager.service(each).kill(number, request["whom"])
        return _answer()

    def _do_show(self, units: list[str], request: dict[str, Any]) -> Answer:
        blocks = []
        for each in units:
            values = _properties(self._manager.service(each))
            chosen = (
                {key: values.get(key, "") for key in request["properties"]}
                if request["properties"]
                else values
            )
            blocks.append(
                "\n".join(value if request["value"] else f"{key}={value}" for key, value in chosen.items())
            )
        return _answer(out="\n\n".join(blocks))

    def _do_status(self, units: list[str], request: dict[str, Any]) -> Answer:
        if not units:
            return _answer(
                out=f"* {os.uname().nodename}\n    State: {self._do_is_system_running([], {})['out']}"
            )
        try:
            services = [self._manager.service(each) for each in units]
        except UnitError as error:
            return _answer(4, err=str(error))
        code = 0 if all(each.active in ("active", "reloading", "activating") for each in services) else 3
        return _answer(code, "\n\n".join(map(_describe, services)))

    def _state(self, name: str) -> str:
        try:
            return self._manager.service(name).active
        except UnitError:
            return "active" if name.endswith(".target") else "inactive"


def _send(connection: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError), connection:
        connection.sendall(json.dumps(answer).encode())


def _path(name: str) -> Path:
    path = unitfile.find(name)
    if path is None:
        raise UnitError(f"Unit {name} not found.")
    return path


def _links(name: str) -> list[tuple[Path, Path]]:
    """The links that enable a unit, by its [Install] section: (link, unit file)."""
    path = _path(name)
    unit = unitfile.load(name)
    targets = unit.words("Install", "WantedBy") + unit.words("Install", "RequiredBy") if unit else []
    return [(_ETC / f"{target}.wants" / name, path) for target in targets]


def _properties(service: Service) -> dict[str, str]:
    return {
        "Id": service.settings.name,
        "Description": service.settings.description,
        "LoadState": "loaded",
        "ActiveState": service.active,
        "SubState": service.sub,
        "Result": service.result,
        "MainPID": str(service.processes.main),
        "ExecMainStatus": str(abs(service.exit_status)),
        "NRestarts": str(service.restarts),
        "StatusText": service.status_text,
        "Type": service.settings.type,
        "InvocationID": service.processes.invocation,
        "FragmentPath": str(unitfile.find(service.settings.name) or ""),
    }


def _describe(service: Service) -> str:
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(service.since))
    name = service.settings.name
    lines = [
        f"* {name} - {service.settings.description}",
        f"     Loaded: loaded ({unitfile.find(name)})",
        f"     Active: {service.active} ({service.sub}) since {since}",
    ]
    if service.result != "success":
        lines.append(f"     Result: {service.result}")
    if service.processes.main:
        lines.append(f"   Main PID: {service.processes.main}")
    if service.status_text:
        lines.append(f'     Status: "{service.status_text}"')
    with contextlib.suppress(OSError):
        mine = [
            line.split("\t", 3)
            for line in JOURNAL.read_text(errors="replace").splitlines()
            if f"\t{name}\t" in line
        ]
        lines += ["", *(f"{time} {identifier}: {text}" for time, _, identifier, text in mine[-10:])]
    return "\n".join(lines)
